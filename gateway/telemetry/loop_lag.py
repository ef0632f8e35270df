"""Measures how late the event loop runs its timers: the first sign of an overloaded worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

INTERVAL_SECONDS: Final = 0.5


class Timer(Protocol):
    """What an event loop returns for a callback that it will run."""

    def cancel(self) -> None:
        """Don't run it."""
        ...


class Timers(Protocol):
    """The part of an event loop that this room needs."""

    def time(self) -> float:
        """Return the loop's time in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Run `callback` at `when`."""
        ...


class LoopLag:
    """Tells `observe` the lag in seconds (0 or more) every `interval_seconds` while started."""

    __slots__ = ("_due", "_handle", "_interval", "_loop", "_observe")

    def __init__(
        self,
        observe: Callable[[float], None],
        loop: Timers,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._observe = observe
        self._loop = loop
        self._interval = interval_seconds
        self._due = 0.0
        self._handle: Timer | None = None

    def start(self) -> None:
        """Begin to measure; does nothing when already started."""
        if self._handle is None:
            self._arm()

    def stop(self) -> None:
        """End measuring; does nothing when not started."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        self._due = self._loop.time() + self._interval
        self._handle = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._observe(max(0.0, self._loop.time() - self._due))
        self._arm()
