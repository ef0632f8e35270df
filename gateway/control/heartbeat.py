"""Tells whether an event loop in another process still turns.

Knows one number in memory that two processes share: when the loop last turned, on the machine's monotonic clock. A
message would say it as well, and wake up the other side for nothing several times a second.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Callable
from typing import Final

BEAT_SECONDS: Final = 0.25
"""How often a loop shows that it turns: small beside every sensible timeout, and 2 us of work."""

_BYTES: Final = 8


class Heartbeat:
    """The number, in the memory behind `descriptor`, which both processes hold."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _BYTES)
        self._cell = memoryview(self._memory).cast("d")

    @classmethod
    def create(cls) -> Heartbeat:
        """Return a new one that has never beaten."""
        descriptor = os.memfd_create("tollhouse-heartbeat", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor)

    def beat(self, now: float) -> None:
        """Show that the loop turns at `now` (monotonic seconds). One store of eight bytes, which nobody sees half."""
        self._cell[0] = now

    @property
    def last(self) -> float:
        """When it last turned (monotonic seconds); 0 for never."""
        return self._cell[0]

    def close(self) -> None:
        """Let go of the memory."""
        self._cell.release()
        self._memory.close()
        os.close(self.descriptor)


class Pulse:
    """Beats while the loop turns, from `start` to `stop`."""

    def __init__(
        self, heartbeat: Heartbeat, loop: asyncio.AbstractEventLoop, monotonic: Callable[[], float]
    ) -> None:
        self._heartbeat = heartbeat
        self._loop = loop
        self._monotonic = monotonic
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._heartbeat.beat(self._monotonic())
        self._handle = self._loop.call_later(BEAT_SECONDS, self.start)

    def stop(self) -> None:
        """Beat no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Watcher:
    """Judges heartbeats, knowing that whoever judges may have stood still as well.

    When the machine sleeps, or is so busy that the watcher itself comes late, everybody's heart has stopped: that time
    counts for nobody.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._looked = 0.0
        self._lost = 0.0

    def look(self, now: float) -> None:
        """Begin a round at `now` (monotonic seconds)."""
        if self._looked and now - self._looked > 2 * self._interval_seconds:
            self._lost = now
        self._looked = now

    def silence(self, last_beat: float) -> float:
        """Return for how many seconds there was no beat while the watcher was awake."""
        return max(0.0, self._looked - max(last_beat, self._lost))
