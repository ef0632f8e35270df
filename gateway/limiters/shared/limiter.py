"""The limiter of one worker among several: exact, because all of them draw on the same buckets.

Knows in which order locks are taken and that a request is charged for all of its claims or for none. It must not know
where a bucket lies (`table`), how it moves (`buckets`), or what a supervisor is.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.bucket import REFUSED
from gateway.domain.limits import NANOSECONDS, Claim, Grant
from gateway.limiters.shared.buckets import SharedBucket, end_entry
from gateway.limiters.shared.ledger import Ledger
from gateway.limiters.shared.onlooker import look
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.table import Table
from gateway.ports import Clock, LimiterUnavailable


class SharedLimiter:
    """Implements `ports.Limiter` over a segment that several processes have attached to.

    `worker` is the number of this process among those that hold concurrency; nobody has it again until the supervisor
    has released what it held (`Supervision.release_all`), else ValueError. The monotonic clock must be the same for all
    processes of the host, as Linux' is.

    A lock that its owner does not give back within a quarter of a second makes `acquire` raise `LimiterUnavailable`
    and `look` return None: the owner was stopped, and only who needs one of its at most few stripes is refused.
    """

    def __init__(self, segment: Segment, clock: Clock, worker: int) -> None:
        self._ledger = Ledger(segment, worker)
        if self._ledger.used:
            raise ValueError(
                f"worker {worker} still holds what nobody has released: call release_all"
            )
        self._table = Table(segment, self._ledger)
        self._mutexes = segment.mutexes
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._words = segment.words
        self._late: list[int] = []

    def __len__(self) -> int:
        return len(self._table)

    @property
    def forgotten_early(self) -> int:
        """How many buckets were forgotten that were not full again, by all processes."""
        return self._table.forgotten_early

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        """Draw one request from every claim, or from none."""
        find = self._table.known.get
        buckets: list[SharedBucket] = []
        mask = 0
        for claim in claims:
            bucket = find(claim.bucket)
            if bucket is None or bucket.rule is not claim.rule:
                bucket = self._table.bucket(claim.bucket, claim.rule)
                find = self._table.known.get
            mask |= bucket.bit
            buckets.append(bucket)
        order = self._table.order(mask)
        levels: list[int] = []
        held: tuple[str, ...] = ()
        words = self._words
        self._mutexes.lock(order)
        try:
            # The clock is read under the locks: a reading from before them would be a step back for the bucket.
            ticks = int(self._monotonic() * NANOSECONDS)
            now = self._now()
            for bucket in buckets:
                if words[bucket.at] != bucket.stamp:
                    self._table.open(bucket, ticks, now)
                level = bucket.draw(ticks, now)
                if level == REFUSED:
                    return self._refuse(claims, buckets, len(levels), ticks, now)
                levels.append(level)
                if bucket.is_held:
                    held += (bucket.name,)
        except LimiterUnavailable:
            self._undo(buckets[: len(levels)])
            raise
        finally:
            self._mutexes.release(order)
        return Grant.admit(claims, levels, held, now)

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        """Tell how the buckets stand without drawing on them; one that was never drawn on is full."""
        return look(self._table, self._mutexes, claims, self._monotonic, self._now)

    def release(self, grant: Grant) -> None:
        """Give back the concurrency that `grant` holds, the first time it is called for it."""
        if self._late:
            self._catch_up()
        held, grant.held = grant.held, ()
        for name in held:
            entry = self._ledger.take(name)
            if entry is not None:
                self._end(entry)

    def _catch_up(self) -> None:
        late, self._late = self._late, []
        for entry in late:
            self._end(entry)

    def _end(self, entry: int) -> None:
        order = self._table.order_of(self._ledger.slot(entry))
        try:
            self._mutexes.lock(order)
        except LimiterUnavailable:
            self._late.append(entry)  # counted as in flight until then: the error that admits less
            return
        try:
            end_entry(self._words, self._ledger, entry)
        finally:
            self._mutexes.release(order)

    def _undo(self, drawn: Sequence[SharedBucket]) -> None:
        for bucket in drawn:
            if self._words[bucket.at] == bucket.stamp:  # else it made room for another one
                bucket.undo()

    def _refuse(
        self,
        claims: Sequence[Claim],
        buckets: list[SharedBucket],
        drawn: int,
        ticks: int,
        now: float,
    ) -> Grant:
        self._undo(buckets[:drawn])
        levels: list[int] = []
        waits: list[int] = []
        for bucket in buckets:
            is_found = self._table.find(bucket, ticks, now)
            levels.append(bucket.level(ticks, now) if is_found else 0)
            waits.append(bucket.wait_seconds(ticks, now) if is_found else 0)
        return Grant.refuse(claims, levels, waits, now)
