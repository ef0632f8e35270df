"""A circuit breaker: stops sending to an upstream that mostly fails, and tries again after a while.

Knows counts and time, which is passed in. It must not know what failed, nor targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SLICES: Final = 10
"""A window moves on in tenths, so that what it counts is at most a tenth too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, for how long, and how many requests may then try."""

    error_ratio: float
    requests_min: int
    window_seconds: float
    open_seconds: float
    probes: int


class BreakerState(StrEnum):
    """Closed lets everything pass, open nothing, half-open a few."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One breaker. Times are seconds that never go back."""

    __slots__ = ("_passed", "_rules", "_succeeded", "_until", "_window", "since", "state")

    def __init__(self, rules: BreakerRules, now: float) -> None:
        self._rules = rules
        self._window = _Window(rules.window_seconds, now)
        self._until = now
        self._passed = 0
        self._succeeded = 0
        self.state = BreakerState.CLOSED
        self.since = now

    def wait(self, now: float) -> float:
        """Let a request pass and return 0, or return the seconds until one may pass.

        Who passes while it is half-open should tell how it went; if nobody does, others may try after the time that
        it would have stayed open.
        """
        if self.state is BreakerState.CLOSED:
            return 0.0
        if now >= self._until:
            self._move(BreakerState.HALF_OPEN, now)
        if self.state is BreakerState.HALF_OPEN and self._passed < self._rules.probes:
            self._passed += 1
            return 0.0
        return self._until - now

    def succeeded(self, now: float) -> None:
        """Take note of a request that was answered."""
        if self.state is BreakerState.CLOSED:
            self._window.add(now, 0)
        elif self.state is BreakerState.HALF_OPEN:
            self._succeeded += 1
            if self._succeeded >= self._rules.probes:
                self._window = _Window(self._rules.window_seconds, now)
                self._move(BreakerState.CLOSED, now)

    def failed(self, now: float) -> bool:
        """Take note of a failure; tell whether it opened the breaker."""
        if self.state is BreakerState.CLOSED:
            requests, failures = self._window.add(now, 1)
            rules = self._rules
            if requests < rules.requests_min or failures < rules.error_ratio * requests:
                return False
        elif self.state is BreakerState.OPEN:
            return False  # it began before the breaker opened
        self._move(BreakerState.OPEN, now)
        return True

    def _move(self, state: BreakerState, now: float) -> None:
        self.state = state
        self.since = now
        self._until = now + self._rules.open_seconds
        self._passed = self._succeeded = 0


class _Window:
    """Counts of the last seconds, in slices."""

    __slots__ = ("_at", "_failures", "_requests", "_slice_seconds")

    def __init__(self, seconds: float, now: float) -> None:
        self._slice_seconds = seconds / _SLICES
        self._at = int(now / self._slice_seconds)
        self._requests = [0] * _SLICES
        self._failures = [0] * _SLICES

    def add(self, now: float, failures: int) -> tuple[int, int]:
        """Count one request with 0 or 1 `failures`; return requests and failures of the window."""
        at = int(now / self._slice_seconds)
        for passed in range(self._at + 1, min(at, self._at + _SLICES) + 1):
            self._requests[passed % _SLICES] = self._failures[passed % _SLICES] = 0
        self._at = max(at, self._at)
        here = self._at % _SLICES
        self._requests[here] += 1
        self._failures[here] += failures
        return sum(self._requests), sum(self._failures)
