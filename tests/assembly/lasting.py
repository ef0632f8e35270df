"""Requests of every kind that lasts, over real sockets, and a backend that keeps them going."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from gateway.http1.websocket import close_frame
from tests.wire import read_request

PACE_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 20.0
"""Within which something begins or goes on, on a machine that may stand still for a while: no promise, a safeguard."""

CUT_SECONDS: Final = 1.0
"""Within which a stream has to end that lost what let it in."""

_CHUNKED: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_SIZED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n"
)
_EVENT: Final = b"80\r\ndata: %b\n\n\r\n" % (b"1" * 120)
_FRAME: Final = b"\x81\x64" + b"x" * 100

KINDS: Final = ("sse", "websocket", "tunnel", "download", "upload", "long_poll")


class Backend:
    """Answers by the last segment of the path; `uploaded` counts content by the path that it came for."""

    def __init__(self) -> None:
        self.uploaded: dict[str, int] = {}
        self.waiting: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            path = (await read_request(reader)).line.split(" ")[1]
            await self._acts(path.rpartition("/")[2])(path, reader, writer)
        writer.close()

    def _acts(
        self, kind: str
    ) -> Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        heads = {
            "sse": (_CHUNKED, _EVENT),
            "websocket": (_SWITCHING % b"websocket", _FRAME),
            "tunnel": (_SWITCHING % b"chat", b"x" * 100),
            "download": (_SIZED, b"x" * 100),
        }

        async def send(_: str, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head, piece = heads[kind]
            writer.write(head)
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(PACE_SECONDS)

        async def take(path: str, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                self.uploaded[path] = self.uploaded.get(path, 0) + len(data)

        async def wait(path: str, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            self.waiting.add(path)
            await reader.read()

        return send if kind in heads else take if kind == "upload" else wait


class Lasting:
    """One request of a `kind`; `path` is its own, so that the backend can tell what it got of it."""

    def __init__(
        self,
        kind: str,
        path: str,
        backend: Backend,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.kind = kind
        self._path = path
        self._backend = backend
        self._reader = reader
        self._writer = writer

    async def begin(self, token: str) -> None:
        """Send the request and wait until it lasts."""
        method = "POST" if self.kind == "upload" else "GET"
        lines = [f"{method} {self._path} HTTP/1.1", "Host: api.test"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if self.kind in ("websocket", "tunnel"):
            protocol = "websocket" if self.kind == "websocket" else "chat"
            lines += ["Connection: upgrade", f"Upgrade: {protocol}"]
        if self.kind == "upload":
            lines.append("Content-Length: 10000000")  # as much as a route takes
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if self.kind not in ("upload", "long_poll"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
            assert head.split(b" ")[1] in (b"200", b"101"), head
        await self.goes_on()

    async def goes_on(self) -> None:
        """Return when it has passed some more; fail when it does not."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            if self.kind == "upload":
                before = self._uploaded
                while self._uploaded < before + 300:
                    self._writer.write(b"x" * 100)
                    await asyncio.sleep(0.002)
            elif self.kind == "long_poll":
                answer = asyncio.ensure_future(self._reader.read(65536))
                try:
                    while self._path not in self._backend.waiting:
                        assert not answer.done(), answer.result()  # it was refused
                        await asyncio.sleep(0.002)
                finally:
                    answer.cancel()
            else:
                await self._reader.readexactly(300)
        assert not self._reader.at_eof()
        assert self._writer.get_extra_info("socket").fileno() >= 0

    @property
    def _uploaded(self) -> int:
        return self._backend.uploaded.get(self._path, 0)

    async def ends(self, reason: str) -> None:
        """Return when it has ended as its kind does for `reason`; fail when that takes a second."""
        rest = b""
        async with asyncio.timeout(CUT_SECONDS):
            while True:
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    break
                if not data:
                    break
                rest += data
        match self.kind:
            case "websocket":
                assert rest.endswith(close_frame(1008, reason)), rest[-40:]
            case "upload" | "long_poll":
                assert rest.split(b" ")[1] in (b"401", b"403", b"404"), rest
                assert reason.encode() in rest
            case "sse":
                assert not rest.endswith(b"0\r\n\r\n")

    def close(self) -> None:
        self._writer.transport.abort()


class Streams:
    """All that lasts in one test."""

    def __init__(self, address: str, backend: Backend) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._backend = backend
        self._all: list[Lasting] = []

    async def every_kind(
        self, prefix: str, token: str = "", origin: str = "127.0.0.1"
    ) -> list[Lasting]:
        """Begin one request of every kind below `prefix`, from the address `origin`."""
        begun = []
        for kind in KINDS:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, local_addr=(origin, 0)
            )
            path = f"{prefix}/{len(self._all)}/{kind}"
            made = Lasting(kind, path, self._backend, reader, writer)
            self._all.append(made)
            await made.begin(token)
            begun.append(made)
        return begun

    def close(self) -> None:
        for each in self._all:
            each.close()


@asynccontextmanager
async def lasting_backend() -> AsyncIterator[tuple[str, Backend]]:
    """Run the backend; yields its URL and itself."""
    backend = Backend()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", backend
        for task in backend.tasks:
            task.cancel()
        await asyncio.gather(*backend.tasks)
