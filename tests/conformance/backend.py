"""The scripted backend: reads as a strict server does, answers as the case says, records every byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from hashlib import sha256

from tests.conformance.case import ECHO, Pause, Reply
from tests.conformance.reading import Message, read_requests

_LINGER_SECONDS = 1.0
SERIAL = b"x-conformance-serial"


@dataclass
class Heard:
    """One connection to the backend: its bytes, and whether the proxy ended it."""

    data: bytes = b""
    answered: list[int] = field(default_factory=list)
    is_closed: bool = False

    @property
    def requests(self) -> list[Message]:
        return read_requests(self.data)


class Backend:
    """One listening socket; `script` is what the running case asks for."""

    def __init__(self) -> None:
        self.script: tuple[Reply, ...] = (ECHO,)
        self.heard: list[Heard] = []
        self.port = 0
        self._answers = 0
        self._said = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, Heard] = {}

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        await self.settle(0.0)

    def begin(self, script: tuple[Reply, ...]) -> None:
        """Forget what was heard; play `script` from now on. Its last reply is repeated."""
        self.script = script
        self.heard = []
        self._answers = 0
        self._said.clear()

    async def has_said(self) -> None:
        """Wait until an answer of the script was said to its end; not for long, as there may be none to say it to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._said.wait()

    async def settle(self, seconds: float) -> None:
        """Wait until the proxy has ended its connections, then end those that are left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._writers:  # noqa: ASYNC110 - connections end by themselves
                    await asyncio.sleep(0.001)
        left = list(self._writers)
        for writer in left:
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if left:
            await asyncio.sleep(0.02)  # so that the proxy sees the end before it would reuse one

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = Heard()
        self.heard.append(heard)
        self._writers[writer] = heard
        try:
            await self._answer_all(reader, writer, heard)
            while data := await reader.read(65536):
                heard.data += data
            heard.is_closed = True
        except (ConnectionError, asyncio.CancelledError):
            heard.is_closed = True
        finally:
            self._writers.pop(writer, None)
            writer.close()

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard
    ) -> None:
        answered = 0
        while True:
            requests = heard.requests
            reply = self.script[min(self._answers, len(self.script) - 1)]
            if len(requests) > answered and _is_due(requests[answered], reply):
                answered += 1
                self._answers += 1
                heard.answered.append(self._answers)
                if not await self._play(reply, requests[answered - 1], writer):
                    return
                continue
            data = await reader.read(65536)
            if not data:
                heard.is_closed = True
                return
            heard.data += data

    async def _play(self, reply: Reply, asked: Message, writer: asyncio.StreamWriter) -> bool:
        """Send one reply; tell whether to go on answering."""
        for part in reply.parts or (self._echo(asked),):
            if isinstance(part, Pause):
                await asyncio.sleep(part.seconds)
            else:
                writer.write(part.replace(b"{serial}", b"%d" % self._answers))
                await writer.drain()
        if reply.then == "reset":
            await asyncio.sleep(0.02)
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif reply.then == "close" and writer.can_write_eof():
            writer.write_eof()
        self._said.set()
        return reply.then == "keep" and bool(reply.parts)

    def _echo(self, asked: Message) -> bytes:
        body = describe(asked)
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Conformance-Serial: %d\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (self._answers, len(body), b"" if asked.method == b"HEAD" else body)
        )


def describe(asked: Message) -> bytes:
    """Return the body of the echo: what the backend took the request for."""
    digest = sha256(asked.body).hexdigest()[:12].encode()
    return b"%b %b %d %b\n" % (asked.method, asked.target, len(asked.body), digest)


def _is_due(asked: Message, reply: Reply) -> bool:
    if asked.fault:
        return False
    return asked.has_head if reply.at == "head" else asked.is_whole
