"""What a limiter would answer, worked out from how its buckets stand: nothing is drawn.

Knows how a bucket is made that stands where another one does, so that the arithmetic of `bucket` answers for it. It
must not know where the real ones are.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.bucket import REFUSED, Bucket, InFlight, PeriodCounter, TokenBucket
from gateway.domain.limits import Claim, Concurrency, Grant, Rate

_TICKS = 0
"""The moment of a rehearsal, for rates: levels are given as they are at that moment."""


def rehearse(claims: Sequence[Claim], levels: Sequence[int], now: float) -> Grant:
    """Return the grant that drawing on `claims` would give while their buckets stand at `levels`.

    Its levels are those after the draw, or, when it is refused, those before.
    """
    buckets: dict[str, Bucket] = {}
    for claim, level in zip(claims, levels, strict=True):
        buckets.setdefault(claim.bucket, _standing_at(claim, level, now))
    drawn = []
    for claim in claims:
        level = buckets[claim.bucket].draw(_TICKS, now)
        if level == REFUSED:
            waits = [
                _standing_at(each, before, now).wait_seconds(_TICKS, now)
                for each, before in zip(claims, levels, strict=True)
            ]
            return Grant.refuse(claims, levels, waits, now)
        drawn.append(level)
    held = tuple(claim.bucket for claim in claims if buckets[claim.bucket].is_held)
    return Grant.admit(claims, drawn, held, now)


def _standing_at(claim: Claim, level: int, now: float) -> Bucket:
    rule = claim.rule
    if isinstance(rule, Rate):
        bucket = TokenBucket(rule)
        bucket.paid_at = level
        return bucket
    if isinstance(rule, Concurrency):
        gauge = InFlight(rule)
        gauge.count = level
        return gauge
    counter = PeriodCounter(rule, claim.bucket, now, _nobody)
    counter.count = level
    return counter


def _nobody(_: PeriodCounter) -> None:
    """Nobody is told of a count that is not kept."""
