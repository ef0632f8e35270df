"""The limiter of one process: every bucket in a bounded map, every answer at once.

Knows which bucket belongs to which claim, how to charge all or none of them, and which buckets may
be forgotten. It must not know the arithmetic of a bucket (`domain.bucket`), headers, or where
counts outlive a restart: the assembly carries them between `export_counts` and the key store.

One event loop owns a limiter. Nothing here awaits, so `acquire` is atomic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.domain.bucket import REFUSED, Bucket, InFlight, PeriodCounter, TokenBucket
from gateway.domain.limits import NANOSECONDS, Claim, Concurrency, Grant, Quota, Rate
from gateway.ports import Clock

_INSPECTED: Final = 8
"""How many of the oldest buckets are looked at to make room: no request pays for a whole sweep."""

_TIDIED_FROM: Final = 4096
"""From so many buckets on, those that are full again are forgotten: a megabyte is not worth the work."""


class MemoryLimiter:
    """Implements `ports.Limiter` within one process.

    At most `buckets_max` buckets are kept (200 bytes for a rate, 350 for a quota, and its name);
    only requests in flight can exceed it. A bucket that is full again equals a new one, so it is
    forgotten without loss. When none of the oldest is, the least used of them goes and
    `forgotten_early` counts it: its owner may get up to one burst or quota more. Set `buckets_max`
    above the number of active keys times their rules and this never happens.
    """

    def __init__(self, clock: Clock, *, buckets_max: int = 500_000) -> None:
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._buckets_max = max(1, buckets_max)
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._saved: dict[str, tuple[int, int]] = {}
        self._unsaved: dict[str, PeriodCounter] = {}
        self.forgotten_early = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        """Draw one request from every claim, or from none."""
        ticks = int(self._monotonic() * NANOSECONDS)
        now = self._now()
        find = self._buckets.get
        drawn: list[Bucket] = []
        levels: list[int] = []
        held: tuple[str, ...] = ()
        for claim in claims:
            bucket = find(claim.bucket)
            if bucket is None or bucket.rule is not claim.rule:
                bucket = self._open(claim, ticks, now)
            level = bucket.draw(ticks, now)
            if level == REFUSED:
                for earlier in drawn:
                    earlier.undo()
                return self._refuse(claims, ticks, now)
            drawn.append(bucket)
            levels.append(level)
            if bucket.is_held:
                held += (claim.bucket,)
        return Grant.admit(claims, levels, held, now)

    def look(self, claims: Sequence[Claim]) -> Grant:
        """Tell how the buckets stand without drawing on them; one that was never drawn on is full."""
        ticks = int(self._monotonic() * NANOSECONDS)
        now = self._now()
        levels = [self._level(claim, ticks, now) for claim in claims]
        return Grant.admit(claims, levels, (), now)

    def _level(self, claim: Claim, ticks: int, now: float) -> int:
        bucket = self._buckets.get(claim.bucket)
        if bucket is None and claim.bucket not in self._saved:
            return 0
        if bucket is None or bucket.rule is not claim.rule:
            bucket = self._open(
                claim, ticks, now
            )  # what was saved, or left under another rule, counts
        return bucket.level(ticks, now)

    def release(self, grant: Grant) -> None:
        """Give back the concurrency that `grant` holds, the first time it is called for it."""
        held, grant.held = grant.held, ()
        for name in held:
            bucket = self._buckets.get(name)
            if isinstance(bucket, InFlight):
                bucket.undo()

    def export_counts(self) -> dict[str, tuple[int, int]]:
        """Return the quota counters that changed since the last call.

        Shape: bucket -> (period start in epoch seconds, count), as `KeyStore.save_counts` takes it.
        Counts are absolute: if saving fails, merge the batch under the next one and try again.
        """
        changed, self._unsaved = self._unsaved, {}
        for counter in changed.values():
            counter.is_saved = True
        return {name: (counter.start, counter.count) for name, counter in changed.items()}

    def import_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Take over saved counters. Never lowers a count; a period that has ended is ignored."""
        for name, (start, count) in counts.items():
            bucket = self._buckets.get(name)
            if isinstance(bucket, PeriodCounter):
                bucket.restore(start, count)
            else:
                self._saved[name] = (start, count)

    def _refuse(self, claims: Sequence[Claim], ticks: int, now: float) -> Grant:
        levels: list[int] = []
        waits: list[int] = []
        for claim in claims:
            bucket = self._open(claim, ticks, now)
            levels.append(bucket.level(ticks, now))
            waits.append(bucket.wait_seconds(ticks, now))
        return Grant.refuse(claims, levels, waits, now)

    def _open(self, claim: Claim, ticks: int, now: float) -> Bucket:
        """Return the bucket of `claim`: as it is, adapted to a rule that changed, or made now."""
        name, rule = claim.bucket, claim.rule
        bucket = self._buckets.get(name)
        if bucket is not None and bucket.rule is rule:
            return bucket
        if isinstance(bucket, TokenBucket) and isinstance(rule, Rate):
            bucket.adopt(rule, ticks)
        elif isinstance(bucket, PeriodCounter) and isinstance(rule, Quota):
            bucket.adopt(rule, now)
        elif isinstance(bucket, InFlight) and isinstance(rule, Concurrency):
            bucket.adopt(rule)
        else:
            bucket = self._make(claim, now)
            if len(self._buckets) >= self._buckets_max:
                self._make_room(ticks, now)
            elif len(self._buckets) >= _TIDIED_FROM:
                self._forget_full(ticks, now)
            self._buckets[name] = bucket
        return bucket

    def _make(self, claim: Claim, now: float) -> Bucket:
        rule = claim.rule
        if isinstance(rule, Rate):
            return TokenBucket(rule)
        if isinstance(rule, Concurrency):
            return InFlight(rule)
        counter = PeriodCounter(rule, claim.bucket, now, self._note_unsaved)
        saved = self._saved.pop(claim.bucket, None)
        if saved is not None:
            counter.restore(*saved)
        return counter

    def _note_unsaved(self, counter: PeriodCounter) -> None:
        self._unsaved[counter.bucket] = counter

    def _forget_full(self, ticks: int, now: float) -> None:
        """Forget those of the two oldest that are full again: what is kept is what is in use, not what ever was."""
        for _ in range(min(2, len(self._buckets))):
            name = next(iter(self._buckets))
            if self._buckets[name].used(ticks, now) == 0:
                del self._buckets[name]
            else:
                self._buckets.move_to_end(name)

    def _make_room(self, ticks: int, now: float) -> None:
        """Forget the least used of the oldest buckets; the others become the youngest."""
        least, least_used = "", float("inf")
        for _ in range(min(_INSPECTED, len(self._buckets))):
            name = next(iter(self._buckets))
            used = self._buckets[name].used(ticks, now)
            self._buckets.move_to_end(name)
            if used < least_used:
                least, least_used = name, used
            if used == 0:
                break
        if least:
            del self._buckets[least]
            self.forgotten_early += least_used > 0
