"""Requests taken in advance: the contract, what is spared, what is given back, and how far a limit is exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.control.clock import SystemClock
from gateway.domain.limits import Claim, Grant, Quota, Rate
from gateway.ports import Limiter
from tests.clock import FakeClock
from tests.contracts.limiter import HOUR, LimiterContract, claim, concurrency, rate
from tests.limiters.redis.nodes import Node, node, until
from tests.redis_server import Server

BUSY = Rate(name="minute", limit=60_000, window_seconds=60, burst=1_000)
PLENTY = Quota(name="hour", limit=1_000, period="hour")


class TestLeasedLimiter(LimiterContract):
    """Keeps the contract."""

    @pytest.fixture
    async def limiter(self, redis: Server, prefix: str, clock: FakeClock) -> AsyncIterator[Limiter]:
        async with node(redis.url, prefix, clock, mode="leased") as made:
            yield made.limiter


async def spent(one: Node, times: int, *claims: Claim) -> tuple[int, int]:
    """Draw one after the other; return how many were admitted, and how many of these without asking."""
    admitted = at_hand = 0
    for _ in range(times):
        grant = one.limiter.acquire(claims)
        is_here = isinstance(grant, Grant)
        found = grant if isinstance(grant, Grant) else await grant
        admitted += found.refused is None
        at_hand += is_here and found.refused is None
    return admitted, at_hand


async def test_a_busy_limit_is_asked_for_many_requests_at_a_time(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    claims = claim(BUSY), claim(PLENTY)
    async with node(own_redis.url, prefix, clock, mode="leased") as one:
        before = own_redis.calls("evalsha")
        admitted, at_hand = await spent(one, 400, *claims)
        calls = own_redis.calls("evalsha") - before
    assert admitted == 400
    assert at_hand > 300
    assert calls < 100


async def test_a_small_limit_is_exact(redis: Server, prefix: str, clock: FakeClock) -> None:
    small = claim(rate(limit=60, burst=63))
    async with (
        node(redis.url, prefix, clock, mode="leased") as one,
        node(redis.url, prefix, clock, mode="leased") as other,
    ):
        assert await spent(one, 50, small) == (50, 0)
        assert await spent(other, 50, small) == (13, 0)


async def test_a_request_that_is_counted_in_flight_is_asked_for(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(redis.url, prefix, clock, mode="leased") as one:
        admitted, at_hand = await spent(one, 50, claim(BUSY), claim(concurrency(100)))
        assert (admitted, at_hand) == (50, 0)
        bucket = redis.client.get(f"{prefix}:r:{{lineage:a}}:pro:minute")
        assert bucket is not None


async def test_a_quota_is_not_exceeded_by_any_number_of_nodes(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    each = claim(PLENTY)
    async with (
        node(redis.url, prefix, clock, mode="leased") as one,
        node(redis.url, prefix, clock, mode="leased") as other,
    ):
        admitted = 0
        for _ in range(30):
            both = await asyncio.gather(spent(one, 50, each), spent(other, 50, each))
            admitted += sum(count for count, _ in both)
            clock.advance(0.2)
            await one.leased.tend()
            await other.leased.tend()
        assert admitted == PLENTY.limit
        clock.advance(3600)
        assert (await spent(one, 1, each))[0] == 1


async def test_nothing_that_was_taken_in_one_period_is_let_in_in_the_next(
    redis: Server, prefix: str
) -> None:
    clock = FakeClock(now=HOUR + 3599.9)
    each = claim(PLENTY)
    async with node(redis.url, prefix, clock, mode="leased") as one:
        await spent(one, 40, each)
        await one.exact.settled()
        clock.advance(0.2)
        grant = one.limiter.acquire((each,))
        assert not isinstance(grant, Grant)
        assert (await grant).standings[0].remaining == PLENTY.limit - 1


async def test_what_is_not_used_is_given_back(redis: Server, prefix: str, clock: FakeClock) -> None:
    each = claim(PLENTY)
    key = f"{prefix}:q:{{lineage:a}}:pro:hour"
    async with node(redis.url, prefix, clock, mode="leased") as one:
        await spent(one, 40, each)
        await one.exact.settled()
        assert int(redis.client.get(key).split()[1]) > 40
        clock.advance(1)
        await one.leased.tend()
        await one.exact.settled()
        assert int(redis.client.get(key).split()[1]) == 40


async def test_a_node_that_ends_gives_back_what_it_has(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    key = f"{prefix}:q:{{lineage:a}}:pro:hour"
    async with node(redis.url, prefix, clock, mode="leased") as one:
        await spent(one, 40, claim(PLENTY))
        await one.exact.settled()
        assert int(redis.client.get(key).split()[1]) > 40
    assert int(redis.client.get(key).split()[1]) == 40


async def test_what_a_client_is_told_stays_near_the_truth(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    claims = (claim(BUSY), claim(PLENTY))
    async with node(redis.url, prefix, clock, mode="leased") as one:
        for number in range(1, 200):
            grant = await one.acquire(*claims)
            left = {s.claim.rule.name: s.remaining for s in grant.standings}
            assert left["hour"] == PLENTY.limit - number
            assert left["minute"] == BUSY.burst - number


async def test_nodes_exceed_a_rate_by_no_more_than_one_lease_of_it(
    redis: Server, prefix: str
) -> None:
    """Four nodes, real time: hold leases, then rush. The worst interval is looked for."""
    rule = Rate(name="second", limit=500, window_seconds=1, burst=500)
    clock, lease = SystemClock(), 0.5
    times: list[float] = []

    async def ask(one: Node, pause: float, seconds: float) -> None:
        until_then = clock.monotonic() + seconds
        while clock.monotonic() < until_then:
            if (await one.acquire(each)).refused is None:
                times.append(clock.monotonic())
            await asyncio.sleep(pause)

    each = claim(rule)
    async with (
        node(redis.url, prefix, clock, mode="leased", lease=lease) as a,
        node(redis.url, prefix, clock, mode="leased", lease=lease) as b,
        node(redis.url, prefix, clock, mode="leased", lease=lease) as c,
        node(redis.url, prefix, clock, mode="leased", lease=lease) as d,
    ):
        nodes = a, b, c, d
        await asyncio.gather(*(ask(one, 0.015, 1.2) for one in nodes))
        assert any(each.left for one in nodes for each in one.leased._leases.values())
        rushes = [ask(one, 0, 1.0) for one in nodes for _ in range(4)]
        await asyncio.gather(*rushes)
    # An answer may be on its way for a while before it is told: what it allows began earlier.
    latency = 0.1
    worst = max(
        last + 1 - first - rule.burst - rule.limit * (times[last] - times[first] + latency)
        for first in range(len(times))
        for last in range(first, len(times), 7)
    )
    assert worst <= rule.limit * lease
    assert len(times) > rule.burst


async def test_leases_that_nobody_uses_are_forgotten(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(redis.url, prefix, clock, mode="leased") as one:
        await spent(one, 1, claim(BUSY))
        assert len(one.leased._leases) == 1
        clock.advance(2)
        await one.leased.tend()
        assert not one.leased._leases


async def test_what_is_at_hand_is_let_in_while_redis_is_away(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock, mode="leased") as one:
        await spent(one, 40, claim(BUSY))
        await one.exact.settled()
        own_redis.kill()
        await one.goes_away()
        grant = one.limiter.acquire((claim(BUSY),))
        assert isinstance(grant, Grant)
        assert not grant.is_degraded
        clock.advance(0.6)
        grant = one.limiter.acquire((claim(BUSY),))
        assert isinstance(grant, Grant)
        assert grant.is_degraded
        await until(lambda: len(one.told) > 1)
