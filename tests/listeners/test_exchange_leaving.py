"""What happens when a client leaves: nothing that it asked for goes on, and nothing of it is left."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.limits import Claim, Concurrency
from tests.harness import Plane, plane, post, request
from tests.wire import OK, Asked, Client, answering, keeping, read_request, silent, until

CHUNKED = "Transfer-Encoding: chunked"


async def serves(held: Plane) -> None:
    """Check that the plane still serves and that nothing of the last request is left."""
    await held.settled()
    held.recorded.outcomes.clear()
    answer = await held.answer(request("/open", token=None))
    assert answer.status == 200
    await held.recorded.first(1)


async def gone(client: Client, *, how: str) -> None:
    if how == "reset":
        client.reset()
    elif how == "half":
        client.writer.write_eof()
    else:
        client.close()


LEAVING = pytest.mark.parametrize("how", ["close", "reset", "half"])


@LEAVING
async def test_client_that_leaves_before_the_answer_cancels_the_upstream(how: str) -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        client = await held.send(request())
        await until(lambda: bool(asked))
        await gone(client, how=how)
        await until(lambda: received == [b"EOF"])
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.reason) == (0, "client_gone", None)
        await held.settled()


@LEAVING
async def test_client_that_leaves_midway_through_its_body_cancels_the_upstream(how: str) -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        client = await held.send(post(CHUNKED, body=b"5\r\nhello\r\n"))
        await until(lambda: bool(received))
        await gone(client, how=how)
        await until(lambda: received[-1] == b"EOF")
        assert b"0\r\n\r\n" not in b"".join(received)
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.request_bytes) == (0, "client_gone", 5)
        await held.settled()


@LEAVING
async def test_client_that_leaves_midway_through_the_answer_cancels_the_upstream(how: str) -> None:
    left = asyncio.Event()

    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        await reader.read()
        left.set()

    async with plane(streaming) as held:
        client = await held.send(request())
        await client.reader.readuntil(b"hello")
        await gone(client, how=how)
        async with asyncio.timeout(5):
            await left.wait()
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.response_bytes) == (200, "client_gone", 5)
        await held.settled()


@LEAVING
async def test_client_that_leaves_while_the_connection_is_made_costs_the_upstream_nothing(
    how: str,
) -> None:
    seen: list[bytes] = []
    async with plane(answering(OK, seen=seen), connections_max=1) as held:
        busy = await held.client()  # takes the only connection
        held_connection = held.target.take_idle()
        assert held_connection is None
        busy.send(post("Content-Length: 1"))
        await until(lambda: len(held.seen) == 1)
        client = await held.send(request())
        await until(lambda: held.target.waiting == 1)
        await gone(client, how=how)
        await until(lambda: held.listener.connections == 1)
        busy.send(b"x")
        assert (await busy.answer()).status == 200
        outcomes = await held.recorded.first(2)
        assert {(o.status, o.ended) for o in outcomes} == {(200, "complete"), (0, "client_gone")}
        assert len(seen) == 1
        assert held.target.connections == held.target.idle_connections == 1
        assert len(held.seen) == 1


async def test_client_that_leaves_gives_back_its_concurrency() -> None:
    claim = Claim(bucket="c", policy="c", rule=Concurrency(name="c", limit=1))
    async with plane(silent, claims=(claim,)) as held:
        for _ in range(3):
            client = await held.send(request())
            await until(lambda: held.target.connections == 1)
            assert (await held.answer(request())).status == 429
            client.close()
            await held.settled()


async def test_pipelined_requests_of_one_client_do_not_overlap() -> None:
    """The second may begin only when the first has given back what it held."""
    claim = Claim(bucket="c", policy="c", rule=Concurrency(name="c", limit=1))
    async with plane(answering(OK), claims=(claim,)) as held:
        client = await held.send(request(close=False) * 20)
        assert [(await client.answer()).status for _ in range(20)] == [200] * 20
        await held.recorded.first(20)


async def test_plane_serves_on_after_every_kind_of_leaving() -> None:
    async with plane(answering(OK)) as held:
        for how in ("close", "reset", "half"):
            for raw in (b"GET", request(), post("Content-Length: 9", body=b"x")):
                client = await held.send(raw)
                await until(lambda: held.listener.connections == 1)
                await gone(client, how=how)
                await until(lambda: held.listener.connections == 0)
        await serves(held)
