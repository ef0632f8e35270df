"""Callers of a gateway that note when each request began and ended, and what became of it.

A caller writes a request only into a connection that it has not seen the end of, and goes by `Connection: close`, as
every client does; nothing is tried again. What was written and not answered is a failure, whoever closed first.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, NamedTuple

PATIENCE_SECONDS: Final = 60.0
"""A request that waits while a gateway is replaced is not a failed one; one that waits for longer is."""

_AGAIN_SECONDS: Final = 0.05
"""When it is tried again to connect to who refuses."""

Ask = Callable[[], tuple[int, bytes]]
"""Returns the number of a key, and a request with it."""


class Call(NamedTuple):
    """One request; times are epoch seconds. `status` is 0 without an answer, `why` then says more."""

    place: str
    key: int
    started: float
    ended: float
    status: int
    why: str = ""


class Callers:
    """They ask until `is_over`; `calls` is what became of it, in the order of the ends."""

    def __init__(self, ask: Ask, seed: int = 1) -> None:
        self.calls: list[Call] = []
        self.is_over = False
        self._ask = ask
        self._chance = Random(seed)

    async def call(
        self, place: str, port: int, *, keeps_alive: bool = True, pause_seconds: float = 0.0
    ) -> None:
        """Ask at `port` of this machine, with pauses of up to `pause_seconds`, on one connection for as long as it
        holds or on a new one for each request.
        """
        while self._goes_on():
            started = time.time()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except (OSError, TimeoutError) as error:
                self._note(place, 0, started, 0, f"connecting: {error!r}")
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            try:
                while self._goes_on() and not reader.at_eof():
                    is_kept = await self._once(place, reader, writer)
                    if not keeps_alive or not is_kept:
                        break
                    if pause_seconds:
                        await asyncio.sleep(self._chance.uniform(0, pause_seconds))
            finally:
                writer.close()

    async def _once(
        self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Ask once; tell whether the connection can be used again."""
        key, raw = self._ask()
        started = time.time()
        try:
            writer.write(raw)
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(_length(head))
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._note(place, key, started, 0, repr(error))
            return False
        self._note(place, key, started, int(head[9:12]))
        return b"\r\nconnection: close" not in head

    def _goes_on(self) -> bool:
        return not self.is_over

    def _note(self, place: str, key: int, started: float, status: int, why: str = "") -> None:
        self.calls.append(Call(place, key, started, time.time(), status, why))

    # ---- what became of it

    def of(self, *places: str) -> list[Call]:
        """Return the calls at these places; at all of them without any."""
        return [call for call in self.calls if not places or call.place in places]


def failed(calls: Iterable[Call], *fine: int) -> list[Call]:
    """Return those that were not answered with any of `fine` (200)."""
    wanted = fine or (200,)
    return [call for call in calls if call.status not in wanted]


def longest(calls: Iterable[Call]) -> float:
    """Return how long the slowest answered one took (seconds)."""
    return max((call.ended - call.started for call in calls if call.status), default=0.0)


def get(path: str, secret: str = "") -> bytes:
    """Return a request."""
    field = f"Authorization: Bearer {secret}\r\n" if secret else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n{field}\r\n".encode()


def worst_excess(calls: Sequence[Call], rate: float, burst: int) -> float:
    """Return by how much the admitted calls exceeded `burst + rate * t` in the worst of all windows of `t` seconds.

    A call counts in a window in which it began and ended, for that is where it was decided. Negative: the most that
    was let in is so much below.
    """
    admitted = sorted((call for call in calls if call.status == 200), key=lambda call: call.ended)
    ends = [call.ended for call in admitted]
    worst = -float(burst)
    for first in admitted:
        count = 0
        for call in admitted[bisect_left(ends, first.started) :]:
            if call.started >= first.started:
                count += 1
                worst = max(worst, count - burst - rate * (call.ended - first.started))
    return worst


def _length(head: bytes) -> int:
    """Return the length of the body behind a head in lower case. Raises `ValueError` without one."""
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"no length: {head!r}")
    return int(head[at + 17 : head.index(b"\r\n", at + 2)])
