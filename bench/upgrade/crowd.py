"""Who uses a gateway while it is replaced: callers of several kinds, and streams.

Half of the callers keep their connections and half of those ask without pause; others open a connection for each
request. They GET and they POST. A stream is whole when its last chunk came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from bench.callers import Callers, get
from bench.cluster.nodes import JOBS

BODY: Final = b"x" * 2000
SHORT_EVENTS: Final = 3
"""Of a stream that ends by itself, a second apart: within the time that a drain gives it."""

_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_PLACE: Final = ""


@dataclass(slots=True)
class Stream:
    """One stream of events; `is_short` ends by itself."""

    is_short: bool
    is_open: bool = False
    is_whole: bool = False
    was_cut: bool = False

    async def listen(self, port: int, secret: str) -> None:
        """Listen until it ends."""
        path = f"/v1/events?count={SHORT_EVENTS}" if self.is_short else "/v1/events"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(get(path, secret))
            rest = b""
            with suppress(ConnectionError):
                while not self.is_whole and (chunk := await reader.read(65536)):
                    self.is_open = True
                    rest = (rest + chunk)[-len(_LAST_CHUNK) :]
                    self.is_whole = rest.endswith(_LAST_CHUNK)
            self.was_cut = not self.is_whole
        finally:
            writer.close()


@dataclass(slots=True)
class Crowd:
    """All of them; `streams` are there for as long as their connection."""

    callers: Callers
    port: int
    secret: str
    streams: list[Stream] = field(default_factory=list)
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _listening: list[asyncio.Task[None]] = field(default_factory=list)

    async def open_streams(self, short: int, endless: int) -> None:
        """Open streams, and return when each has begun."""
        opened = [Stream(is_short=True) for _ in range(short)]
        opened += [Stream(is_short=False) for _ in range(endless)]
        self.streams += opened
        for each in opened:
            self._listening.append(self._tasks.create_task(each.listen(self.port, self.secret)))
        async with asyncio.timeout(30):
            while not all(each.is_open for each in opened):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def leave(self) -> None:
        """Stop asking, and end what is still open."""
        self.callers.is_over = True
        for each in self._listening:
            each.cancel()


@asynccontextmanager
async def crowd(port: int, secret: str, settle_seconds: float) -> AsyncIterator[Crowd]:
    """Let them ask for as long as the block lasts, and a while before and after it."""
    field_ = f"Host: bench.test\r\nAuthorization: Bearer {secret}\r\n"
    post = f"POST /v1/echo HTTP/1.1\r\n{field_}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    requests = cycle((get(JOBS, secret), get(JOBS, secret), post))
    callers = Callers(lambda: (0, next(requests)))
    async with asyncio.TaskGroup() as tasks:
        made = Crowd(callers, port, secret, _tasks=tasks)
        for pause_seconds in (0.0, 0.0, 0.05, 0.4):
            tasks.create_task(callers.call(_PLACE, port, pause_seconds=pause_seconds))
        for _ in range(2):
            tasks.create_task(callers.call(_PLACE, port, keeps_alive=False))
        try:
            await asyncio.sleep(settle_seconds)
            yield made
            await asyncio.sleep(settle_seconds)
        finally:
            await made.leave()
