"""The health of one target."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstreams.health import WARMING_SHARE_MIN, EjectionRules, Health, TargetState

RULES = EjectionRules(failures=3, seconds=30.0, seconds_max=80.0)


def failing(health: Health, times: int) -> list[bool]:
    return [health.failed() for _ in range(times)]


def ejected(health: Health, now: float) -> float:
    """Eject and return for how long."""
    health.eject("broken", now)
    return health.ejected_until - now


def test_target_is_well_until_something_is_known() -> None:
    health = Health(RULES)
    assert health.is_usable
    assert not health.is_suspect
    assert health.state(0.0) is TargetState.UP
    assert health.share(0.0) == 1.0
    assert health.changes_at(0.0) == float("inf")


def test_failures_in_a_row_deserve_an_ejection() -> None:
    assert failing(Health(RULES), 4) == [False, False, True, True]


def test_success_between_failures_clears_them() -> None:
    health = Health(RULES)
    failing(health, 2)
    assert health.is_suspect
    health.succeeded()
    assert not health.is_suspect
    assert failing(health, 3) == [False, False, True]


def test_zero_failures_never_deserve_an_ejection() -> None:
    assert not any(failing(Health(EjectionRules(failures=0)), 100))


def test_ejected_target_counts_no_failures_and_returns_when_its_time_is_over() -> None:
    health = Health(RULES)
    assert ejected(health, 100.0) == 30.0
    assert (health.is_usable, health.state(101.0)) == (False, TargetState.EJECTED)
    assert (health.why, health.since, health.changes_at(101.0)) == ("broken", 100.0, 130.0)
    assert not any(failing(health, 10))
    assert not health.settle(129.9)
    assert health.settle(130.0)
    assert not health.settle(130.0)
    assert health.is_usable


def test_first_failure_on_probation_ejects_again() -> None:
    health = Health(RULES)
    ejected(health, 0.0)
    health.settle(30.0)
    assert (health.state(30.0), health.is_suspect) == (TargetState.PROBATION, True)
    assert failing(health, 1) == [True]


def test_first_success_ends_the_probation() -> None:
    health = Health(RULES)
    ejected(health, 0.0)
    health.settle(30.0)
    health.succeeded()
    assert (health.state(31.0), health.why) == (TargetState.UP, "")
    assert failing(health, 3) == [False, False, True]


def test_each_ejection_is_longer_up_to_the_longest() -> None:
    health, now, lasted = Health(RULES), 0.0, []
    for _ in range(5):
        lasted.append(ejected(health, now))
        now = health.ejected_until
        health.settle(now)
    assert lasted == [30.0, 60.0, 80.0, 80.0, 80.0]


def test_time_in_service_makes_the_next_ejection_shorter() -> None:
    health = Health(RULES)
    ejected(health, 0.0)
    health.settle(30.0)
    ejected(health, 31.0)
    health.settle(91.0)
    assert ejected(health, 91.0 + 2 * 30.0) == 30.0


def test_probe_takes_out_and_brings_back() -> None:
    health = Health(RULES)
    assert not health.probed(True, "", 1.0)
    assert health.probed(False, "GET /health: 500", 2.0)
    assert not health.probed(False, "again", 3.0)
    assert (health.is_usable, health.state(3.0), health.why) == (
        False,
        TargetState.DOWN,
        "GET /health: 500",
    )
    assert health.probed(True, "", 4.0)
    assert (health.is_usable, health.since) == (True, 4.0)


def test_target_that_was_down_starts_afresh() -> None:
    health = Health(RULES)
    ejected(health, 0.0)
    health.probed(False, "down", 1.0)
    health.probed(True, "", 2.0)
    assert health.state(2.0) is TargetState.UP
    assert failing(health, 3) == [False, False, True]
    assert ejected(health, 3.0) == 30.0


def test_ejected_target_is_not_brought_back_by_a_probe_that_is_no_news() -> None:
    health = Health(RULES)
    ejected(health, 0.0)
    assert not health.probed(True, "", 1.0)
    assert not health.is_usable


def test_share_grows_from_a_tenth_to_the_whole() -> None:
    health = Health(RULES, slow_start_seconds=100.0)
    health.warm_up(0.0)
    assert health.state(1.0) is TargetState.WARMING
    assert health.share(0.0) == WARMING_SHARE_MIN
    assert health.share(50.0) == 0.5
    assert health.changes_at(50.0) == 60.0
    assert health.changes_at(95.0) == 100.0
    assert (health.share(100.0), health.state(100.0)) == (1.0, TargetState.UP)


@pytest.mark.parametrize("how", ["returned", "probed"])
def test_target_that_comes_back_warms_up(how: str) -> None:
    health = Health(RULES, slow_start_seconds=10.0)
    if how == "returned":
        ejected(health, 0.0)
        health.settle(30.0)
    else:
        health.probed(False, "down", 0.0)
        health.probed(True, "", 30.0)
    assert health.share(30.0) == WARMING_SHARE_MIN


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("sfeud."), st.floats(0.0, 50.0)), max_size=100))
def test_health_keeps_its_promises_whatever_happens(steps: list[tuple[str, float]]) -> None:
    health, now = Health(RULES, slow_start_seconds=20.0), 0.0
    for step, seconds in steps:
        now += seconds
        health.settle(now)
        if step == "s":
            health.succeeded()
        elif step == "f" and health.failed():
            assert health.is_suspect
            assert not health.ejected_until
        elif step == "e" and not health.ejected_until:
            assert RULES.seconds - 0.001 <= ejected(health, now) <= RULES.seconds_max + 0.001
        elif step in "ud":
            health.probed(step == "u", "probe", now)
        state = health.state(now)
        assert health.is_usable == (state not in {TargetState.DOWN, TargetState.EJECTED})
        assert WARMING_SHARE_MIN <= health.share(now) <= 1.0
        assert health.changes_at(now) > now or health.ejected_until == now
