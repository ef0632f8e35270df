"""What outlives a worker, and what does not outlive it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gateway.domain.limits import Claim, Quota
from gateway.limiters.shared.buckets import KIND, RATE
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.supervision import Supervision
from tests.clock import FakeClock
from tests.contracts.limiter import HOUR, admitted, claim, concurrency, quota, rate
from tests.limiters.shared.hammer import hammer
from tests.limiters.shared.segments import held_by_nobody_who_runs
from tests.limiters.shared.segments import segment as made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=HOUR)


@pytest.fixture
def segment() -> Iterator[Segment]:
    with made() as segment:
        yield segment


def take(limiter: SharedLimiter, times: int, *claims: Claim) -> int:
    return admitted([limiter.acquire(claims) for _ in range(times)])


# ---- quotas


def test_counts_outlive_the_segment(segment: Segment, clock: FakeClock) -> None:
    take(SharedLimiter(segment, clock, 0), 3, claim(quota(5)), claim(rate()))
    with made() as next_one:
        Supervision(next_one).import_counts(Supervision(segment).export_counts())
        assert take(SharedLimiter(next_one, clock, 0), 9, claim(quota(5))) == 2


def test_only_counters_that_changed_are_exported(segment: Segment, clock: FakeClock) -> None:
    limiter, supervision = SharedLimiter(segment, clock, 0), Supervision(segment)
    mine, theirs = claim(quota()), claim(quota(), "lineage:b")
    take(limiter, 2, mine)
    take(limiter, 1, theirs)
    assert supervision.export_counts() == {
        mine.bucket: (int(HOUR), 2),
        theirs.bucket: (int(HOUR), 1),
    }
    assert supervision.export_counts() == {}
    take(limiter, 1, theirs)
    assert supervision.export_counts() == {theirs.bucket: (int(HOUR), 2)}
    clock.advance(3600)
    take(limiter, 1, theirs)
    assert supervision.export_counts() == {theirs.bucket: (int(HOUR) + 3600, 1)}


def test_what_a_worker_counted_just_before_it_was_killed_is_exported(
    segment: Segment, clock: FakeClock
) -> None:
    hammer("count-and-die", segment.descriptor)
    assert Supervision(segment).export_counts() == {claim(quota()).bucket: (int(HOUR), 4)}


def test_a_refused_request_is_not_in_the_exported_counts(
    segment: Segment, clock: FakeClock
) -> None:
    hour, minute = claim(quota()), claim(rate(burst=1))
    take(SharedLimiter(segment, clock, 0), 2, hour, minute)
    assert Supervision(segment).export_counts() == {hour.bucket: (int(HOUR), 1)}


def test_counts_that_are_not_saved_yet_are_not_pushed_out(clock: FakeClock) -> None:
    with made(buckets_max=1) as segment:
        limiter, supervision = SharedLimiter(segment, clock, 0), Supervision(segment)
        hour = claim(quota())
        take(limiter, 1, hour)
        take(limiter, 1, claim(rate()))
        assert supervision.export_counts() == {hour.bucket: (int(HOUR), 1)}
        assert supervision.forgotten_early == 0
        for number in range(3):
            take(limiter, 1, claim(rate(), f"lineage:{number}"))
        assert supervision.forgotten_early > 0
        assert len(supervision) == 2


def test_more_unsaved_counts_than_slots_are_forgotten_early_and_counted(clock: FakeClock) -> None:
    with made(buckets_max=1) as segment:
        limiter, supervision = SharedLimiter(segment, clock, 0), Supervision(segment)
        for number in range(100):
            take(limiter, 1, claim(quota(), f"lineage:{number}"))
        assert len(supervision.export_counts()) == len(supervision) == 65
        assert supervision.forgotten_early == 35


def test_imported_counts_never_lower_and_ended_periods_are_ignored(
    segment: Segment, clock: FakeClock
) -> None:
    limiter, supervision = SharedLimiter(segment, clock, 0), Supervision(segment)
    hour, later = claim(quota(5)), claim(quota(5), "lineage:b")
    take(limiter, 2, hour)
    supervision.import_counts({hour.bucket: (int(HOUR), 4), later.bucket: (int(HOUR) - 3600, 5)})
    supervision.import_counts({hour.bucket: (int(HOUR), 1)})
    assert take(limiter, 9, hour) == 1
    assert take(limiter, 9, later) == 5


def test_of_two_saved_counts_the_later_period_and_the_higher_count_is_true(
    segment: Segment, clock: FakeClock
) -> None:
    supervision, name = Supervision(segment), claim(quota(9)).bucket
    for start, count in ((-3600, 8), (0, 3), (0, 5), (0, 4), (-3600, 9)):
        supervision.import_counts({name: (int(HOUR) + start, count)})
    assert take(SharedLimiter(segment, clock, 0), 9, claim(quota(9))) == 4


def test_a_saved_count_that_nobody_asks_for_gives_way_when_its_period_is_long_over(
    clock: FakeClock,
) -> None:
    with made(buckets_max=2) as segment:
        supervision = Supervision(segment)
        supervision.import_counts({claim(quota(), f"lineage:{n}").bucket: (0, 5) for n in (1, 2)})
        limiter = SharedLimiter(segment, clock, 0)
        take(limiter, 1, claim(rate()))
        assert supervision.forgotten_early == 0
        young = claim(Quota(name="month", limit=9, period="month"))
        supervision.import_counts({young.bucket: (int(HOUR), 5)})
        take(limiter, 3, claim(rate(), "lineage:c"))
        assert supervision.forgotten_early == 1


def test_a_name_that_no_configuration_can_make_is_refused(
    segment: Segment, clock: FakeClock
) -> None:
    with pytest.raises(ValueError, match="160 is the most"):
        take(SharedLimiter(segment, clock, 0), 1, claim(quota(), "lineage:" + "a" * 200))


# ---- the estate of the dead


def test_what_a_worker_held_is_released_when_it_is_dead(segment: Segment, clock: FakeClock) -> None:
    other = Segment.attach(os.dup(segment.descriptor))
    alive, dead = SharedLimiter(segment, clock, 0), SharedLimiter(other, clock, 1)
    many, few = claim(concurrency(5)), claim(concurrency(1), "lineage:b")
    mine = [alive.acquire([many]) for _ in range(2)]
    assert take(dead, 9, many) == 3
    assert take(dead, 9, few) == 1
    supervision = Supervision(segment)
    assert supervision.release_all(1)
    assert take(alive, 9, few) == 1
    assert take(alive, 9, many) == 3
    for grant in mine:
        alive.release(grant)
    assert take(alive, 9, many) == 2
    other.close()


def test_a_number_is_given_to_the_next_worker_only_when_all_was_released(
    segment: Segment, clock: FakeClock
) -> None:
    take(SharedLimiter(segment, clock, 1), 1, claim(concurrency(1)))
    with pytest.raises(ValueError, match="call release_all"):
        SharedLimiter(segment, clock, 1)
    supervision = Supervision(segment)
    with held_by_nobody_who_runs(segment):
        assert not supervision.release_all(1)
    assert supervision.release_all(1)
    assert take(SharedLimiter(segment, clock, 1), 9, claim(concurrency(1))) == 1


def test_a_worker_needs_a_number_that_the_segment_has(segment: Segment, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="room for 4"):
        SharedLimiter(segment, clock, 4)


def test_what_a_stopped_worker_locks_is_exported_the_next_time(
    segment: Segment, clock: FakeClock
) -> None:
    supervision = Supervision(segment)
    take(SharedLimiter(segment, clock, 0), 2, claim(quota()))
    with held_by_nobody_who_runs(segment):
        assert supervision.export_counts() == {}
    assert supervision.export_counts() == {claim(quota()).bucket: (int(HOUR), 2)}


def test_a_rate_whose_debt_takes_two_words_is_no_count(segment: Segment, clock: FakeClock) -> None:
    limiter = SharedLimiter(segment, clock, 0)
    take(limiter, 1, claim(rate()))
    at = limiter._table.known[claim(rate()).bucket].at
    assert segment.words[at + KIND] == RATE
    segment.words[at + 9] = 1
    assert Supervision(segment).export_counts() == {}
