"""Callers that measure must not overlook a failure, nor call one what is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bench.callers import Call, Callers, failed, get, longest, worst_excess
from tests.wire import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def called(serve: Serve, wanted: int) -> list[Call]:
    """Let one caller ask until that many calls have ended."""
    callers = Callers(lambda: (7, get("/x", "secret")))
    async with serving(serve) as port, asyncio.timeout(10):
        task = asyncio.ensure_future(callers.call("here", port))
        await until(lambda: len(callers.calls) >= wanted)
        callers.is_over = True
        await task
    return callers.calls


async def test_a_request_that_is_not_answered_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")

    calls = await called(serve, 2)
    assert [call.status for call in calls[:2]] == [200, 0]
    assert failed(calls)[0].why
    assert failed(calls)[0].key == 7


async def test_an_answer_that_breaks_off_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])

    assert (await called(serve, 1))[0].status == 0


async def test_a_connection_that_says_that_it_ends_is_not_asked_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LAST)
        assert await reader.read() == b""

    assert {call.status for call in await called(serve, 5)} == {200}


async def test_nobody_to_connect_to_is_a_failure_and_tried_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with serving(serve) as port:
        pass
    callers = Callers(lambda: (0, get("/x")))
    async with asyncio.timeout(10):
        task = asyncio.ensure_future(callers.call("here", port))
        await until(lambda: len(callers.calls) >= 2)
        callers.is_over = True
        await task
    assert all(call.why.startswith("connecting") for call in callers.calls)


def call(started: float, ended: float, status: int = 200) -> Call:
    return Call("", 0, started, ended, status)


def test_the_worst_window_is_found() -> None:
    burst = [call(5.0, 5.1) for _ in range(4)]
    before, later = [call(0.0, 0.1)], [call(15.0, 15.1)]
    # Four within a tenth of a second, where two and a tenth of one were allowed.
    assert worst_excess([*before, *burst, *later], 1.0, 2) == pytest.approx(4 - 2 - 0.1)
    assert worst_excess([*before, *later], 1.0, 2) == pytest.approx(1 - 2 - 0.1)


def test_a_refused_call_is_not_admitted() -> None:
    assert worst_excess([call(0.0, 0.0, 429)] * 9, 1.0, 2) == -2


def test_a_call_counts_where_it_began_and_ended() -> None:
    # One that takes long may have been decided at its beginning or at its end.
    assert worst_excess([call(0.0, 10.0), call(9.9, 10.0)], 1.0, 0) == pytest.approx(0.9)


def test_the_slowest_answered_one_is_told() -> None:
    assert longest([call(0, 1), call(0, 9, 0), call(5, 7, 429)]) == 2
    assert longest([]) == 0
