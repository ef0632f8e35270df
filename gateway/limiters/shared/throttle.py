"""Slows down addresses whose authentication keeps failing, whichever worker they fail at.

Knows how often each address failed lately. It must not know keys, or how an address was found. Its segment is not that
of the limits: addresses that cost nothing must not push out buckets of keys.
"""

from __future__ import annotations

from gateway.domain.bucket import REFUSED
from gateway.domain.limits import NANOSECONDS, Rate
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.table import Table
from gateway.limiters.throttle import failure_rule
from gateway.ports import Clock, LimiterUnavailable


class SharedThrottle:
    """Implements `ports.Throttle`: a token bucket of failures per address, one for all workers.

    As many addresses are remembered as the segment has buckets; the least used of some of the oldest is forgotten
    first. While a stopped worker holds the lock of an address, that address has to wait: who can't be counted may not
    guess.
    """

    def __init__(self, segment: Segment, clock: Clock, failures: int, per_seconds: float) -> None:
        self._table = Table(segment)
        self._mutexes = segment.mutexes
        self._monotonic = clock.monotonic
        self._rule = failure_rule(failures, per_seconds)

    def follow(self, failures: int, per_seconds: float, _addresses_max: int) -> None:
        """Follow changed settings. What an address has left stays, up to the new number: never a refill.

        The number of addresses follows at the next start: shared memory does not grow.
        """
        self._rule = failure_rule(failures, per_seconds)

    def __len__(self) -> int:
        return len(self._table)

    def retry_after(self, address: str) -> int:
        """Return 0 if `address` may try, else the whole seconds to wait (at least 1)."""
        try:
            return self._rule.wait_seconds(self._level(address))
        except LimiterUnavailable:
            return 1

    def failed(self, address: str) -> int:
        """Count one failed authentication; return 0, or the seconds to wait where it was one too many.

        That one is not counted: a throttled address is not throttled for longer.
        """
        bucket = self._table.bucket(address, self._rule)
        order = self._table.order(bucket.bit)
        try:
            self._mutexes.lock(order)
        except LimiterUnavailable:
            return 1
        try:
            ticks = self._ticks()
            self._table.open(bucket, ticks, 0.0)
            if bucket.draw(ticks, 0.0) == REFUSED:
                return self._rule.wait_seconds(bucket.level(ticks, 0.0))
            return 0
        finally:
            self._mutexes.release(order)

    def standing(self, address: str) -> tuple[int, int, int]:
        """Return the failures that are allowed, those left, and the seconds until all are again.

        For the rate-limit headers of answers that no other bucket stands behind.
        """
        rule = self._rule
        try:
            level = self._level(address)
        except LimiterUnavailable:
            return rule.limit, 0, 1
        return rule.limit, rule.remaining(level), rule.reset_seconds(level)

    def look(self, address: str) -> tuple[Rate, int] | None:
        """Return the rule for failures and the level of `address`; None while somebody keeps its lock."""
        try:
            return self._rule, self._level(address)
        except LimiterUnavailable:
            return None

    def _level(self, address: str) -> int:
        """Return the level of an address; one that never failed gets no bucket by being asked about."""
        bucket = self._table.bucket(address, self._rule)
        order = self._table.order(bucket.bit)
        self._mutexes.lock(order)
        try:
            ticks = self._ticks()
            return bucket.level(ticks, 0.0) if self._table.find(bucket, ticks, 0.0) else 0
        finally:
            self._mutexes.release(order)

    def _ticks(self) -> int:
        return int(self._monotonic() * NANOSECONDS)
