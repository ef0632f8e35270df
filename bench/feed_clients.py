"""Clients of streams: they note when an event comes, which frames come, and how a stream ends."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import defaultdict
from functools import partial
from typing import Final, TypeVar, cast

EVENT: Final = re.compile(rb"data: (\d+)\n\n")
PATIENCE_SECONDS: Final = 30.0


class Listener(asyncio.Protocol):
    """Listens to one feed; `delays` are pairs: when an event came, and how long it took (seconds)."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.delays: list[tuple[int, float]] = []
        self.is_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._rest + data
        end = 0
        for event in EVENT.finditer(data):
            self.delays.append((now // 10**9, (now - int(event[1])) / 1e9))
            end = event.end()
        self._rest = data[end:]

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_ended = True


class Socket(asyncio.Protocol):
    """Listens to one WebSocket of `bench.peers.feeds`.

    `last` is the number in the last frame; `is_whole` tells that none was missed; `close_code` is
    what a close frame said, 0 without one; times are those of the machine's clock, in seconds.
    """

    def __init__(self, key: str, request: bytes) -> None:
        self.key = key
        self._request = request
        self._rest = b""
        self._is_open = False
        self.last = 0
        self.is_whole = True
        self.close_code = 0
        self.ended_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._is_open:
            head, separator, self._rest = self._rest.partition(b"\r\n\r\n")
            if not separator:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ValueError(head.decode("latin-1"))
            self._is_open = True
        while len(self._rest) >= 2 and len(self._rest) >= 2 + self._rest[1]:
            size = 2 + self._rest[1]
            frame, self._rest = self._rest[:size], self._rest[size:]
            self._take(frame[0], frame[2:])

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x88:
            self.close_code = int.from_bytes(payload[:2])
        else:
            number = int.from_bytes(payload)
            self.is_whole &= number == self.last + 1
            self.last = number

    def eof_received(self) -> None:
        self.ended_at = self.ended_at or time.monotonic()

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended_at = self.ended_at or time.monotonic()


class CountedFeed(asyncio.Protocol):
    """Listens to one counted feed of `bench.peers.feeds`; what it tells is what a `Socket` tells."""

    def __init__(self, key: str, request: bytes) -> None:
        self.key = key
        self._request = request
        self._rest = b""
        self.last = 0
        self.is_whole = True
        self.is_finished = False
        self.ended_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for event in EVENT.finditer(data):
            number = int(event[1])
            self.is_whole &= number == self.last + 1
            self.last = number
            end = event.end()
        self._rest = data[end:]
        self.is_finished = self._rest.endswith(b"\r\n0\r\n\r\n")

    def eof_received(self) -> None:
        self.ended_at = self.ended_at or time.monotonic()

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended_at = self.ended_at or time.monotonic()


_S = TypeVar("_S", Socket, CountedFeed)


class Delays:
    """What the events of some feeds took, second by second."""

    def __init__(self, feeds: list[Listener]) -> None:
        slices: dict[int, list[float]] = defaultdict(list)
        for feed in feeds:
            for second, delay in feed.delays:
                slices[second].append(delay)
        self._slices = [sorted(delays) for delays in slices.values()]
        self.count = sum(map(len, self._slices))

    def at(self, share: float) -> float:
        """Return the milliseconds that `share` of the events did not exceed.

        It is the median over slices of one second: what others do on the machine for a moment is
        not what the gateway adds.
        """
        at = (each[min(len(each) - 1, int(len(each) * share))] for each in self._slices)
        return statistics.median(at) * 1e3


def request(path: str, token: str = "", *, is_upgrade: bool = False) -> bytes:
    """Return the bytes of a request for a stream."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench.test"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if is_upgrade:
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def listen(ports: list[int], raw: bytes, feeds: int, seconds: float) -> list[Delays]:
    """Listen to `feeds` feeds at each of `ports` at once; return the delays at each."""
    loop = asyncio.get_running_loop()
    listeners: list[list[Listener]] = [[] for _ in ports]
    for n in range(feeds):
        for port, made in zip(ports, listeners, strict=True):
            _, listener = await loop.create_connection(partial(Listener, raw), "127.0.0.1", port)
            made.append(listener)
            await asyncio.sleep(0.02 / feeds * (n % 7) / 7)  # so that they do not tick together
    await asyncio.sleep(0.5)
    for made in listeners:
        for listener in made:
            listener.delays.clear()
    await asyncio.sleep(seconds)
    for made in listeners:
        for listener in made:
            listener.transport.abort()
    return [Delays(made) for made in listeners]


async def open_sockets(port: int, wanted: list[tuple[str, bytes]]) -> list[Socket]:
    """Open one WebSocket per (key, request); return when each got its first frame."""
    return await _opened(port, Socket, wanted)


async def open_counted(port: int, wanted: list[tuple[str, bytes]]) -> list[CountedFeed]:
    """Open one counted feed per (key, request); return when each got its first event."""
    return await _opened(port, CountedFeed, wanted)


async def _opened(port: int, kind: type[_S], wanted: list[tuple[str, bytes]]) -> list[_S]:
    loop = asyncio.get_running_loop()
    opened = []
    for key, raw in wanted:
        _, made = await loop.create_connection(partial(kind, key, raw), "127.0.0.1", port)
        opened.append(made)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all(each.last for each in opened):  # noqa: ASYNC110 - a thousand would tell
            await asyncio.sleep(0.05)
    return opened
