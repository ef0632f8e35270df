"""How often something may be said: a fault that repeats must not fill the log."""

from __future__ import annotations

from typing import Final

from gateway.ports import Clock

PAUSE_SECONDS: Final = 60.0


class Pace:
    """Says yes at most once per `seconds`."""

    __slots__ = ("_clock", "_next", "_seconds")

    def __init__(self, clock: Clock, seconds: float = PAUSE_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._next = float("-inf")

    def is_due(self) -> bool:
        """Return True if it may be said now, and start the next pause."""
        now = self._clock.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
