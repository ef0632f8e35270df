from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.backoff import CALM_SECONDS, LAST_SECONDS, Backoff


def test_accident_costs_no_time_and_a_fault_more_each_time() -> None:
    backoff = Backoff()
    assert [backoff.died(0.1) for _ in range(6)] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]


def test_long_life_makes_the_next_death_an_accident_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.died(0.1)
    assert backoff.died(CALM_SECONDS) == 0.0
    assert backoff.died(0.1) == 0.25


@given(st.lists(st.floats(0, CALM_SECONDS, exclude_max=True), min_size=2, max_size=100))
def test_crash_loop_is_never_busy_and_never_given_up(lives: list[float]) -> None:
    backoff = Backoff()
    delays = [backoff.died(lived) for lived in lives]
    assert all(0.25 <= delay <= LAST_SECONDS for delay in delays[1:])
    assert delays == sorted(delays)
