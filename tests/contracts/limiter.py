"""What every `Limiter` promises, wherever it counts.

A subclass `Test...` provides the fixture `limiter`, made with the fixture `clock` of this class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate, Rule
from gateway.ports import Limiter
from tests.clock import FakeClock

HOUR = 1_699_999_200.0
"""The beginning of an hour, in epoch seconds."""


def claim(rule: Rule, owner: str = "lineage:a") -> Claim:
    return Claim(bucket=f"{owner}:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule)


def rate(limit: int = 60, burst: int = 5, window_seconds: int = 60) -> Rate:
    return Rate(name="minute", limit=limit, window_seconds=window_seconds, burst=burst)


def quota(limit: int = 5) -> Quota:
    return Quota(name="hour", limit=limit, period="hour")


def concurrency(limit: int = 2) -> Concurrency:
    return Concurrency(name="concurrency", limit=limit)


async def acquire(limiter: Limiter, *claims: Claim) -> Grant:
    grant = limiter.acquire(claims)
    return grant if isinstance(grant, Grant) else await grant


async def draw(limiter: Limiter, times: int, *claims: Claim) -> list[Grant]:
    return [await acquire(limiter, *claims) for _ in range(times)]


def admitted(grants: Sequence[Grant]) -> int:
    return sum(grant.refused is None for grant in grants)


class LimiterContract:
    """The suite."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock(now=HOUR)

    async def test_a_burst_is_admitted_and_then_the_rate(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        minute = claim(rate(limit=60, burst=5))
        assert admitted(await draw(limiter, 8, minute)) == 5
        clock.advance(3)
        assert admitted(await draw(limiter, 8, minute)) == 3
        clock.advance(3600)
        assert admitted(await draw(limiter, 8, minute)) == 5

    async def test_a_quota_is_admitted_once_per_period(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        hour = claim(quota(5))
        assert admitted(await draw(limiter, 7, hour)) == 5
        clock.advance(3599)
        assert admitted(await draw(limiter, 1, hour)) == 0
        clock.advance(1)
        assert admitted(await draw(limiter, 7, hour)) == 5

    async def test_concurrency_is_given_back_exactly_once(self, limiter: Limiter) -> None:
        at_once = claim(concurrency(2))
        first, second, third = await draw(limiter, 3, at_once)
        assert (first.held, third.refused) == ((at_once.bucket,), at_once)
        limiter.release(first)
        limiter.release(first)
        assert admitted(await draw(limiter, 2, at_once)) == 1
        limiter.release(second)
        assert admitted(await draw(limiter, 2, at_once)) == 1

    async def test_a_refused_grant_holds_nothing(self, limiter: Limiter) -> None:
        at_once, minute = claim(concurrency(1)), claim(rate(burst=1))
        await acquire(limiter, minute)
        refused = await acquire(limiter, at_once, minute)
        assert (refused.refused, refused.held) == (minute, ())
        limiter.release(refused)
        assert admitted(await draw(limiter, 2, at_once)) == 1

    @pytest.mark.parametrize("spent", [0, 1, 2])
    async def test_a_refusal_charges_no_claim_at_all(self, limiter: Limiter, spent: int) -> None:
        claims = [claim(rate(burst=3)), claim(quota(3)), claim(concurrency(3))]
        limits = claims[spent]
        kept = await draw(limiter, 3, limits)
        assert admitted(kept) == 3
        refused = await acquire(limiter, *claims)
        assert refused.refused is limits
        for other in claims:
            assert admitted(await draw(limiter, 4, other)) == (0 if other is limits else 3)

    async def test_owners_do_not_share_a_bucket(self, limiter: Limiter) -> None:
        mine, theirs = claim(rate(burst=1)), claim(rate(burst=1), owner="lineage:b")
        assert admitted([await acquire(limiter, each) for each in (mine, theirs, mine)]) == 2

    async def test_a_request_without_claims_is_admitted(self, limiter: Limiter) -> None:
        grant = await acquire(limiter)
        assert (grant.refused, grant.standings, grant.held) == (None, (), ())
        limiter.release(grant)

    @pytest.mark.parametrize("rule", [rate(limit=7, burst=3), quota(3)])
    async def test_waiting_as_long_as_told_admits_a_request(
        self, limiter: Limiter, clock: FakeClock, rule: Rule
    ) -> None:
        clock.advance(0.25)
        refused = (await draw(limiter, 4, claim(rule)))[-1]
        assert refused.retry_after_seconds >= 1
        clock.advance(refused.retry_after_seconds - 1)
        assert admitted([await acquire(limiter, claim(rule))]) == 0
        clock.advance(1)
        assert admitted([await acquire(limiter, claim(rule))]) == 1

    async def test_the_longest_wait_of_several_refusing_claims_is_told(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        claims = claim(rate(burst=1)), claim(quota(1))
        await acquire(limiter, *claims)
        refused = await acquire(limiter, *claims)
        assert (refused.refused, refused.retry_after_seconds) == (claims[1], 3600)
        clock.advance(3600)
        assert admitted([await acquire(limiter, *claims)]) == 1

    async def test_a_refusal_by_concurrency_asks_for_a_second(self, limiter: Limiter) -> None:
        refused = (await draw(limiter, 3, claim(concurrency(2))))[-1]
        assert refused.retry_after_seconds == 1

    async def test_standings_tell_what_is_left_most_restrictive_first(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        clock.advance(1800)
        claims = claim(rate(limit=60, burst=60)), claim(quota(5)), claim(concurrency(2))
        grant = await acquire(limiter, *claims)
        assert [(s.claim, s.remaining, s.reset_seconds) for s in grant.standings] == [
            (claims[1], 4, 1800),
            (claims[0], 59, 1),
        ]
        assert grant.measured_at == clock.now()

    async def test_a_refusal_stands_first_with_nothing_left_and_the_wait_as_its_reset(
        self, limiter: Limiter
    ) -> None:
        claims = claim(quota(5)), claim(rate(limit=6, burst=2))
        grant = (await draw(limiter, 3, *claims))[-1]
        assert [(s.claim, s.remaining, s.reset_seconds) for s in grant.standings] == [
            (claims[1], 0, 10),
            (claims[0], 3, 3600),
        ]

    async def test_a_smaller_plan_takes_effect_at_once(self, limiter: Limiter) -> None:
        await acquire(limiter, claim(rate(burst=20)))
        assert admitted(await draw(limiter, 9, claim(rate(burst=4)))) == 4
        await draw(limiter, 3, claim(quota(9)))
        assert admitted(await draw(limiter, 9, claim(quota(4)))) == 1

    async def test_a_larger_plan_is_no_refill(self, limiter: Limiter, clock: FakeClock) -> None:
        await draw(limiter, 5, claim(rate(limit=60, burst=5)))
        larger = claim(rate(limit=600, burst=50))
        assert admitted(await draw(limiter, 9, larger)) == 0
        clock.advance(1)
        assert admitted(await draw(limiter, 20, larger)) == 10
        await draw(limiter, 5, claim(quota(5)))
        assert admitted(await draw(limiter, 9, claim(quota(7)))) == 2

    async def test_a_larger_concurrency_counts_those_that_run(self, limiter: Limiter) -> None:
        await draw(limiter, 2, claim(concurrency(2)))
        assert admitted(await draw(limiter, 9, claim(concurrency(3)))) == 1

    async def test_requests_at_the_same_time_never_get_more_than_the_limit(
        self, limiter: Limiter
    ) -> None:
        claims = claim(rate(burst=7)), claim(quota(9)), claim(concurrency(8))
        grants = await asyncio.gather(*(acquire(limiter, *claims) for _ in range(40)))
        assert admitted(grants) == 7
        for grant in grants:
            limiter.release(grant)
        assert admitted(await draw(limiter, 9, claims[2])) == 8
