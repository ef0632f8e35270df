from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Grant, Standing
from gateway.domain.routes import Route
from gateway.limiters.memory import MemoryLimiter
from gateway.pipeline.limit import limit
from gateway.pipeline.values import Admission, Permit, Principal
from gateway.ports import Limiter, LimiterUnavailable
from tests.clock import FakeClock
from tests.pipeline.samples import (
    OPEN,
    THINGS,
    bound,
    concurrency,
    head,
    matched,
    quota,
    rate,
)
from tests.pipeline.world import RemoteLimiter


class Untouchable:
    """A limiter that nobody may ask."""

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        raise AssertionError(claims)

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        raise AssertionError(claims)

    def release(self, grant: Grant) -> None:
        raise AssertionError(grant)


def permit(key: BoundKey | None = None, route: Route = THINGS) -> Permit:
    return Permit(Principal(matched(head(route.pattern), route), key))


def told(result: Admission | Denial | Awaitable[Admission | Denial]) -> Admission | Denial:
    assert not inspect.isawaitable(result)
    return result


def asked(limiter: Limiter, *claims: Claim, route: Route = THINGS) -> Admission | Denial:
    return told(limit(permit(bound(claims=claims), route), limiter))


def refused(limiter: Limiter, *claims: Claim) -> Denial:
    denial = asked(limiter, *claims)
    assert isinstance(denial, Denial)
    return denial


def test_a_request_that_nothing_limits_is_admitted_without_asking() -> None:
    admission = asked(Untouchable())
    assert isinstance(admission, Admission)
    assert admission.grant is None


def test_an_admission_carries_its_permit_and_what_was_drawn() -> None:
    granted = permit(bound(claims=[rate()]))
    admission = told(limit(granted, MemoryLimiter(FakeClock())))
    assert isinstance(admission, Admission)
    assert admission.permit is granted
    assert admission.grant is not None
    assert admission.grant.standings[0].remaining == 1


def test_a_rate_that_is_used_up_refuses_with_the_seconds_until_it_admits_again() -> None:
    clock = FakeClock()
    limiter = MemoryLimiter(clock)
    assert isinstance(asked(limiter, rate(1)), Admission)
    denial = refused(limiter, rate(1))
    assert denial.reason is Reason.RATE_LIMITED
    assert denial.retry_after_seconds == 60
    assert denial.reset_seconds == 60
    assert denial.limit == 1
    assert denial.remaining == 0
    assert denial.violated_policies == ("minute",)
    assert denial.internal == "lineage:lin_a:pro:minute"
    assert denial.grant is not None
    assert denial.grant.refused == rate(1)
    clock.advance(denial.retry_after_seconds)
    assert isinstance(asked(limiter, rate(1)), Admission)


def test_a_quota_that_is_used_up_refuses_until_its_period_ends() -> None:
    limiter = MemoryLimiter(FakeClock())
    asked(limiter, quota(1))
    denial = refused(limiter, quota(1))
    assert denial.reason is Reason.QUOTA_EXCEEDED
    assert denial.violated_policies == ("monthly",)
    assert denial.retry_after_seconds == denial.reset_seconds > 3600


def test_too_many_requests_at_the_same_time_are_refused_until_one_ends() -> None:
    limiter = MemoryLimiter(FakeClock())
    first = asked(limiter, concurrency())
    denial = refused(limiter, concurrency())
    assert denial.reason is Reason.CONCURRENCY_LIMITED
    assert denial.retry_after_seconds >= 1
    assert isinstance(first, Admission)
    assert first.grant is not None
    limiter.release(first.grant)
    assert isinstance(asked(limiter, concurrency()), Admission)


def test_a_refusal_draws_on_no_bucket_at_all() -> None:
    limiter = MemoryLimiter(FakeClock())
    asked(limiter, rate(1))
    for _ in range(5):
        refused(limiter, quota(1), concurrency(), rate(1))
    assert isinstance(asked(limiter, quota(1), concurrency()), Admission)


@pytest.mark.parametrize("first", ["route", "key"])
def test_the_limits_of_key_and_route_are_drawn_together(first: str) -> None:
    of_route = rate(1 if first == "route" else 9, owner="route:things")
    route = replace(THINGS, claims=(of_route,))
    of_key = rate(9 if first == "route" else 1)
    limiter = MemoryLimiter(FakeClock())
    assert isinstance(asked(limiter, of_key, route=route), Admission)
    denial = asked(limiter, of_key, route=route)
    assert isinstance(denial, Denial)
    assert denial.violated_policies == ("route-minute" if first == "route" else "minute",)


def test_a_public_route_is_limited_by_its_own_plan() -> None:
    route = replace(OPEN, claims=(rate(1, owner="route:open"),))
    limiter = MemoryLimiter(FakeClock())
    assert isinstance(told(limit(permit(None, route), limiter)), Admission)
    assert isinstance(told(limit(permit(None, route), limiter)), Denial)


async def test_a_limiter_on_another_host_is_waited_for() -> None:
    limiter = RemoteLimiter(MemoryLimiter(FakeClock()))
    for expected in (Admission, Denial):
        pending = limit(permit(bound(claims=[rate(1)])), limiter)
        assert inspect.isawaitable(pending)
        task = asyncio.ensure_future(pending)
        await asyncio.sleep(0)
        assert not task.done()
        await limiter.arrive()
        assert isinstance(await task, expected)


class Broken(Untouchable):
    """A limiter that cannot count."""

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        raise LimiterUnavailable("a lock is held by a process that does not run")


class BrokenFarAway(Untouchable):
    """A limiter on another host that cannot count."""

    async def acquire(self, claims: Sequence[Claim]) -> Grant:  # type: ignore[override]
        raise LimiterUnavailable("a lock is held by a process that does not run")


@pytest.mark.parametrize("broken", [Broken, BrokenFarAway])
async def test_a_request_that_nobody_can_count_is_refused_and_not_let_through(
    broken: type[Broken | BrokenFarAway],
) -> None:
    result = limit(permit(bound(claims=[rate()])), broken())
    denial = await result if inspect.isawaitable(result) else result
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.retry_after_seconds) == (Reason.LIMITER_UNAVAILABLE, 1)
    assert denial.internal == "a lock is held by a process that does not run"


def test_a_grant_that_does_not_say_how_the_refusing_bucket_stands_is_still_truthful() -> None:
    class Terse(Untouchable):
        def acquire(self, claims: Sequence[Claim]) -> Grant:
            return Grant((Standing(claims[1], 5, 7),), refused=claims[0], retry_after_seconds=9)

    denial = refused(Terse(), rate(3), quota(9))
    assert denial.remaining == 0
    assert denial.reset_seconds == denial.retry_after_seconds == 9
