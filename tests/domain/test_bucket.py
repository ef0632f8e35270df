"""What a bucket promises: a bound on admissions, exact refill, truthful waits, no refill by change."""

from __future__ import annotations

from copy import copy
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.bucket import REFUSED, Bucket, InFlight, PeriodCounter, TokenBucket
from gateway.domain.limits import NANOSECONDS, Concurrency, Quota, Rate

START = 10**15
HOUR = 1_699_999_200
"""The beginning of an hour, in epoch seconds."""


def make_rate(limit: int, window_seconds: int, burst: int) -> Rate:
    return Rate(name="minute", limit=limit, window_seconds=window_seconds, burst=burst)


RATES = st.builds(
    make_rate,
    st.integers(1, 1000),
    st.sampled_from([1, 7, 60, 3600, 86400]),
    st.integers(1, 20),
)
STEPS = st.lists(
    st.one_of(
        st.just(0),
        st.integers(0, 10 * NANOSECONDS),
        st.integers(-NANOSECONDS, NANOSECONDS),
        st.sampled_from([-(10**14), 10**14, -1, 1]),
    ),
    max_size=60,
)
"""Moves of the clock in nanoseconds: none, small, back, and jumps of more than a day."""


@given(RATES, STEPS)
@example(make_rate(1, 1, 1), [0, -(10**14), 0, 10**14, 0, -(10**14), 10**14])
def test_never_admits_more_than_burst_plus_rate_times_time(rate: Rate, steps: list[int]) -> None:
    """In no interval, with a clock that also goes back and jumps; time is what it moved forward."""
    bucket, ticks, elapsed, admitted = TokenBucket(rate), START, 0, 0
    log: list[tuple[int, int]] = []
    for step in [0, *steps]:
        ticks, elapsed = max(0, ticks + step), elapsed + max(0, step)
        before = admitted
        while bucket.draw(ticks) != REFUSED:
            admitted += 1
        log += [(elapsed, before), (elapsed, admitted)]
    for index, (since, before) in enumerate(log):
        for until, after in log[index:]:
            assert (after - before) * rate.price <= rate.capacity + rate.refill * (until - since)


