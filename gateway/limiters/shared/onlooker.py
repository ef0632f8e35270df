"""Looks at buckets in shared memory without drawing on them.

Knows how to read them under their locks. It must not know who draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.domain.limits import NANOSECONDS, Claim, Grant
from gateway.limiters.shared.ledger import Ledger
from gateway.limiters.shared.mutexes import Mutexes
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.table import Table
from gateway.ports import Clock, LimiterUnavailable


def look(
    table: Table,
    mutexes: Mutexes,
    claims: Sequence[Claim],
    monotonic: Callable[[], float],
    epoch: Callable[[], float],
) -> Grant | None:
    """Tell how the buckets of `claims` stand; one that was never drawn on is full. None while a lock is kept."""
    buckets = [table.bucket(claim.bucket, claim.rule) for claim in claims]
    mask = 0
    for bucket in buckets:
        mask |= bucket.bit
    order = table.order(mask)
    try:
        mutexes.lock(order)
    except LimiterUnavailable:
        return None
    try:
        ticks, now = int(monotonic() * NANOSECONDS), epoch()
        levels = [
            bucket.level(ticks, now) if table.find(bucket, ticks, now) else 0 for bucket in buckets
        ]
    finally:
        mutexes.release(order)
    return Grant.admit(claims, levels, (), now)


class Onlooker:
    """Implements `ports.Limiter` for a process that serves nobody: it looks, and draws on nothing.

    That is the supervisor of workers, whose buckets lie in `segment`.
    """

    def __init__(self, segment: Segment, clock: Clock) -> None:
        # A ledger is needed to find a gauge, and written only by who draws: this one belongs to a worker.
        self._table = Table(segment, Ledger(segment, 0))
        self._mutexes = segment.mutexes
        self._clock = clock

    def acquire(self, _: Sequence[Claim]) -> Grant:
        """Refuse: who draws here would count what nobody asked for. Raises `LimiterUnavailable`."""
        raise LimiterUnavailable("the supervisor draws on no bucket")

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        """Tell how the buckets stand; None while somebody keeps a lock."""
        return look(self._table, self._mutexes, claims, self._clock.monotonic, self._clock.now)

    def release(self, _: Grant) -> None:
        """Do nothing: nothing was drawn."""
