"""Addresses whose authentication keeps failing have to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limiters.throttle import AddressThrottle
from gateway.ports import Throttle
from tests.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_it_is_a_throttle(clock: FakeClock) -> None:
    throttle: Throttle = AddressThrottle(clock, 3, 60)
    assert throttle.retry_after("192.0.2.1") == 0


def test_an_address_waits_after_too_many_failures_and_no_other_does(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 3, 60)
    for _ in range(3):
        assert throttle.retry_after("192.0.2.1") == 0
        throttle.failed("192.0.2.1")
    assert throttle.retry_after("192.0.2.1") == 20
    assert throttle.retry_after("192.0.2.2") == 0


@given(st.integers(1, 50), st.integers(1, 3600), st.integers(0, 80))
def test_waiting_as_long_as_told_lets_an_address_try(
    failures: int, per_seconds: int, times: int
) -> None:
    clock = FakeClock()
    throttle = AddressThrottle(clock, failures, per_seconds)
    for _ in range(times):
        throttle.failed("192.0.2.1")
    wait = throttle.retry_after("192.0.2.1")
    assert (wait > 0) is (times >= failures)
    if wait:
        clock.advance(wait - 1)
        assert throttle.retry_after("192.0.2.1") == 1
        clock.advance(1)
        assert throttle.retry_after("192.0.2.1") == 0


def test_an_address_that_stopped_failing_is_forgotten(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 3, 60)
    throttle.failed("192.0.2.1")
    clock.advance(19)
    assert throttle.retry_after("192.0.2.1") == 0
    assert len(throttle) == 1
    clock.advance(1)
    assert throttle.retry_after("192.0.2.1") == 0
    assert len(throttle) == 0


def test_the_address_that_failed_the_longest_ago_makes_room(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 1, 60, addresses_max=2)
    throttle.failed("a")
    throttle.failed("b")
    clock.advance(1)
    throttle.failed("a")
    throttle.failed("c")
    assert len(throttle) == 2
    assert [throttle.retry_after(address) for address in "abc"] == [59, 0, 60]


def test_the_standing_tells_what_an_address_may_still_do(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 3, 59.5)
    assert throttle.standing("192.0.2.1") == (3, 3, 0)
    throttle.failed("192.0.2.1")
    assert throttle.standing("192.0.2.1") == (3, 2, 20)


def test_changed_settings_keep_what_is_left_and_refill_nothing(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 3, 60)
    for _ in range(3):
        throttle.failed("192.0.2.1")
    throttle.follow(6, 60, 100)
    assert throttle.retry_after("192.0.2.1") == 10
    assert throttle.standing("192.0.2.1")[:2] == (6, 0)
    throttle.failed("192.0.2.2")
    throttle.follow(1, 60, 100)
    assert throttle.standing("192.0.2.2")[:2] == (1, 1)
    assert throttle.retry_after("192.0.2.3") == 0


def test_fewer_addresses_may_be_remembered(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 1, 60)
    for number in range(5):
        throttle.failed(f"192.0.2.{number}")
    throttle.follow(1, 60, 2)
    assert len(throttle) == 2
    assert throttle.retry_after("192.0.2.4") == 60


def test_a_failure_too_many_says_how_long_to_wait_and_is_not_counted(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 2, 60)
    assert [throttle.failed("192.0.2.1") for _ in range(4)] == [0, 0, 30, 30]
    assert throttle.retry_after("192.0.2.1") == 30
    clock.advance(30)
    assert throttle.failed("192.0.2.1") == 0


def test_a_look_counts_nothing(clock: FakeClock) -> None:
    throttle = AddressThrottle(clock, 2, 60)
    rule, level = throttle.look("192.0.2.1")
    assert (rule.burst, level, len(throttle)) == (2, 0, 0)
    throttle.failed("192.0.2.1")
    assert throttle.look("192.0.2.1") == throttle.look("192.0.2.1") == (rule, rule.price)
