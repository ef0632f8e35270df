"""The arithmetic of one bucket: tokens that refill, requests of a period, requests in flight.

Knows how a level moves; time comes in as an argument (monotonic nanoseconds for rates, epoch
seconds for periods). It must not know the clock, whose bucket it is, or what happens to a request
that is refused.

All kinds speak the same words, so that a limiter walks over them without asking: `draw` charges one
request and returns the new level, or `REFUSED` and charges nothing; `undo` takes the last draw
back; `wait_seconds` tells when a draw would succeed; `used` is the share of the limit in use, and
at 0 the bucket equals a new one and may be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf
from typing import ClassVar, Final

from gateway.domain.limits import Concurrency, Quota, Rate
from gateway.domain.periods import period_bounds

REFUSED: Final = -1


class TokenBucket:
    """The state of one `Rate`: the instant at which its debt is paid, in units (see `Rate`).

    Between any two readings of the clock it admits at most `burst + limit / window_seconds * t`,
    where `t` is the time by which the clock moved forward between them. A clock that goes back
    never refills: the debt grows, up to an empty bucket, and is paid at the normal rate from there.
    """

    __slots__ = ("paid_at", "rule")

    is_held: ClassVar[bool] = False

    def __init__(self, rule: Rate) -> None:
        self.rule = rule
        self.paid_at = 0

    def draw(self, ticks: int, _now: float = 0.0) -> int:
        """Charge one request at `ticks` (monotonic nanoseconds); return the debt or `REFUSED`."""
        rule = self.rule
        arrival = ticks * rule.refill
        level = self.paid_at - arrival
        level = rule.price + level if level > 0 else rule.price
        if level > rule.capacity:
            if level > rule.capacity + rule.price:
                self.paid_at = arrival + rule.capacity  # the clock went back: never owe more
            return REFUSED
        self.paid_at = arrival + level
        return level

    def undo(self) -> None:
        """Take the last successful draw back."""
        self.paid_at -= self.rule.price

    def level(self, ticks: int, _now: float = 0.0) -> int:
        """Return the debt at `ticks`, from 0 (full) to the rule's capacity (empty)."""
        level = self.paid_at - ticks * self.rule.refill
        return min(level, self.rule.capacity) if level > 0 else 0

    def wait_seconds(self, ticks: int, _now: float = 0.0) -> int:
        """Return 0 if a draw would succeed, else the fewest whole seconds after which it does."""
        return self.rule.wait_seconds(self.level(ticks))

    def used(self, ticks: int, _now: float) -> float:
        """Return the share of the burst that is in use."""
        return self.level(ticks) / self.rule.capacity

    def adopt(self, rule: Rate, ticks: int) -> None:
        """Follow a changed rule: what is left stays, up to the new burst. Never a refill."""
        old = self.rule
        left = (old.capacity - self.level(ticks)) * rule.price // old.price
        self.rule = rule
        self.paid_at = ticks * rule.refill + rule.capacity - min(left, rule.capacity)


class PeriodCounter:
    """The state of one `Quota`: the requests of the current calendar period.

    `notify` is called with the counter at its first change after `is_saved` was set: whoever keeps
    counts across restarts learns of it without looking at every counter. A clock that steps back
    over the start of the period does not empty the counter twice; one that was wrong by more than a
    period is followed, and the count stays.
    """

    __slots__ = ("_notify", "bucket", "count", "end", "is_saved", "rule", "start")

    is_held: ClassVar[bool] = False

    def __init__(
        self, rule: Quota, bucket: str, now: float, notify: Callable[[PeriodCounter], None]
    ) -> None:
        self.rule = rule
        self.bucket = bucket
        self.start, self.end = period_bounds(rule.period, now)
        self.count = 0
        self.is_saved = True
        self._notify = notify

    def draw(self, _ticks: int, now: float) -> int:
        """Count one request at `now` (epoch seconds); return the period's count or `REFUSED`."""
        if not self.start <= now < self.end:
            self._turn(now)
        count = self.count + 1
        if count > self.rule.limit:
            return REFUSED
        self.count = count
        if self.is_saved:
            self.is_saved = False
            self._notify(self)
        return count

    def undo(self) -> None:
        """Take the last successful draw back."""
        self.count -= 1

    def level(self, _ticks: int, now: float) -> int:
        """Return the count of the period that contains `now`."""
        return self.count if now < self.end else 0

    def wait_seconds(self, ticks: int, now: float) -> int:
        """Return 0 if a draw would succeed, else the seconds until the period ends, rounded up."""
        return 0 if self.level(ticks, now) < self.rule.limit else ceil(self.end - now)

    def used(self, ticks: int, now: float) -> float:
        """Return the share of the quota that is in use."""
        return self.level(ticks, now) / self.rule.limit

    def adopt(self, rule: Quota, now: float) -> None:
        """Follow a changed rule: the count stays, also above the new limit. Never a refill."""
        self.count = self.level(0, now)
        if rule.period != self.rule.period or now >= self.end:
            self.start, self.end = period_bounds(rule.period, now)
        self.rule = rule

    def restore(self, start: int, count: int) -> None:
        """Take over a count that was saved: of this period, the higher one is true."""
        if self.start <= start < self.end:
            self.count = max(self.count, count)

    def _turn(self, now: float) -> None:
        if now >= self.end:
            self.count = 0
        elif self.start - now < self.end - self.start:
            return  # a small step back: what comes now counts towards the period that has begun
        self.start, self.end = period_bounds(self.rule.period, now)


class InFlight:
    """The state of one `Concurrency`: the requests that have begun and not ended."""

    __slots__ = ("count", "rule")

    is_held: ClassVar[bool] = True

    def __init__(self, rule: Concurrency) -> None:
        self.rule = rule
        self.count = 0

    def draw(self, _ticks: int = 0, _now: float = 0.0) -> int:
        """Begin one request and return how many run now, or `REFUSED`."""
        if self.count >= self.rule.limit:
            return REFUSED
        self.count += 1
        return self.count

    def undo(self) -> None:
        """End one request."""
        self.count -= 1

    def level(self, _ticks: int = 0, _now: float = 0.0) -> int:
        """Return how many requests run now."""
        return self.count

    def wait_seconds(self, _ticks: int = 0, _now: float = 0.0) -> int:
        """Return 0 if a draw would succeed, else 1: nobody knows when a request will end."""
        return 0 if self.count < self.rule.limit else 1

    def used(self, _ticks: int = 0, _now: float = 0.0) -> float:
        """Return 0 when idle, else infinity: a request that runs can't be forgotten."""
        return inf if self.count else 0.0

    def adopt(self, rule: Concurrency) -> None:
        """Follow a changed rule: the requests that run go on, also above the new limit."""
        self.rule = rule


Bucket = TokenBucket | PeriodCounter | InFlight
