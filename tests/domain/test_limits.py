"""What rules read out of levels, and what a grant tells."""

from __future__ import annotations

from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import (
    NANOSECONDS,
    Claim,
    Concurrency,
    Grant,
    Plan,
    Quota,
    Rate,
    Rule,
    Standing,
)

NOW = 1_699_999_200.5
MINUTE = Rate(name="minute", limit=300, window_seconds=60, burst=500)
MONTH = Quota(name="month", limit=100_000, period="month")
AT_ONCE = Concurrency(name="concurrency", limit=50)


def claim(rule: Rule, owner: str = "lineage") -> Claim:
    return Claim(bucket=f"{owner}:x:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule)


def test_a_burst_above_the_limit_is_not_advertised() -> None:
    assert MINUTE.remaining(0) == 300
    assert MINUTE.remaining(MINUTE.price * 201) == 299
    assert MINUTE.remaining(MINUTE.capacity) == 0


def test_a_burst_below_the_limit_is_all_that_remains() -> None:
    rate = Rate(name="hour", limit=2000, window_seconds=3600, burst=50)
    assert rate.remaining(0) == 50


@given(st.integers(0, MINUTE.capacity))
def test_remaining_counts_whole_requests_and_resets_round_up(level: int) -> None:
    left = (MINUTE.capacity - level) / MINUTE.price
    assert MINUTE.remaining(level) == min(int(left), 300)
    reset = MINUTE.reset_seconds(level)
    assert reset * MINUTE.refill * NANOSECONDS >= level
    assert (reset - 1) * MINUTE.refill * NANOSECONDS < level
    assert (MINUTE.wait_seconds(level) == 0) is (MINUTE.remaining(level) > 0)


@given(st.integers(1, 10**12), st.sampled_from([1, 7, 60, 3600, 86400]))
def test_debts_are_counted_in_the_largest_units_that_are_exact(limit: int, window: int) -> None:
    rate = Rate(name="r", limit=limit, window_seconds=window, burst=3)
    assert (
        rate.refill * window * NANOSECONDS == rate.price * limit
    )  # paid in a window: the price of `limit` requests
    assert gcd(rate.refill, rate.price) == 1
    assert rate.capacity == 3 * rate.price


def test_a_quota_resets_when_its_period_ends() -> None:
    quota = Quota(name="hour", limit=10, period="hour")
    assert quota.reset_seconds(3, NOW) == 3600
    assert quota.reset_seconds(3, NOW + 0.5) == 3599
    assert [quota.remaining(level) for level in (0, 9, 10, 12)] == [10, 1, 0, 0]


def test_concurrency_remains_as_what_may_still_begin() -> None:
    assert [AT_ONCE.remaining(level) for level in (0, 49, 50, 60)] == [50, 1, 0, 0]


def test_a_plan_refuses_two_rules_that_would_share_a_bucket() -> None:
    hourly = Rate(name="hour", limit=60, window_seconds=3600, burst=60)
    quota = Quota(name="hour", limit=60, period="hour")
    with pytest.raises(ValueError, match="plan 'pro' has 2 rules named 'hour'"):
        Plan(name="pro", rules=(hourly, quota))
    assert Plan(name="pro", rules=(MINUTE, MONTH)).owners == ("lineage",)


def test_a_claim_knows_its_policy_per_kind_of_owner() -> None:
    made = claim(MINUTE, "tenant")
    assert (made.owner, made.owned_policy) == ("tenant", "tenant:pro/minute")


def test_standings_come_most_restrictive_first_and_without_concurrency() -> None:
    claims = (claim(MINUTE), claim(AT_ONCE), claim(MONTH), claim(MINUTE, "tenant"))
    grant = Grant.admit(claims, [MINUTE.price, 1, 90_000, MINUTE.price * 350], ("held",), NOW)
    assert [(s.claim, s.remaining) for s in grant.standings] == [
        (claims[3], 150),
        (claims[0], 300),
        (claims[2], 10_000),
    ]
    assert grant.standings is grant.standings, "worked out once"
    assert (grant.refused, grant.retry_after_seconds) == (None, 0)
    assert (grant.held, grant.measured_at) == (("held",), NOW)


def test_a_refusal_names_the_claim_with_the_longest_wait_and_speaks_with_one_number() -> None:
    quota = Quota(name="hour", limit=10, period="hour")
    claims = (claim(MINUTE), claim(quota), claim(AT_ONCE))
    grant = Grant.refuse(claims, [MINUTE.capacity, 10, 3], [1, 3600, 0], NOW)
    assert grant.refused is claims[1]
    assert grant.retry_after_seconds == 3600
    assert [(s.claim, s.remaining, s.reset_seconds) for s in grant.standings] == [
        (claims[1], 0, 3600),
        (claims[0], 0, 100),
    ]
    assert grant.held == ()


def test_a_refusal_by_concurrency_stands_first() -> None:
    claims = (claim(MINUTE), claim(AT_ONCE))
    grant = Grant.refuse(claims, [0, 50], [0, 1], NOW)
    assert [(s.claim, s.remaining) for s in grant.standings] == [(claims[1], 0), (claims[0], 300)]
    assert grant.retry_after_seconds == 1


def test_a_refusal_never_asks_for_no_wait() -> None:
    assert Grant.refuse((claim(MINUTE),), [0], [0], NOW).retry_after_seconds == 1


def test_a_grant_can_be_made_of_standings() -> None:
    standing = Standing(claim(MINUTE), 5, 7)
    grant = Grant((standing,), refused=standing.claim, retry_after_seconds=7)
    assert grant.standings == (standing,)
    assert grant.measured_at == 0.0


def test_the_tightest_bucket_is_found_without_the_others() -> None:
    claims = (claim(AT_ONCE), claim(MINUTE), claim(MONTH), claim(MINUTE, "tenant"))
    grant = Grant.admit(claims, [1, MINUTE.price, 90_000, MINUTE.price * 350], (), NOW)
    tightest = grant.tightest
    assert tightest is not None
    assert (tightest.claim, tightest.remaining) == (claims[3], 150)
    assert tightest.reset_seconds == grant.standings[0].reset_seconds
    assert grant.claims == claims
    assert {each.claim for each in grant.standings} == {*claims} - {claims[0]}
    assert grant.decided_by == "pro/minute"


def test_nothing_is_tightest_where_only_concurrency_limits() -> None:
    grant = Grant.admit((claim(AT_ONCE),), [1], (), NOW)
    assert (grant.tightest, grant.decided_by) == (None, "")
    assert grant.claims == (claim(AT_ONCE),)
