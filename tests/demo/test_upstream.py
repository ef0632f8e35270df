"""The demo backend keeps what the quickstart promises of it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from pytest_aiohttp import AiohttpClient

from gateway.demo.upstream import BLOCK, COLLECTIONS, SHOWN_BODY_BYTES, create_demo_app

Client = TestClient[Request, Application]


class Pauses:
    """A sleep that only remembers how long it was asked to take."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, pauses: Pauses) -> Client:
    return await aiohttp_client(create_demo_app(sleep=pauses))


@pytest.mark.parametrize("path", COLLECTIONS)
async def test_collection_answers_all_five_verbs(client: Client, path: str) -> None:
    listed = await (await client.get(path)).json()
    first = listed["data"][0]
    assert len(listed["data"]) == 3
    assert await (await client.get(f"{path}/{first['id']}")).json() == first

    made = await client.post(path, json={"note": "hello"})
    assert made.status == 201
    body = await made.json()
    assert body["note"] == "hello"
    assert made.headers["Location"] == f"{path}/{body['id']}"

    changed = await (await client.patch(f"{path}/{first['id']}", json={"note": "x"})).json()
    assert changed == {**first, "note": "x"}
    deleted = await client.delete(f"{path}/{first['id']}")
    assert (deleted.status, await deleted.read()) == (204, b"")


async def test_unlisted_id_is_answered_so_that_every_path_can_be_tried(client: Client) -> None:
    assert (await (await client.get("/v1/interviews/42")).json())["id"] == "42"


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
async def test_create_refuses_what_is_not_a_json_object(client: Client, body: str) -> None:
    assert (await client.post("/api/v1/jobs", data=body)).status == 400


async def test_create_takes_an_empty_body_as_an_empty_object(client: Client) -> None:
    answer = await client.post("/api/v1/jobs")
    assert (answer.status, await answer.json()) == (201, {"id": "job_new"})


async def test_status_says_ok(client: Client) -> None:
    assert (await (await client.get("/v1/status")).json())["status"] == "ok"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PURGE"])
async def test_echo_tells_what_arrived_for_any_method(client: Client, method: str) -> None:
    answer = await client.request(
        method, "/v1/echo?a=1&a=2", headers=[("X-Seen", "1"), ("X-Seen", "2")], data=b"body"
    )
    told: dict[str, Any] = await answer.json()
    assert (told["method"], told["path"], told["query"]) == (method, "/v1/echo", "a=1&a=2")
    assert [value for name, value in told["headers"] if name == "X-Seen"] == ["1", "2"]
    assert told["body"] == "body"
    assert told["body_is_whole"] is True
    assert told["body_sha256"] == hashlib.sha256(b"body").hexdigest()


async def test_echo_hashes_a_long_body_and_shows_only_its_start(client: Client) -> None:
    body = BLOCK * 40
    told = await (await client.post("/v1/echo", data=io.BytesIO(body))).json()
    assert told["body_bytes"] == len(body)
    assert told["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert told["body"] == body[:SHOWN_BODY_BYTES].decode("utf-8", "replace")
    assert told["body_is_whole"] is False


@pytest.mark.parametrize("size", [0, 1, len(BLOCK), 3 * len(BLOCK) + 7])
async def test_bytes_sends_exactly_what_was_asked(client: Client, size: int) -> None:
    answer = await client.get(f"/v1/bytes/{size}")
    assert answer.headers["Content-Length"] == str(size)
    assert await answer.read() == (BLOCK * 4)[:size]


async def test_bytes_answers_head_with_the_length_only(client: Client) -> None:
    answer = await client.head("/v1/bytes/12")
    assert (answer.headers["Content-Length"], await answer.read()) == ("12", b"")


async def test_bytes_refuses_an_absurd_size(client: Client) -> None:
    assert (await client.get("/v1/bytes/999999999999999")).status == 400


async def test_events_come_one_per_second_until_the_count(client: Client, pauses: Pauses) -> None:
    answer = await client.get("/v1/events?count=3")
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = (await answer.text()).split("\n\n")
    assert [json.loads(event.split("data: ")[1])["n"] for event in events[:3]] == [1, 2, 3]
    assert pauses.asked == [1.0, 1.0]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/bytes/1000000000"])
async def test_client_that_leaves_is_no_error(path: str) -> None:
    ends: asyncio.Queue[BaseException | None] = asyncio.Queue()

    @web.middleware
    async def watch(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await handler(request)
        except BaseException as error:
            ends.put_nowait(error)
            raise
        ends.put_nowait(None)
        return response

    app = create_demo_app(sleep=lambda _: asyncio.sleep(0))
    app.middlewares.append(watch)
    runner = web.AppRunner(app, access_log=None)  # does not cancel handlers, as in `make run`
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        assert await asyncio.wait_for(ends.get(), 5) is None
    finally:
        await runner.cleanup()


async def test_slow_waits_as_long_as_asked_but_not_for_ever(client: Client, pauses: Pauses) -> None:
    assert await (await client.get("/v1/slow?seconds=7")).json() == {"waited_seconds": 7.0}
    await client.get("/v1/slow")
    await client.get("/v1/slow?seconds=1e9")
    assert pauses.asked == [7.0, 1.0, 300.0]


@pytest.mark.parametrize("value", ["-1", "x", "nan", "inf"])
async def test_a_bad_number_is_refused(client: Client, value: str) -> None:
    assert (await client.get("/v1/slow", params={"seconds": value})).status == 400


async def test_websocket_gives_back_text_and_bytes(client: Client) -> None:
    async with client.ws_connect("/v1/ws") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"
