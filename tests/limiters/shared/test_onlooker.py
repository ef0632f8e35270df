"""Who serves nobody sees the buckets of those who do, and draws on none."""

from __future__ import annotations

import os

import pytest

from gateway.domain.limits import Grant
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.onlooker import Onlooker
from gateway.limiters.shared.segment import Segment
from gateway.ports import Limiter, LimiterUnavailable
from tests.clock import FakeClock
from tests.contracts.limiter import claim, concurrency, quota, rate
from tests.limiters.shared.segments import held_by_nobody_who_runs, segment


def test_an_onlooker_sees_what_workers_drew_and_changes_nothing() -> None:
    clock, claims = FakeClock(), (claim(rate()), claim(quota()), claim(concurrency()))
    with segment(workers_max=2, holdings_max=64) as first:
        second = Segment.attach(os.dup(first.descriptor))
        worker, onlooker = SharedLimiter(second, clock, 1), Onlooker(first, clock)
        limiter: Limiter = onlooker
        for drawn in range(3):
            seen = limiter.look(claims)
            assert seen is not None
            assert seen.levels == onlooker.look(claims).levels  # type: ignore[union-attr]
            assert seen.levels[1] == drawn
            if drawn < 2:
                assert worker.acquire(claims).refused is None
        with pytest.raises(LimiterUnavailable):
            onlooker.acquire(claims)
        onlooker.release(Grant(()))
        second.close()


def test_an_onlooker_does_not_wait_for_who_was_stopped() -> None:
    with segment(workers_max=1, holdings_max=64) as alone, held_by_nobody_who_runs(alone):
        assert Onlooker(alone, FakeClock()).look((claim(rate()),)) is None
