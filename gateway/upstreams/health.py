"""Whether one target should get requests: what probes say of it, and what it did to requests.

Knows states, counts and time, which is passed in. It must not know connections, nor other targets: whether there are
enough of them to do without this one is decided by the service.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WARMING_SHARE_MIN: Final = 0.1
"""What a target that comes in gets of its weight at first, as in Envoy: with nothing it would learn nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionRules:
    """When a target is ejected (`failures` in a row, 0 for never) and for how long; `statuses` are failures too."""

    failures: int = 5
    statuses: frozenset[int] = frozenset()
    seconds: float = 30.0
    seconds_max: float = 300.0
    share_max: float = 0.7


class TargetState(StrEnum):
    """What may be said of a target. All but `down` and `ejected` get requests."""

    UP = "up"
    WARMING = "warming"
    PROBATION = "probation"
    EJECTED = "ejected"
    DOWN = "down"


class Health:
    """The health of one target. Times are seconds that never go back.

    `is_suspect` tells that the next success matters: the path of every request asks only that. `warming_until` is when
    its share has grown to its weight.
    """

    __slots__ = (
        "_failures",
        "_is_returned",
        "_rules",
        "_times",
        "ejected_until",
        "is_down",
        "is_suspect",
        "since",
        "slow_start_seconds",
        "warming_until",
        "why",
    )

    def __init__(
        self, rules: EjectionRules, slow_start_seconds: float = 0.0, now: float = 0.0
    ) -> None:
        self._rules = rules
        self._failures = 0
        self._times = 0
        self._is_returned = False
        self.slow_start_seconds = slow_start_seconds
        self.ejected_until = 0.0
        self.warming_until = 0.0
        self.is_down = False
        self.is_suspect = False
        self.since = now
        self.why = ""

    @property
    def is_usable(self) -> bool:
        """Tell whether it should get requests."""
        return not (self.is_down or self.ejected_until)

    def state(self, now: float) -> TargetState:
        """Return what may be said of it."""
        if self.is_down:
            return TargetState.DOWN
        if self.ejected_until:
            return TargetState.EJECTED
        if self._is_returned:
            return TargetState.PROBATION
        return TargetState.WARMING if now < self.warming_until else TargetState.UP

    def share(self, now: float) -> float:
        """Return which part of its weight counts: less than 1 while it warms up."""
        left = self.warming_until - now
        if left <= 0:
            return 1.0
        return max(WARMING_SHARE_MIN, 1.0 - left / self.slow_start_seconds)

    def warm_up(self, now: float) -> None:
        """It comes in: let its share grow."""
        self.since = now
        self.warming_until = now + self.slow_start_seconds

    def probed(self, is_up: bool, why: str, now: float) -> bool:
        """Take note of what a probe found; tell whether that is news.

        A target that was down and is up again starts afresh: what it did to requests before is forgiven.
        """
        if is_up is not self.is_down:
            return False
        self.is_down = not is_up
        self.why = why
        self.since = now
        if is_up:
            self._failures = self._times = 0
            self.ejected_until = 0.0
            self.is_suspect = self._is_returned = False
            self.warm_up(now)
        return True

    def succeeded(self) -> None:
        """Take note of a request that was answered."""
        self._failures = 0
        self.is_suspect = False
        if self._is_returned:
            self._is_returned = False
            self.why = ""

    def failed(self) -> bool:
        """Take note of a failure; tell whether the target deserves to be ejected."""
        limit = self._rules.failures
        if not limit or self.ejected_until:
            return False
        self._failures += 1
        self.is_suspect = True
        return self._is_returned or self._failures >= limit

    def eject(self, why: str, now: float) -> None:
        """Take it out: longer each time; a time is forgiven for as long as the first one lasts."""
        rules = self._rules
        if self._times:
            self._times = max(0, self._times - int((now - self.since) / rules.seconds))
        self._times += 1
        self.ejected_until = now + min(rules.seconds * self._times, rules.seconds_max)
        self.since = now
        self.why = why
        self._is_returned = False

    def settle(self, now: float) -> bool:
        """Let it return, on probation, if its time is over; tell whether it did."""
        if not self.ejected_until or now < self.ejected_until:
            return False
        self.ejected_until = 0.0
        self._failures = 0
        self.is_suspect = self._is_returned = True
        self.warm_up(now)
        return True

    def changes_at(self, now: float) -> float:
        """Return when it changes by itself; infinity if it does not."""
        if self.ejected_until:
            return self.ejected_until
        if now < self.warming_until:
            return min(self.warming_until, now + self.slow_start_seconds / 10)
        return float("inf")
