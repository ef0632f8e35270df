"""Open connections of each client over all workers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gateway.limiters.shared.headcount import SharedHeadcount
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.supervision import Supervision
from tests.clock import FakeClock
from tests.contracts.headcount import HeadcountContract
from tests.limiters.shared.segments import limiter, segment


class TestSharedHeadcount(HeadcountContract):
    """Keeps the contract."""

    @pytest.fixture
    def headcount(self) -> Iterator[SharedHeadcount]:
        with limiter(FakeClock()) as shared:
            yield SharedHeadcount(shared)


def test_connections_count_at_whichever_worker_they_are_and_end_with_it() -> None:
    with segment() as first:
        second = Segment.attach(os.dup(first.descriptor))
        one = SharedHeadcount(SharedLimiter(first, FakeClock(), 0))
        other = SharedHeadcount(SharedLimiter(second, FakeClock(), 1))
        assert one.enter("192.0.2.1", 2)
        assert other.enter("192.0.2.1", 2)
        assert not one.enter("192.0.2.1", 2)
        assert Supervision(first).release_all(1)
        assert [one.enter("192.0.2.1", 2) for _ in range(2)] == [True, False]
        second.close()


def test_a_connection_that_nobody_can_count_is_refused() -> None:
    with limiter(FakeClock(), holdings_max=1) as shared:
        headcount = SharedHeadcount(shared)
        assert headcount.enter("192.0.2.1", 9)
        assert not headcount.enter("192.0.2.1", 9)
