"""Addresses whose authentication keeps failing have to wait, whichever worker they fail at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.throttle import SharedThrottle
from gateway.limiters.throttle import AddressThrottle
from gateway.ports import Throttle
from tests.clock import FakeClock
from tests.limiters.shared.segments import held_by_nobody_who_runs, segment


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@contextmanager
def throttles(
    clock: FakeClock, failures: int = 3, addresses_max: int = 1000
) -> Iterator[list[SharedThrottle]]:
    """Two workers' throttles."""
    with segment(buckets_max=addresses_max) as first:
        second = Segment.attach(os.dup(first.descriptor))
        yield [SharedThrottle(each, clock, failures, 60) for each in (first, second)]
        second.close()


def test_it_is_a_throttle(clock: FakeClock) -> None:
    with throttles(clock) as (one, _):
        throttle: Throttle = one
        assert throttle.retry_after("192.0.2.1") == 0


def test_several_workers_do_not_give_several_times_the_guesses(clock: FakeClock) -> None:
    with throttles(clock) as (one, other):
        for each in (one, other, one):
            assert each.retry_after("192.0.2.1") == 0
            each.failed("192.0.2.1")
        assert one.retry_after("192.0.2.1") == other.retry_after("192.0.2.1") == 20
        assert other.retry_after("192.0.2.2") == 0


@given(
    st.integers(1, 9),
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8:0:1::/64"]),
            st.booleans(),
            st.integers(0, 2**10),
        ),
        max_size=50,
    ),
)
@settings(max_examples=50, deadline=None)
def test_two_workers_answer_as_one_process_would(
    failures: int, asks: list[tuple[int, str, bool, int]]
) -> None:
    clock = FakeClock()
    alone = AddressThrottle(clock, failures, 60)
    with throttles(clock, failures) as workers:
        for worker, address, fails, sixty_fourths in asks:
            clock.advance(sixty_fourths / 64)
            assert workers[worker].retry_after(address) == alone.retry_after(address)
            assert workers[worker].standing(address) == alone.standing(address)
            if fails:
                assert workers[worker].failed(address) == alone.failed(address)


def test_asking_about_an_address_remembers_nothing(clock: FakeClock) -> None:
    with throttles(clock) as (one, _):
        assert one.retry_after("192.0.2.1") == 0
        assert one.standing("192.0.2.1") == (3, 3, 0)
        assert len(one) == 0


def test_the_addresses_that_are_remembered_are_bounded(clock: FakeClock) -> None:
    with throttles(clock, addresses_max=10) as (one, other):
        for _ in range(3):
            one.failed("192.0.2.1")
        for number in range(100):
            other.failed(f"198.51.100.{number}")
        assert len(one) == len(other) == 10
        assert one.retry_after("192.0.2.1") == 20, "who failed most is forgotten last"


def test_changed_settings_keep_what_is_left_and_refill_nothing(clock: FakeClock) -> None:
    with throttles(clock) as (one, other):
        for _ in range(3):
            one.failed("192.0.2.1")
        one.follow(6, 60, 100)
        assert one.retry_after("192.0.2.1") == 10
        assert other.retry_after("192.0.2.1") == 20, "the other has not reloaded yet"
        other.follow(6, 60, 100)
        assert other.retry_after("192.0.2.1") == 10
        assert other.standing("192.0.2.1")[:2] == (6, 0)


def test_who_cannot_be_counted_may_not_guess(clock: FakeClock) -> None:
    with segment() as shared, held_by_nobody_who_runs(shared):
        throttle = SharedThrottle(shared, clock, 3, 60)
        assert throttle.retry_after("192.0.2.1") == 1
        assert throttle.failed("192.0.2.1") == 1
        assert throttle.standing("192.0.2.1") == (3, 0, 1)


def test_a_look_counts_nothing_and_does_not_wait_for_who_was_stopped(clock: FakeClock) -> None:
    with throttles(clock) as (one, other):
        one.failed("192.0.2.1")
        found = other.look("192.0.2.1")
        assert found is not None
        rule, level = found
        assert (level, other.look("192.0.2.1")) == (rule.price, found)
    with segment(buckets_max=10) as alone:
        throttle = SharedThrottle(alone, clock, 3, 60)
        with held_by_nobody_who_runs(alone):
            assert throttle.look("192.0.2.1") is None
