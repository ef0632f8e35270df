"""Switched protocols: every byte in both directions, and how either end may stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.listeners.public import ListenerSettings
from tests.harness import plane, request
from tests.wire import OK, Backend, Client, answering, read_request, reset, until

UPGRADE = request(fields=["Connection: upgrade", "Upgrade: websocket"], close=False)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def switching(talk: Talk, first: bytes = b"") -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        assert (asked.fields["connection"], asked.fields["upgrade"]) == ("upgrade", "websocket")
        writer.write(SWITCHING + first)
        await talk(reader, writer)

    return backend


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())


async def opened(client: Client) -> None:
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"upgrade: websocket\r\n" in head.lower()
    assert b"connection: upgrade\r\n" in head.lower()


async def test_tunnel_passes_every_byte_both_ways() -> None:
    async with plane(switching(shout, b"welcome")) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        assert await client.reader.readexactly(7) == b"welcome"
        for word in (b"a", b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff" * 50000):
            client.send(word)
            assert await client.reader.readexactly(len(word)) == word.upper()
        assert held.listener.in_flight == 1
        client.close()
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (101, "complete")
        assert (outcome.request_bytes, outcome.response_bytes) == (100019, 100026)
        await held.settled()


async def test_bytes_that_came_with_the_request_belong_to_the_tunnel() -> None:
    async with plane(switching(shout)) as held:
        early = b"x" * 200_000  # more than is held before reading stops
        client = await held.send(UPGRADE + early)
        await opened(client)
        assert await client.reader.readexactly(len(early)) == early.upper()
        client.send(b"more")
        assert await client.reader.readexactly(4) == b"MORE"


async def test_tunnel_outlives_the_timeouts_of_requests() -> None:
    settings = ListenerSettings(
        body_timeout_seconds=0.1, idle_timeout_seconds=0.1, head_timeout_seconds=0.1
    )
    timeouts = Timeouts(response_seconds=0.1, idle_seconds=2)
    async with plane(switching(shout), settings=settings, timeouts=timeouts) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        for _ in range(2):
            client.send(b"a")
            assert await client.reader.readexactly(1) == b"A"
            await asyncio.sleep(0.3)
        client.send(b"b")
        assert await client.reader.readexactly(1) == b"B"


async def test_silent_tunnel_is_closed_after_the_idle_time_of_the_upstream() -> None:
    async with plane(switching(shout), timeouts=Timeouts(idle_seconds=0.1)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        assert await client.until_closed() == b""
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (101, "timeout")
        await held.settled()


async def test_client_may_end_its_direction_and_still_read() -> None:
    async def answers_at_the_end(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(await reader.read())  # returns at the end of the client's direction

    async with plane(switching(answers_at_the_end)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        client.send(b"all of it")
        client.writer.write_eof()
        assert await client.until_closed() == b"all of it"
        outcome = await held.outcome()
        assert (outcome.ended, outcome.request_bytes, outcome.response_bytes) == ("complete", 9, 9)
        await held.settled()


async def test_upstream_may_end_its_direction_and_still_read() -> None:
    received: list[bytes] = []

    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        while data := await reader.read(65536):
            received.append(data)
        received.append(b"EOF")

    async with plane(switching(ends_first)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        assert await client.until_closed() == b"bye"
        assert not held.recorded.outcomes
        client.send(b"x" * 100_000)
        client.writer.write_eof()
        await until(lambda: received[-1:] == [b"EOF"])
        assert len(b"".join(received)) == 100_003
        outcome = await held.outcome()
        assert (outcome.ended, outcome.request_bytes) == ("complete", 100_000)
        await held.settled()


@pytest.mark.parametrize("ends", ["client", "upstream"])
async def test_half_closed_tunnel_does_not_live_for_ever(ends: str) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if ends == "upstream":
            writer.write_eof()
        await reader.read()
        await asyncio.sleep(5)

    async with plane(switching(half), timeouts=Timeouts(idle_seconds=0.2)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        if ends == "client":
            client.writer.write_eof()
        assert await client.until_closed() == b""
        outcome = await held.outcome()
        assert outcome.ended == "timeout"
        await held.settled()
        for writer in held.seen:
            writer.transport.abort()


async def test_upstream_that_resets_a_tunnel_breaks_it() -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    async with plane(switching(resets)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        client.send(b"x")
        assert await client.until_closed() == b""
        assert (await held.outcome()).ended == "upstream_broke"
        await held.settled()


async def test_client_that_resets_a_tunnel_ends_it() -> None:
    async with plane(switching(shout)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        client.reset()
        assert (await held.outcome()).ended == "complete"
        await held.settled()


async def test_refused_upgrade_leaves_the_connection_as_it_was() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(UPGRADE + request(close=False))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        await held.recorded.first(2)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_switch_that_nobody_asked_for_is_refused(method: str) -> None:
    async with plane(answering(SWITCHING + b"smuggled")) as held:
        answer = await held.answer(request(method=method), method)
        assert answer.status == 502
        outcome = await held.outcome()
        assert outcome.reason is Reason.UPSTREAM_BAD_RESPONSE
        await until(lambda: held.target.connections == 0)


async def test_draining_lets_a_tunnel_live_until_the_deadline() -> None:
    async with plane(switching(shout)) as held:
        client = await held.send(UPGRADE)
        await opened(client)
        draining = asyncio.ensure_future(held.listener.drain(0.2))
        client.send(b"still")
        assert await client.reader.readexactly(5) == b"STILL"
        assert await client.until_closed() == b""
        await draining
        assert (await held.outcome()).ended == "cut"
