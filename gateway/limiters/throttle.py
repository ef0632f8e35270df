"""Slows down addresses whose authentication keeps failing.

Knows how often each address failed lately. It must not know keys, or how an address was found: an
IPv6 address comes in folded to the prefix that one customer gets, else a client with a /64 could
fail forever.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from gateway.domain.bucket import REFUSED, TokenBucket
from gateway.domain.limits import NANOSECONDS, Rate
from gateway.ports import Clock


def failure_rule(failures: int, per_seconds: float) -> Rate:
    """Return how often an address may fail: `failures` at once, then one per `per_seconds / failures`."""
    return Rate(
        name="failures",
        limit=failures,
        window_seconds=max(1, ceil(per_seconds)),
        burst=failures,
    )


class AddressThrottle:
    """Implements `ports.Throttle`: a token bucket of failures per address.

    An address may fail `failures` times at once and then once per `per_seconds / failures`. At most
    `addresses_max` addresses are remembered (about 250 bytes each); the one whose last failure is
    the longest ago is forgotten first, because its bucket has had the most time to refill.
    """

    def __init__(
        self, clock: Clock, failures: int, per_seconds: float, addresses_max: int = 100_000
    ) -> None:
        self._monotonic = clock.monotonic
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self.follow(failures, per_seconds, addresses_max)

    def follow(self, failures: int, per_seconds: float, addresses_max: int) -> None:
        """Follow changed settings. What an address has left stays, up to the new number: never a refill."""
        self._rule = failure_rule(failures, per_seconds)
        self._addresses_max = max(1, addresses_max)
        while len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)

    def __len__(self) -> int:
        return len(self._buckets)

    def retry_after(self, address: str) -> int:
        """Return 0 if `address` may try, else the whole seconds to wait (at least 1)."""
        bucket = self._bucket(address)
        if bucket is None:
            return 0
        level = bucket.level(self._ticks())
        if level == 0:
            del self._buckets[address]
        return self._rule.wait_seconds(level)

    def failed(self, address: str) -> int:
        """Count one failed authentication; return 0, or the seconds to wait where it was one too many.

        That one is not counted: a throttled address is not throttled for longer.
        """
        ticks = self._ticks()
        bucket = self._bucket(address)
        if bucket is None:
            if len(self._buckets) >= self._addresses_max:
                self._buckets.popitem(last=False)
            bucket = self._buckets[address] = TokenBucket(self._rule)
        else:
            self._buckets.move_to_end(address)
        if bucket.draw(ticks) == REFUSED:
            return self._rule.wait_seconds(bucket.level(ticks))
        return 0

    def standing(self, address: str) -> tuple[int, int, int]:
        """Return the failures that are allowed, those left, and the seconds until all are again.

        For the rate-limit headers of answers that no other bucket stands behind.
        """
        bucket = self._bucket(address)
        if bucket is None:
            return self._rule.limit, self._rule.limit, 0
        level = bucket.level(self._ticks())
        return self._rule.limit, self._rule.remaining(level), self._rule.reset_seconds(level)

    def look(self, address: str) -> tuple[Rate, int]:
        """Return the rule for failures and the level of `address`."""
        bucket = self._bucket(address)
        return self._rule, 0 if bucket is None else bucket.level(self._ticks())

    def _bucket(self, address: str) -> TokenBucket | None:
        bucket = self._buckets.get(address)
        if bucket is not None and bucket.rule is not self._rule:
            bucket.adopt(self._rule, self._ticks())
        return bucket

    def _ticks(self) -> int:
        return int(self._monotonic() * NANOSECONDS)
