"""When an upstream connection may be used again, and what happens if that was a mistake."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.domain.denial import Reason
from tests.harness import plane, request
from tests.wire import OK, Backend, answering, once, read_request, until


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (OK, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nextra", False),
    ],
)
async def test_connection_is_kept_only_where_its_message_surely_ended(
    response: bytes, kept: bool
) -> None:
    async with plane(answering(response)) as held:
        first = await held.answer(request())
        assert first.body in {b"", b"hello"}
        await until(lambda: held.target.connections == int(kept))
        assert (await held.answer(request())).status == first.status
        assert len(held.seen) == (1 if kept else 2)


async def test_bytes_that_nobody_asked_for_drop_an_idle_connection() -> None:
    async with plane(answering(OK)) as held:
        assert (await held.answer(request())).status == 200
        assert held.target.idle_connections == 1
        held.seen[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await until(lambda: held.target.connections == 0)
        assert (await held.answer(request())).body == b"hello"
        assert len(held.seen) == 2


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b""])
async def test_connection_with_anything_unread_is_not_used_again(unasked: bytes) -> None:
    """The loop has yet to tell of it: a request sent now would get the wrong answer, or none."""
    async with plane(answering(OK)) as held:
        assert (await held.answer(request())).status == 200
        assert held.target.idle_connections == 1
        with socket.fromfd(
            held.seen[0].get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
        ) as peer:
            if unasked:
                peer.sendall(unasked)
            else:
                peer.shutdown(socket.SHUT_WR)
        assert held.target.take_idle() is None
        assert held.target.connections == 0
        assert (await held.answer(request(method="POST"))).body == b"hello"
        assert len(held.seen) == 2


async def test_bytes_before_the_first_request_drop_the_connection() -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(held.seen) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            await reader.read()
            return
        await answering(OK)(reader, writer)

    async with plane(greeting) as held:
        result = held.service.connect()
        assert isinstance(result, asyncio.Future)
        await result
        await until(lambda: held.target.connections == 0)
        assert (await held.answer(request())).body == b"hello"


async def test_idle_connection_that_its_peer_closes_is_forgotten() -> None:
    async with plane(once(OK)) as held:
        for n in range(3):
            assert (await held.answer(request())).status == 200
            await until(lambda: held.target.connections == 0)
            assert len(held.seen) == n + 1


async def test_idle_connection_is_closed_when_it_grows_old() -> None:
    async with plane(answering(OK), idle_lifetime_seconds=0.1) as held:
        assert (await held.answer(request())).status == 200
        assert held.target.idle_connections == 1
        await until(lambda: held.target.connections == 0)


# ---- kept connections that turn out to be dead


def stale(first_bytes: bytes = b"") -> Backend:
    """Return a backend that answers once and ends each connection with the second request."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        writer.write(first_bytes)

    return backend


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_idempotent_request_is_sent_once_more_on_a_fresh_connection(method: str) -> None:
    async with plane(stale()) as held:
        await held.answer(request())
        assert (await held.answer(request(method=method), method)).status == 200
        assert len(held.seen) == 2
        assert [o.status for o in await held.recorded.first(2)] == [200, 200]


@pytest.mark.parametrize(
    "raw", [request(method="POST"), request(method="PATCH"), request(method="PUT", body=b"x")]
)
async def test_request_that_cannot_be_repeated_is_a_502(raw: bytes) -> None:
    async with plane(stale()) as held:
        await held.answer(request())
        assert (await held.answer(raw)).status == 502
        assert len(held.seen) == 1
        assert (await held.recorded.first(2))[1].reason is Reason.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize("first_bytes", [b"HTTP/1", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_request_that_was_heard_is_not_repeated(first_bytes: bytes) -> None:
    async with plane(stale(first_bytes)) as held:
        await held.answer(request())
        assert (await held.answer(request())).status == 502
        assert len(held.seen) == 1


async def test_request_is_repeated_only_once() -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if len(held.seen) == 1:
            writer.write(OK)
            await read_request(reader)

    async with plane(dying) as held:
        await held.answer(request())
        assert (await held.answer(request())).status == 502
        assert len(held.seen) == 2
        assert (await held.recorded.first(2))[1].status == 502
