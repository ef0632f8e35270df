"""Requests of one bucket that a node has taken in advance: how many, until when, and when to take more.

Pure: time comes in as an argument, what to ask goes out as a number, so that `bench.leased_simulation` runs this very
code on a hundred nodes. It must not know Redis.

What is taken is let in within the lease, or given back. So all that nodes let in within `t` seconds was drawn in Redis
within `t + lease` seconds, where at most `burst + rate * (t + lease)` can be drawn: a lease exceeds a limit by what its
rate lets in during one lease, however many nodes there are. A quota is not exceeded at all, because nothing outlives
the period that it was taken in.

Giving back does not weaken this. Time pays for what was taken as for anything else; only what it has not paid yet is
given back (`move.lua`). So of tokens that were taken before an instant, no more returns after it than the bucket still
owes for them at that instant, and no draw becomes possible that was not, had they never been taken.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

from gateway.domain.limits import NANOSECONDS, Concurrency, Rate, Rule

WORTH_IT: Final = 64
"""A smaller limit is always asked for: of what is left, an eighth is taken at most, which would be a few at a time."""

_BUSY: Final = 4
"""Fewer requests within a lease are asked for one by one: that takes no more calls."""


class _Batch:
    """`count` requests that were taken at `taken_at` (Redis' microseconds), to be let in before `until` (monotonic)."""

    __slots__ = ("count", "taken_at", "until")

    def __init__(self, count: int, until: float, taken_at: int) -> None:
        self.count = count
        self.until = until
        self.taken_at = taken_at


class Lease:
    """What one node has of one bucket. All times but `taken_at` are monotonic seconds of the node."""

    __slots__ = (
        "_asked_after", "_batches", "_before", "_count", "_hold", "_level", "_level_at", "_window_at",
        "is_asking", "rule",
    )  # fmt: skip

    def __init__(self, rule: Rule, hold_seconds: float) -> None:
        self.rule = rule
        self.is_asking = False
        self._hold = hold_seconds
        self._batches: deque[_Batch] = deque()
        self._level = 0
        self._level_at = 0.0
        self._window_at = -hold_seconds
        self._count = self._before = 0
        self._asked_after = 0.0

    # ---- letting in

    @property
    def left(self) -> int:
        """How many requests are at hand, also those whose time is over."""
        return sum(batch.count for batch in self._batches)

    def has(self, now: float) -> bool:
        """Tell whether a request can be let in; `spend` does it."""
        return any(batch.until > now for batch in self._batches)

    def spend(self, now: float) -> int:
        """Let one in, after `has` said so; return the level of the bucket, as far as this node knows."""
        for batch in self._batches:
            if batch.until > now:
                batch.count -= 1
                if not batch.count:
                    self._batches.remove(batch)
                break
        return self.level(now)

    def heard(self, level: int, now: float) -> int:
        """Take note of how the bucket stands in Redis; return how it does without what is at hand."""
        self._level, self._level_at = level, now
        return self.level(now)

    def level(self, now: float) -> int:
        """Return how the bucket would stand if nobody else had drawn on it since it was last heard of: what is at hand
        has not been let in yet.
        """
        rule = self.rule
        at_hand = sum(batch.count for batch in self._batches if batch.until > now)
        if not isinstance(rule, Rate):
            return max(0, self._level - at_hand)
        paid = int((now - self._level_at) * NANOSECONDS) * rule.refill
        return max(0, self._level - paid - at_hand * rule.price)

    # ---- taking

    def note(self, now: float) -> None:
        """Count a request that draws on the bucket, however it is let in."""
        passed = now - self._window_at
        if passed >= self._hold:
            self._before = self._count if passed < 2 * self._hold else 0
            self._window_at, self._count = now, 0
        self._count += 1

    def wanted(self, now: float) -> int:
        """Return how many requests to take now, 0 for none. Half of what a lease has seen is taken when a quarter is
        left, so that at a steady pace nothing is left over.
        """
        demand = max(self._count, self._before)
        if self.is_asking or demand < _BUSY or now < self._asked_after or 4 * self.left > demand:
            return 0
        return ceil(demand / 2)

    def took(self, count: int, level: int, ends: int, *, asked_at: float, taken_at: int) -> None:
        """Take note of what was taken: `level` and `ends` (of a quota's period, epoch s) as the bucket stands then."""
        self.is_asking = False
        self._level, self._level_at = level, asked_at
        if not count:
            self._asked_after = (
                asked_at + self._hold / 2
            )  # near its limit a bucket is asked one by one
            return
        hold = self._hold
        if not isinstance(self.rule, Rate):
            hold = min(hold, (ends * 1_000_000 - taken_at) / 1_000_000)
        self._batches.append(_Batch(count, asked_at + hold, taken_at))

    def failed(self) -> None:
        """Take note that nothing was answered."""
        self.is_asking = False

    # ---- giving back

    def overdue(self, now: float) -> list[tuple[int, int]]:
        """Take out what was not let in in time: how many, and when they were taken (Redis' microseconds)."""
        over = [batch for batch in self._batches if batch.until <= now]
        for batch in over:
            self._batches.remove(batch)
        return [(batch.count, batch.taken_at) for batch in over]

    def is_idle(self, now: float) -> bool:
        """Tell whether nothing is lost when this is forgotten."""
        return not self._batches and not self.is_asking and now - self._window_at >= 2 * self._hold


def is_worth_it(rule: Rule) -> bool:
    """Tell whether a rule is ever taken from in advance."""
    if isinstance(rule, Concurrency):
        return False
    return (rule.burst if isinstance(rule, Rate) else rule.limit) >= WORTH_IT
