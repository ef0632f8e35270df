"""Every moment at which a client can leave, in every way: nothing of it is left, and the next one is served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from gateway.domain.limits import Claim, Concurrency
from gateway.listeners.public import ListenerSettings
from tests.harness import Plane, plane, post, request
from tests.wire import OK, Client, read_content, read_request, until

BIG = 16 * 2**20
ONE_AT_ONCE = Claim(bucket="c", policy="c", rule=Concurrency(name="c", limit=1))
SETTINGS = ListenerSettings(write_timeout_seconds=0.5)
UPGRADE = ["Connection: upgrade", "Upgrade: echo"]
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer by path: not at all, in part, without end, without reading, or as usual."""
    while True:
        asked = await read_request(reader)
        path = asked.line.split()[1]
        if path == "/v1/full":
            while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - unread
                await asyncio.sleep(0.01)
            return
        if path == "/v1/silent":
            await reader.read()
            return
        if path == "/v1/part":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            await reader.read()
            return
        if path == "/v1/switch":
            writer.write(SWITCHED)
            while data := await reader.read(65536):
                writer.write(data)
            return
        await read_content(reader, asked)
        if path == "/v1/big":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + b"x" * BIG)
        else:
            writer.write(OK)
        await writer.drain()


Moment = Callable[[Plane], Awaitable[Client]]


async def before_a_request(held: Plane) -> Client:
    client = await held.client()
    await until(lambda: held.listener.connections == 1)
    return client


async def within_a_head(held: Plane) -> Client:
    client = await held.send(b"GET /v1 HTTP/1.1\r\nHost:")
    await until(lambda: held.listener.connections == 1)
    return client


async def before_the_answer(held: Plane) -> Client:
    client = await held.send(request("/v1/silent", close=False))
    await until(lambda: held.target.connections == 1)
    return client


async def before_the_answer_with_more_requests_sent(held: Plane) -> Client:
    client = await held.send(request("/v1/silent", close=False) + request("/v1/silent") * 3)
    await until(lambda: held.target.connections == 1)
    return client


async def before_the_answer_with_reading_paused(held: Plane) -> Client:
    client = await held.send(request("/v1/silent", close=False) + request("/v1/silent") * 2000)
    await until(lambda: held.target.connections == 1 and not reads(held))
    return client


async def within_a_body(held: Plane) -> Client:
    client = await held.send(post("Content-Length: 100", body=b"x", target="/v1/silent"))
    await until(lambda: held.target.connections == 1)
    return client


async def within_a_body_that_the_upstream_does_not_take(held: Plane) -> Client:
    client = await held.send(post(f"Content-Length: {BIG}", target="/v1/full"))
    client.send(b"x" * (BIG - 1))
    await until(lambda: held.target.connections == 1 and not reads(held))
    return client


async def within_a_refused_body(held: Plane) -> Client:
    client = await held.send(post("Content-Length: 100", body=b"x", token=None))
    assert (await client.answer()).status == 401
    return client


async def within_an_answer(held: Plane) -> Client:
    client = await held.send(request("/v1/part", close=False))
    await client.reader.readuntil(b"hello")
    return client


async def within_an_answer_that_it_does_not_read(held: Plane) -> Client:
    client = await held.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(request("/v1/big", close=False))
    await until(lambda: any(c.is_write_blocked for c in held.listener.census.connections))
    return client


async def between_requests(held: Plane) -> Client:
    client = await held.send(request(close=False))
    assert (await client.answer()).status == 200
    return client


async def after_the_last_answer(held: Plane) -> Client:
    client = await held.send(request())
    assert (await client.answer()).status == 200
    return client


async def within_a_tunnel(held: Plane) -> Client:
    client = await held.send(request("/v1/switch", fields=UPGRADE, close=False))
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    client.send(b"ping")
    assert await client.reader.readexactly(4) == b"ping"
    return client


def reads(held: Plane) -> bool:
    """Tell whether the only connection is read from."""
    (connection,) = held.listener.census.connections
    return connection._is_reading


MOMENTS: list[Moment] = [
    before_a_request,
    within_a_head,
    before_the_answer,
    before_the_answer_with_more_requests_sent,
    before_the_answer_with_reading_paused,
    within_a_body,
    within_a_body_that_the_upstream_does_not_take,
    within_a_refused_body,
    within_an_answer,
    within_an_answer_that_it_does_not_read,
    between_requests,
    after_the_last_answer,
    within_a_tunnel,
]


def leave(client: Client, how: str) -> None:
    if how == "reset":
        client.reset()
    elif how == "half":
        with contextlib.suppress(OSError):  # the gateway may have closed it already
            client.writer.write_eof()
    else:
        client.writer.transport.abort()  # unsent bytes must not delay the end


CASES = [
    (moment, how)
    for moment in MOMENTS
    for how in ("close", "reset", "half")
    # A client can end its direction only behind what it has still to send: then it has not left.
    if (moment, how) != (within_a_body_that_the_upstream_does_not_take, "half")
]


@pytest.mark.parametrize(
    ("moment", "how"), CASES, ids=[f"{moment.__name__}-{how}" for moment, how in CASES]
)
async def test_client_that_leaves_leaves_nothing_behind(moment: Moment, how: str) -> None:
    async with plane(moody, settings=SETTINGS, claims=(ONE_AT_ONCE,), rate_headers=()) as held:
        assert (await held.answer(request())).status == 200  # everything is warm
        await held.settled()
        tasks = len(asyncio.all_tasks())
        client = await moment(held)
        leave(client, how)
        await held.settled()
        assert held.listener.in_flight == 0
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert (await held.answer(request())).status == 200  # its concurrency was given back
        await held.settled()
        count = len(held.recorded.outcomes)
        assert all(o.ended in ("complete", "client_gone") for o in held.recorded.outcomes)
        assert 2 <= count <= 6
        client.writer.transport.abort()