@pytest.mark.slow
def test_refill_does_not_drift_over_a_million_requests() -> None:
    """A seventh of a minute is no whole number of nanoseconds, yet the schedule stays exact."""
    rate = make_rate(7, 60, 2)
    bucket, ticks = TokenBucket(rate), START
    bucket.draw(ticks)
    for number in range(1_000_000):
        ticks = START - (-number * rate.price // rate.refill)  # the first nanosecond that admits it
        assert bucket.draw(ticks) == (number + 2) * rate.price - (ticks - START) * rate.refill
        assert number % 1000 or bucket.draw(ticks) == REFUSED


@pytest.mark.pure
@given(RATES, st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_the_wait_is_the_fewest_whole_seconds_that_admit_a_request(
    rate: Rate, steps: list[int]
) -> None:
    bucket, ticks = TokenBucket(rate), START
    for step in steps:
        ticks += step
        admits = copy(bucket).draw(ticks) != REFUSED
        wait = bucket.wait_seconds(ticks)
        assert (wait == 0) is admits
        if wait:
            assert copy(bucket).draw(ticks + wait * NANOSECONDS) != REFUSED
            assert copy(bucket).draw(ticks + (wait - 1) * NANOSECONDS) == REFUSED
        bucket.draw(ticks)


@given(RATES, st.integers(1, 25), st.integers(0, 10**12))
def test_a_draw_that_was_undone_never_happened(rate: Rate, draws: int, later: int) -> None:
    bucket = TokenBucket(rate)
    for _ in range(draws):
        untouched = bucket.level(START + later), bucket.level(START)
        if bucket.draw(START) != REFUSED:
            bucket.undo()
        assert (bucket.level(START + later), bucket.level(START)) == untouched
        bucket.draw(START)


@given(RATES, st.integers(1, 25), st.integers(0, 10**14))
def test_an_unused_bucket_equals_a_new_one(rate: Rate, draws: int, pause: int) -> None:
    bucket, new = TokenBucket(rate), TokenBucket(rate)
    for _ in range(draws):
        bucket.draw(START)
    ticks = START + pause
    assert 0 <= bucket.used(ticks, 0.0) <= 1
    if bucket.used(ticks, 0.0) == 0:
        for _ in range(rate.burst + 1):
            assert bucket.draw(ticks) == new.draw(ticks)


@given(RATES, RATES, st.integers(0, 25), st.integers(0, 10**11))
def test_a_changed_rate_is_never_a_refill(old: Rate, new: Rate, draws: int, pause: int) -> None:
    bucket = TokenBucket(old)
    for _ in range(draws):
        bucket.draw(START)
    ticks = START + pause
    left = (old.capacity - bucket.level(ticks)) / old.price
    bucket.adopt(new, ticks)
    now_left = (new.capacity - bucket.level(ticks)) / new.price
    assert now_left <= min(left, new.burst) + 1e-9
    assert now_left >= min(left, new.burst) - 1e-6
    assert bucket.rule is new


@pytest.mark.pure
@given(RATES, st.integers(0, 25), st.integers(0, 10**11))
def test_an_equal_rate_changes_nothing(rate: Rate, draws: int, pause: int) -> None:
    bucket = TokenBucket(rate)
    for _ in range(draws):
        bucket.draw(START)
    before = bucket.level(START + pause)
    bucket.adopt(copy(rate), START + pause)
    assert bucket.level(START + pause) == before


def test_a_clock_that_went_back_empties_a_bucket_at_most() -> None:
    rate = make_rate(60, 60, 10)
    bucket = TokenBucket(rate)
    bucket.draw(START)
    long_ago = START - 10**14
    assert bucket.draw(long_ago) == REFUSED
    assert bucket.wait_seconds(long_ago) == 1
    assert bucket.draw(long_ago + NANOSECONDS) == rate.capacity


def make_counter(
    limit: int = 3, now: float = HOUR, told: list[PeriodCounter] | None = None
) -> PeriodCounter:
    notify = (lambda _: None) if told is None else told.append
    return PeriodCounter(Quota(name="hour", limit=limit, period="hour"), "b", now, notify)


@pytest.mark.pure
@given(
    st.integers(1, 5), st.lists(st.floats(0, 5000, allow_subnormal=False), min_size=1, max_size=60)
)
def test_a_quota_admits_its_limit_in_each_period(limit: int, steps: list[float]) -> None:
    counter, now = make_counter(limit), float(HOUR)
    admitted: dict[int, int] = {}
    for step in steps:
        now += step
        hour = int(now // 3600)
        wait = counter.wait_seconds(0, now)
        level = counter.draw(0, now)
        assert (wait == 0) is (level != REFUSED)
        if level == REFUSED:
            assert admitted[hour] == limit
            assert copy(counter).draw(0, now + wait) == 1
        else:
            admitted[hour] = admitted.get(hour, 0) + 1
            assert level == admitted[hour] <= limit


def test_a_small_step_back_over_the_hour_gives_no_second_quota() -> None:
    counter = make_counter(2, HOUR - 0.1)
    assert counter.draw(0, HOUR - 0.1) == 1
    assert counter.draw(0, HOUR + 0.1) == 1, "a new hour"
    assert counter.draw(0, HOUR - 0.1) == 2, "still counted in the new hour"
    assert counter.draw(0, HOUR + 0.2) == REFUSED
    assert counter.wait_seconds(0, HOUR - 0.1) == 3601, "told truthfully, too"


def test_a_clock_that_was_far_ahead_is_followed_back_without_a_refill() -> None:
    counter = make_counter(2, HOUR + 10**8)
    assert counter.draw(0, HOUR + 10**8) == 1
    assert counter.draw(0, HOUR) == 2
    assert counter.draw(0, HOUR) == REFUSED
    assert counter.wait_seconds(0, HOUR) == 3600
    assert counter.draw(0, HOUR + 3600) == 1


def test_a_changed_quota_keeps_the_count() -> None:
    counter = make_counter(3)
    for _ in range(3):
        counter.draw(0, HOUR)
    counter.adopt(Quota(name="hour", limit=2, period="hour"), HOUR + 1.0)
    assert counter.draw(0, HOUR + 1.0) == REFUSED
    counter.adopt(Quota(name="hour", limit=4, period="day"), HOUR + 2.0)
    assert counter.draw(0, HOUR + 2.0) == 4
    assert counter.draw(0, HOUR + 3600) == REFUSED, "a day now"
    counter.adopt(Quota(name="hour", limit=4, period="hour"), HOUR + 2 * 86400)
    assert counter.draw(0, HOUR + 2 * 86400) == 1


def test_a_counter_tells_its_first_change_after_each_save() -> None:
    told: list[PeriodCounter] = []
    counter = make_counter(3, told=told)
    counter.draw(0, HOUR)
    counter.draw(0, HOUR)
    assert told == [counter]
    counter.is_saved = True
    counter.undo()
    counter.draw(0, HOUR)
    assert told == [counter, counter]
    assert counter.count == 2


def test_a_restored_count_never_lowers_and_only_counts_in_its_period() -> None:
    counter = make_counter(9)
    counter.draw(0, HOUR)
    counter.restore(HOUR, 5)
    assert counter.level(0, HOUR) == 5
    counter.restore(HOUR, 2)
    counter.restore(HOUR - 3600, 9)
    counter.restore(HOUR + 3600, 9)
    assert counter.level(0, HOUR) == 5
    assert counter.used(0, HOUR) == 5 / 9
    assert counter.used(0, HOUR + 3600) == 0


def test_as_many_requests_run_at_the_same_time_as_the_limit_says() -> None:
    gauge = InFlight(Concurrency(name="concurrency", limit=2))
    assert (gauge.draw(), gauge.draw(), gauge.draw()) == (1, 2, REFUSED)
    assert gauge.wait_seconds() == 1
    assert gauge.used() == inf
    gauge.adopt(Concurrency(name="concurrency", limit=1))
    gauge.undo()
    assert gauge.draw() == REFUSED
    gauge.undo()
    assert (gauge.level(), gauge.wait_seconds(), gauge.used()) == (0, 0, 0.0)


def test_only_concurrency_has_to_be_given_back() -> None:
    kinds: list[type[Bucket]] = [TokenBucket, PeriodCounter, InFlight]
    assert [kind.is_held for kind in kinds] == [False, False, True]
