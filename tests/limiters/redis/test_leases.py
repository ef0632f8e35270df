"""What a node has in advance: until when it may be let in, how much is taken, and what is given back."""

from __future__ import annotations

import pytest

from gateway.domain.limits import Concurrency, Quota, Rate
from gateway.limiters.redis.leases import Lease, is_worth_it

RATE = Rate(name="second", limit=1000, window_seconds=1, burst=1000)
QUOTA = Quota(name="hourly", limit=1000, period="hour")


def lease(rule: Rate | Quota = RATE, hold: float = 0.5) -> Lease:
    return Lease(rule, hold)


def used(each: Lease, times: int, now: float) -> None:
    for _ in range(times):
        each.note(now)


def took(each: Lease, count: int, now: float, *, level: int = 0, ends: int = 0) -> None:
    each.took(count, level, ends, asked_at=now, taken_at=int(now * 1_000_000))


def test_nothing_is_let_in_that_was_not_taken() -> None:
    assert not lease().has(1.0)


def test_as_many_are_let_in_as_were_taken() -> None:
    each = lease()
    took(each, 3, 1.0)
    admitted = 0
    while each.has(1.1):
        each.spend(1.1)
        admitted += 1
    assert admitted == 3


def test_what_was_taken_is_let_in_only_within_the_lease_counted_from_when_it_was_asked_for() -> (
    None
):
    each = lease(hold=0.5)
    took(each, 3, 1.0)
    assert each.has(1.4999)
    assert not each.has(1.5)


def test_what_was_taken_of_a_quota_ends_with_its_period() -> None:
    each = lease(QUOTA, hold=0.5)
    each.took(3, 3, 3600, asked_at=50.0, taken_at=3_599_900_000)
    assert each.has(50.0999)
    assert not each.has(50.1)


def test_what_was_not_let_in_in_time_is_given_back_once() -> None:
    each = lease(hold=0.5)
    took(each, 3, 1.0)
    took(each, 4, 1.2)
    each.spend(1.3)
    assert each.overdue(1.4) == []
    assert each.overdue(1.6) == [(2, 1_000_000)]
    assert each.overdue(1.6) == []
    assert each.overdue(float("inf")) == [(4, 1_200_000)]


def test_the_oldest_is_let_in_first() -> None:
    each = lease(hold=0.5)
    took(each, 1, 1.0)
    took(each, 1, 1.2)
    each.spend(1.3)
    assert each.overdue(float("inf")) == [(1, 1_200_000)]


def test_a_bucket_that_is_hardly_used_is_asked_for_one_by_one() -> None:
    each = lease()
    used(each, 3, 1.0)
    assert each.wanted(1.0) == 0


def test_half_of_what_a_lease_has_seen_is_taken_when_a_quarter_is_left() -> None:
    each = lease()
    used(each, 40, 1.0)
    assert each.wanted(1.1) == 20
    took(each, 20, 1.1)
    assert each.wanted(1.1) == 0
    for _ in range(10):
        each.spend(1.2)
    assert each.wanted(1.2) == 20


def test_more_is_not_asked_for_while_an_answer_is_awaited() -> None:
    each = lease()
    used(each, 40, 1.0)
    each.is_asking = True
    assert each.wanted(1.1) == 0
    each.failed()
    assert each.wanted(1.1) == 20


def test_after_nothing_could_be_taken_it_is_not_tried_again_at_once() -> None:
    each = lease(hold=0.5)
    used(each, 40, 1.0)
    took(each, 0, 1.0)
    assert each.wanted(1.2) == 0
    assert each.wanted(1.3) == 20


def test_demand_is_forgotten_when_it_has_ended() -> None:
    each = lease(hold=0.5)
    used(each, 40, 1.0)
    used(each, 1, 1.6)
    assert each.wanted(1.6) == 20
    used(each, 1, 3.0)
    assert each.wanted(3.0) == 0


def test_the_level_is_that_of_redis_without_what_is_at_hand_and_paid_by_time() -> None:
    each = lease()
    took(each, 10, 1.0, level=100 * RATE.price)
    assert each.level(1.0) == 90 * RATE.price
    assert each.spend(1.0) == 91 * RATE.price
    assert each.level(1.05) == pytest.approx(41 * RATE.price)
    assert each.level(9.0) == 0
    counted = lease(QUOTA)
    took(counted, 10, 1.0, level=100, ends=3600)
    assert counted.spend(1.0) == 91


def test_it_is_idle_when_nothing_would_be_lost() -> None:
    each = lease(hold=0.5)
    used(each, 1, 1.0)
    assert not each.is_idle(1.9)
    assert each.is_idle(2.0)
    took(each, 1, 1.0)
    assert not each.is_idle(9.0)


@pytest.mark.parametrize(
    ("rule", "is_worth"),
    [
        (Rate(name="minute", limit=1, window_seconds=60, burst=64), True),
        (Rate(name="minute", limit=1000, window_seconds=60, burst=63), False),
        (Quota(name="daily", limit=64, period="day"), True),
        (Quota(name="daily", limit=63, period="day"), False),
        (Concurrency(name="concurrency", limit=1000), False),
    ],
)
def test_small_limits_and_requests_in_flight_are_always_asked_for(
    rule: Rate | Quota | Concurrency, is_worth: bool
) -> None:
    assert is_worth_it(rule) is is_worth
