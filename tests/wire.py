"""HTTP on the wire as tests speak it: strict readers, a client, and backends.

A truncated message is never taken for a whole one: reading it raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

Backend = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"


@dataclass
class Client:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self, method: str = "GET") -> Answer:
        """Return the next response; raises IncompleteReadError if it is cut off."""
        async with asyncio.timeout(5):
            return await read_answer(self.reader, method)

    async def until_closed(self) -> bytes:
        """Return all that comes before the gateway ends the connection."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        reset(self.writer)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells that a socket's buffers are full
            await asyncio.sleep(0.002)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@dataclass
class Answer:
    """One response as a strict client reads it; field names in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes
    head: bytes


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    status = int(first.split(" ")[1])
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    if method == "HEAD" or status in (204, 304) or status < 200:
        body = b""
    else:
        body = await _read_body(reader, fields)
    return Answer(status, fields, body, head)


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") == "chunked":
        pieces = []
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            pieces.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
            if not size:
                return b"".join(pieces)
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    return await reader.read()


@dataclass
class Asked:
    """One request as a backend sees it; field names in lower case."""

    line: str
    fields: dict[str, str]
    head: bytes


async def read_request(reader: asyncio.StreamReader) -> Asked:
    """Read the head of a request, as a backend does."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return Asked(first, {name.lower(): value.strip() for name, _, value in pairs}, head)


async def read_content(reader: asyncio.StreamReader, asked: Asked) -> bytes:
    """Read the content that `asked` announced."""
    framed = {"transfer-encoding", "content-length"} & asked.fields.keys()
    return await _read_body(reader, asked.fields) if framed else b""


def answering(response: bytes, *, seen: list[bytes] | None = None) -> Backend:
    """Return a backend that reads requests and answers each with fixed bytes."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await read_request(reader)
            if seen is not None:
                seen.append(asked.head)
            await read_content(reader, asked)
            writer.write(response)
            await writer.drain()

    return backend


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with its own content."""
    while True:
        content = await read_content(reader, await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read everything and answer nothing, until the gateway leaves."""
    while await reader.read(65536):
        pass


def keeping(asked: list[Asked], received: list[bytes]) -> Backend:
    """Return a backend that keeps what it reads and never answers."""

    async def backend(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        while data := await reader.read(65536):
            received.append(data)
        received.append(b"EOF")

    return backend


def once(response: bytes, *, then: str = "close") -> Backend:
    """Return a backend that answers one request with fixed bytes and then closes, resets or waits."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()
        if then == "reset":
            await asyncio.sleep(
                0.05
            )  # so that what was written arrives before the reset discards it
            reset(writer)
        elif then == "wait":
            await reader.read()

    return backend


def port_of(server: socket.socket) -> int:
    """Return the port that `server` listens on."""
    port: int = server.getsockname()[1]
    return port


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a port whose queue of connections is full: a further one is neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]
