"""A TLS client that shows what others hide: how a connection ended, and what the handshake settled."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Literal

End = Literal["close_notify", "eof", "reset"]


class RawTls:
    """TLS between two buffers, over a stream in clear."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        host: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=host, session=session
        )

    def hello(self) -> bytes:
        """Return the first bytes of the handshake."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self.outgoing.read()
        raise AssertionError("a handshake needs an answer")

    async def shake(self) -> None:
        """Shake hands; raises `ssl.SSLError` or `EOFError`."""
        async with asyncio.timeout(10):
            while True:
                try:
                    self.tls.do_handshake()
                except ssl.SSLWantReadError:
                    self.flush()
                    await self._feed()
                else:
                    break
            self.flush()

    async def _feed(self) -> None:
        data = await self.reader.read(65536)
        if not data:
            raise EOFError
        self.incoming.write(data)

    def flush(self) -> None:
        self.writer.write(self.outgoing.read())

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    def say_end(self) -> None:
        """Send a close_notify, and keep the socket open."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.flush()

    async def read(self) -> bytes:
        """Return what comes next; empty at a close_notify. Raises `EOFError` or `ConnectionError` without one."""
        async with asyncio.timeout(10):
            while True:
                try:
                    return self.tls.read(65536)
                except ssl.SSLZeroReturnError:
                    return b""
                except ssl.SSLWantReadError:
                    await self._feed()

    async def until_end(self) -> tuple[bytes, End]:
        """Return all that comes, and how it ended."""
        received = b""
        try:
            while data := await self.read():
                received += data
        except EOFError:
            return received, "eof"
        except ConnectionError:
            return received, "reset"
        return received, "close_notify"

    async def until(self, mark: bytes) -> bytes:
        """Return what comes up to and with `mark`, and maybe more."""
        received = b""
        while mark not in received:
            data = await self.read()
            assert data, received
            received += data
        return received
