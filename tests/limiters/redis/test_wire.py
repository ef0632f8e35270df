"""What is written for a claim, and what is read out of an answer."""

from __future__ import annotations

import pytest

from gateway.domain.limits import Claim, Rate, Rule
from gateway.limiters.redis import wire
from tests.contracts.limiter import claim, concurrency, quota, rate


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        (rate(), b"th:r:{lineage:a}:pro:minute"),
        (quota(), b"th:q:{lineage:a}:pro:hour"),
        (concurrency(), b"th:c:{lineage:a}:pro:concurrency"),
    ],
)
def test_a_key_is_the_bucket_with_its_owner_in_braces(rule: Rule, key: bytes) -> None:
    assert wire.Wire("th").line(claim(rule)).key == key


def test_the_owner_may_hold_colons() -> None:
    each = Claim(bucket="route:a:b:pro:minute", policy="pro/minute", rule=rate())
    assert wire.Wire("th").line(each).key == b"th:r:{route:a:b}:pro:minute"


def test_a_rule_is_told_in_whole_numbers() -> None:
    line = wire.Wire("th").line(claim(Rate(name="m", limit=7, window_seconds=60, burst=3)))
    assert line.told.arguments == (
        b"r", b"7 60000000 3", b"7", b"8571428", b"4", b"25714285", b"5",
    )  # fmt: skip
    assert 7 * 8_571_428 + 4 == 60_000_000


def test_a_burst_of_more_than_a_century_is_cut_to_what_redis_can_count() -> None:
    huge = Rate(name="m", limit=1, window_seconds=86_400, burst=10**12)
    assert wire.Wire("th").line(claim(huge)).told.arguments[-2:] == (b"%d" % wire.MOST_US, b"0")
    assert wire.MOST_US + 4_000_000_000_000_000 < 2**53  # until 2096 there is room for the time


def test_a_claim_is_written_once_and_anew_when_its_rule_changed() -> None:
    lines = wire.Wire("th")
    rule = rate()
    assert lines.line(claim(rule)) is lines.line(claim(rule))
    assert lines.line(claim(rate(burst=9))).told.rule == rate(burst=9)


def test_levels_are_those_of_the_domain() -> None:
    each = Rate(name="m", limit=7, window_seconds=60, burst=3)
    assert wire.level(each, 8_571_428, 4) == each.price
    coarse = Rate(name="m", limit=6_000_000, window_seconds=60, burst=3)
    assert wire.level(coarse, 10, 0) == coarse.price
    assert wire.level(coarse, 10, 1) == coarse.price + 1  # less than a unit is one
    assert wire.level(quota(), 5, 1_000) == 5


def test_waits_are_rounded_up_and_never_too_short() -> None:
    counted, at_once = quota(5), concurrency(2)
    now = 1_700_000_000_250_000
    assert wire.wait_seconds(counted, 5, 1_700_000_001, now) == 1
    assert wire.wait_seconds(counted, 5, 1_700_000_002, now) == 2
    assert wire.wait_seconds(counted, 4, 1_700_000_002, now) == 0
    assert wire.wait_seconds(at_once, 2, 0, now) == 1
    assert wire.wait_seconds(at_once, 1, 0, now) == 0
    assert wire.wait_microseconds(counted, 5, 1_700_000_001, now) == 750_000
    assert wire.wait_microseconds(at_once, 2, 0, now) == 0
    per_minute = Rate(name="m", limit=7, window_seconds=60, burst=1)
    assert wire.wait_microseconds(per_minute, per_minute.price, 0, now) == 8_571_429
    assert wire.wait_microseconds(per_minute, 0, 0, now) == 0


def test_the_tag_is_the_owner() -> None:
    assert wire.tag("lineage:abc:pro:minute") == "lineage:abc"
