"""The budget of retries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstreams.retry_budget import WINDOW_SECONDS, RetryBudget


def test_service_with_few_requests_gets_its_minimum() -> None:
    budget = RetryBudget(share=0.2, per_second_min=10, now=0.0)
    assert sum(budget.take(0, 0.0) for _ in range(200)) == 100
    assert sum(budget.take(0, 1.0) for _ in range(200)) == 10


def test_requests_pay_in_their_share() -> None:
    budget = RetryBudget(share=0.2, per_second_min=0, now=0.0)
    assert not budget.take(0, 0.0)
    assert sum(budget.take(1000, 5.0) for _ in range(500)) == 200


def test_what_requests_of_long_ago_paid_in_has_expired() -> None:
    budget = RetryBudget(share=0.5, per_second_min=0, now=0.0)
    budget.take(1000, 1.0)
    assert not budget.take(1000, 1.0 + WINDOW_SECONDS)
    assert sum(budget.take(2000, 1.0 + 101 * WINDOW_SECONDS) for _ in range(500)) == 5


def test_budget_of_nothing_allows_nothing() -> None:
    budget = RetryBudget(share=0.0, per_second_min=0, now=0.0)
    assert not any(budget.take(n * 1000, n) for n in range(100))


@settings(deadline=None)
@given(
    st.floats(0.0, 1.0),
    st.integers(0, 20),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 300), st.integers(0, 50)), max_size=60),
)
def test_retries_never_exceed_what_was_paid_in(
    share: float, per_second: int, steps: list[tuple[float, int, int]]
) -> None:
    budget = RetryBudget(share=share, per_second_min=per_second, now=0.0)
    now, requests, taken = 0.0, 0, 0
    for seconds, more, wanted in steps:
        now += seconds
        requests += more
        taken += sum(budget.take(requests, now) for _ in range(wanted))
        assert taken <= share * requests + per_second * (now + WINDOW_SECONDS) + 1e-6
