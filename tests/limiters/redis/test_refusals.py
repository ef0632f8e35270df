"""A refusal is repeated only for as long as it is true, and never for longer than a second."""

from __future__ import annotations

import pytest

from gateway.domain.limits import Claim
from gateway.limiters.redis import wire
from gateway.limiters.redis.refusals import Refusals
from tests.clock import FakeClock
from tests.contracts.limiter import claim, concurrency, quota, rate

NOW = 1_700_000_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def noted(clock: FakeClock, claims: tuple[Claim, ...], *numbers: int) -> Refusals:
    refusals = Refusals()
    reply = [0, NOW, *numbers]
    refusals.note(claims, reply, wire.levels(claims, reply), clock.monotonic())
    return refusals


def test_it_is_repeated_until_there_is_room_again(clock: FakeClock) -> None:
    claims = (claim(rate(limit=120, burst=2)),)
    refusals = noted(clock, claims, 900_000, 0)
    grant = refusals.find(claims, clock)
    assert grant is not None
    assert (grant.refused, grant.retry_after_seconds) == (claims[0], 1)
    clock.advance(0.39)
    assert refusals.find(claims, clock) is not None
    clock.advance(0.02)
    assert refusals.find(claims, clock) is None


def test_it_is_not_repeated_for_more_than_a_second(clock: FakeClock) -> None:
    claims = (claim(quota(1)),)
    refusals = noted(clock, claims, 1, NOW // 1_000_000 + 3600)
    clock.advance(0.5)
    grant = refusals.find(claims, clock)
    assert grant is not None
    assert grant.retry_after_seconds == 3600
    clock.advance(0.5)
    assert refusals.find(claims, clock) is None


def test_requests_in_flight_may_end_at_any_time(clock: FakeClock) -> None:
    claims = (claim(concurrency(1)),)
    assert noted(clock, claims, 1, 0).find(claims, clock) is None


def test_another_request_is_asked_about(clock: FakeClock) -> None:
    claims = (claim(rate(limit=60, burst=1)),)
    refusals = noted(clock, claims, 1_000_000, 0)
    assert refusals.find((claim(rate(limit=60, burst=1)),), clock) is None
    assert refusals.find(claims, clock) is not None


def test_what_is_remembered_is_bounded(clock: FakeClock) -> None:
    refusals = Refusals()
    kept = [(claim(rate(limit=60, burst=1), f"lineage:{n}"),) for n in range(5000)]
    for claims in kept:
        reply = [0, NOW, 1_000_000, 0]
        refusals.note(claims, reply, wire.levels(claims, reply), clock.monotonic())
    assert len(refusals._known) <= 4096
