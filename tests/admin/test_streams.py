from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.app import create_admin_app
from gateway.domain.streams import StreamKind
from gateway.ports import Streams
from tests.keyring.house import House
from tests.open_streams import OneStream, SomeStreams

TOKEN = "tha_" + "x" * 40

OPEN = SomeStreams(
    OneStream(3, StreamKind.WEBSOCKET, "key_b"),
    OneStream(1, StreamKind.SSE, "key_a"),
    OneStream(4, StreamKind.SSE),
    OneStream(2, StreamKind.LONG_POLL, "key_a"),
)


async def asked(streams: Streams | None, query: str = "", *, expect: int = 200) -> Any:
    app = create_admin_app(lambda: House().keyring, token=lambda: TOKEN, streams=streams)
    async with TestClient(TestServer(app)) as client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with client.get(f"/admin/v1/streams{query}", headers=headers) as response:
            answer = await response.json(content_type=None)
            assert response.status == expect, answer
            assert response.headers["Cache-Control"] == "no-store"
            return answer


async def ids(query: str = "") -> list[str]:
    return [stream["stream_id"] for stream in (await asked(OPEN, query))["data"]]


async def pages(limit: int) -> AsyncIterator[list[str]]:
    cursor = ""
    while True:
        page = await asked(OPEN, f"?limit={limit}{cursor}")
        yield [stream["stream_id"] for stream in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


async def test_stream_is_shown_with_who_where_and_since_when() -> None:
    (shown,) = (await asked(OPEN, "?kind=websocket"))["data"]
    assert shown == {
        "stream_id": "req_3",
        "kind": "websocket",
        "key_id": "key_b",
        "lineage_id": "lin_of_key_b",
        "tenant_id": "ten_a",
        "route": "jobs",
        "client_address": "192.0.2.7",
        "since": "2023-11-14T22:13:23.250000Z",
        "request_bytes": 10,
        "response_bytes": 20,
    }


async def test_stream_of_nobody_has_no_key() -> None:
    shown = (await asked(OPEN))["data"][-1]
    assert [shown[name] for name in ("key_id", "lineage_id", "tenant_id")] == [None] * 3


async def test_streams_are_listed_the_oldest_first() -> None:
    assert await ids() == ["req_1", "req_2", "req_3", "req_4"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?key_id=key_a", ["req_1", "req_2"]),
        ("?lineage_id=lin_of_key_b", ["req_3"]),
        ("?tenant_id=ten_a", ["req_1", "req_2", "req_3"]),
        ("?route=jobs", ["req_1", "req_2", "req_3", "req_4"]),
        ("?kind=sse", ["req_1", "req_4"]),
        ("?kind=sse&key_id=key_a", ["req_1"]),
        ("?key_id=key_c", []),
    ],
)
async def test_streams_are_found_by_what_they_belong_to(query: str, found: list[str]) -> None:
    assert await ids(query) == found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_pages_hold_every_stream_once(limit: int) -> None:
    found = [page async for page in pages(limit)]
    assert [each for page in found for each in page] == ["req_1", "req_2", "req_3", "req_4"]
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize(
    ("query", "told"),
    [("?kind=other", "kind"), ("?cursor=x", "cursor"), ("?state=open", "state")],
)
async def test_what_is_not_understood_is_refused(query: str, told: str) -> None:
    assert told in (await asked(OPEN, query, expect=400))["detail"]


async def test_without_a_gateway_there_are_no_streams() -> None:
    assert "running" in (await asked(None, expect=409))["detail"]
