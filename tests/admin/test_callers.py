from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.admin.callers import Callers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asking = tuple[asyncio.StreamReader, asyncio.StreamWriter]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


class Place:
    """A listener, and who has connected to it."""

    def __init__(self, callers: Callers, address: tuple[str, int]) -> None:
        self.callers = callers
        self._address = address
        self._opened: list[asyncio.StreamWriter] = []

    async def connect(self, sent: bytes = b"") -> Asking:
        reader, writer = await asyncio.open_connection(*self._address)
        self._opened.append(writer)
        writer.write(sent)
        return reader, writer

    def leave(self) -> None:
        for writer in self._opened:
            writer.close()


@asynccontextmanager
async def served(
    handler: Handler = hello,
    connections_max: int = 3,
    first_request_seconds: float = 60.0,
    idle_seconds: float = 60.0,
) -> AsyncIterator[Place]:
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    callers = Callers(
        runner.server,
        connections_max,
        first_request_seconds=first_request_seconds,
        idle_seconds=idle_seconds,
    )
    sock = socket.create_server(("127.0.0.1", 0))
    server = await callers.serve(sock, None)
    place = Place(callers, sock.getsockname())
    try:
        yield place
    finally:
        place.leave()
        server.close()
        await runner.cleanup()


async def answer(asking: Asking) -> bytes:
    """Return the head of the next answer and its five bytes, or what came before the end."""
    try:
        head = await asking[0].readuntil(b"\r\n\r\n")
        return head + await asking[0].readexactly(5)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def ends(asking: Asking) -> bool:
    """Wait until the other end closes the connection."""
    try:
        return await asking[0].read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: tollhouse_session=hush\x01\r\n\r\n",
        b"GET /delivery/hush\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /delivery/hush HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nhush\r\n\r\n",
        b"GET /" + b"hush" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"hush hush hush\r\n\r\n",
    ],
)
async def test_nothing_of_what_is_no_request_is_told_or_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served() as place:
        reader, _ = await place.connect(sent)
        answered = await reader.read()
    assert answered.startswith(b"HTTP/1.0 400 ")
    assert b"application/problem+json" in answered
    assert b"Server: tollhouse\r\n" in answered
    assert b"hush" not in answered
    assert "hush" not in caplog.text
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]
    assert not [
        each for each in caplog.records if each.name.startswith("gateway") and each.exc_info
    ]


async def test_nothing_that_is_sent_is_unpacked() -> None:
    """Unpacking would be done in the event loop, for whoever asks: a thousand bytes for each that came."""
    read = asyncio.Queue[bytes]()

    async def reads(request: web.Request) -> web.Response:
        read.put_nowait(await request.read())
        return web.Response(text="hello")

    packed = gzip.compress(b"a" * 100_000)
    head = b"GET / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    async with served(reads) as place:
        asking = await place.connect(head % len(packed) + packed)
        assert (await answer(asking)).endswith(b"hello")
    assert read.get_nowait() == packed


async def test_who_sends_no_request_is_not_waited_for() -> None:
    async with served(first_request_seconds=0.01) as place:
        assert await ends(await place.connect())
        assert await ends(await place.connect(b"GET / HTTP/1.1\r\nHost:"))
        assert len(place.callers) == 0


async def test_who_has_had_an_answer_is_waited_for_a_while() -> None:
    async with served(idle_seconds=0.01) as place:
        asking = await place.connect(GET)
        assert (await answer(asking)).endswith(b"hello")
        assert await ends(asking)


async def test_several_requests_are_answered_on_one_connection() -> None:
    async with served() as place:
        asking = await place.connect(GET)
        assert (await answer(asking)).endswith(b"hello")
        asking[1].write(GET + GET)
        assert (await answer(asking)).endswith(b"hello")
        assert (await answer(asking)).endswith(b"hello")
        assert len(place.callers) == 1


async def test_whoever_is_idle_for_longest_makes_room() -> None:
    async with served(connections_max=2) as place:
        first, second = await place.connect(GET), await place.connect(GET)
        await answer(first)
        await answer(second)
        first[1].write(GET)
        await answer(first)
        third = await place.connect(GET)
        assert (await answer(third)).endswith(b"hello")
        assert await ends(second)
        first[1].write(GET)
        assert (await answer(first)).endswith(b"hello")


async def test_who_is_being_answered_is_not_cut_and_nobody_else_gets_in() -> None:
    begun, may_end = asyncio.Queue[None](), asyncio.Event()

    async def slowly(_request: web.Request) -> web.Response:
        begun.put_nowait(None)
        await may_end.wait()
        return web.Response(text="hello")

    async with served(slowly, connections_max=2, first_request_seconds=60.0) as place:
        busy = [await place.connect(GET) for _ in range(2)]
        for _ in busy:
            await begun.get()
        assert await ends(await place.connect(GET))
        may_end.set()
        for asking in busy:
            assert (await answer(asking)).endswith(b"hello")


async def test_a_client_that_leaves_is_forgotten() -> None:
    begun = asyncio.Queue[None]()

    async def never(_request: web.Request) -> web.Response:
        begun.put_nowait(None)
        await asyncio.Event().wait()
        raise AssertionError

    async with served(never) as place:
        _, writer = await place.connect(GET)
        await begun.get()
        assert len(place.callers) == 1
        writer.close()
        await writer.wait_closed()
        while len(place.callers):  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0)


async def test_a_crash_is_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    async with served(fail) as place:
        reader, _ = await place.connect(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
    assert "a bug" in caplog.text
