"""Redis is killed, stopped, flushed, slow, full, or read-only: what is let in then, and what it costs afterwards."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.clock import SystemClock
from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.redis.outage import Outage, Policy, cut
from gateway.ports import LimiterUnavailable
from tests.clock import FakeClock
from tests.contracts.limiter import admitted, claim, concurrency, quota, rate
from tests.limiters.redis.nodes import node, until
from tests.redis_server import Server

STEADY = rate(limit=60, burst=10)


def fallback(clock: FakeClock, share: float = 0.5) -> Outage:
    return Outage(MemoryLimiter(clock), clock, lambda: Policy(share))


def let_in(outage: Outage, times: int, *claims: Claim) -> list[Grant]:
    return [outage.acquire(claims, "away") for _ in range(times)]


# ---- without Redis at all


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (rate(limit=60, burst=11), rate(limit=30, burst=5)),
        (rate(limit=1, burst=1), rate(limit=1, burst=1)),
        (quota(7), quota(3)),
        (concurrency(1), concurrency(1)),
    ],
)
def test_a_share_is_rounded_down_and_lets_in_one_request_at_least(
    rule: Rate | Quota | Concurrency, expected: Rate | Quota | Concurrency
) -> None:
    assert cut(rule, 0.5) == expected


def test_a_share_of_each_limit_is_let_in_and_no_more(clock: FakeClock) -> None:
    outage = fallback(clock)
    grants = let_in(outage, 20, claim(STEADY), claim(quota(8)))
    assert admitted(grants) == 4
    assert all(grant.is_degraded for grant in grants)
    assert admitted(let_in(outage, 20, claim(STEADY))) == 1
    clock.advance(4)
    assert admitted(let_in(outage, 20, claim(STEADY))) == 2


def test_without_a_share_nobody_is_let_in(clock: FakeClock) -> None:
    with pytest.raises(LimiterUnavailable, match="away"):
        let_in(fallback(clock, 0.0), 1, claim(STEADY))


def test_what_was_let_in_is_owed_as_far_as_time_has_not_paid_for_it(clock: FakeClock) -> None:
    outage = fallback(clock)
    let_in(outage, 4, claim(STEADY), claim(quota(100)))
    assert [(owed.claim.rule, owed.number) for owed in outage.owed()] == [
        (STEADY, 4),
        (quota(100), 4),
    ]
    clock.advance(5)
    assert [owed.number for owed in outage.owed()] == [2, 4]
    clock.advance(5)
    assert [owed.number for owed in outage.owed()] == [4]
    outage.settled()
    assert outage.owed() == []


def test_requests_in_flight_are_given_back_where_they_were_counted(clock: FakeClock) -> None:
    outage = fallback(clock)
    at_once = claim(concurrency(4))
    assert admitted(let_in(outage, 9, at_once)) == 2
    assert outage.release(at_once.bucket)
    assert admitted(let_in(outage, 9, at_once)) == 1
    assert [outage.release(at_once.bucket) for _ in range(3)] == [True, True, False]


# ---- with a real one


async def test_a_gateway_that_starts_without_redis_lets_in_its_share(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    own_redis.kill()
    async with node(own_redis.url, prefix, clock) as one:
        grants = await one.draw_at_once(20, claim(STEADY))
        assert admitted(grants) == 5
        assert all(grant.is_degraded for grant in grants)
        own_redis.start()
        await one.comes_back()
        assert not (await one.acquire(claim(STEADY))).is_degraded


async def test_killed_requests_under_way_are_decided_here_and_nobody_fails(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(10, claim(STEADY)) == 10
        own_redis.freeze()
        pending = [one.limiter.acquire((claim(STEADY),)) for _ in range(20)]
        await asyncio.sleep(0)
        own_redis.kill()
        grants = [each if isinstance(each, Grant) else await each for each in pending]
        assert admitted(grants) == 5
        assert all(grant.is_degraded for grant in grants)
        assert await one.draw(9, claim(STEADY)) == 0


async def test_deny_refuses_requests_under_way_and_later_ones(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock, share=0.0) as one:
        own_redis.freeze()
        pending = asyncio.gather(
            *(one.acquire(claim(STEADY)) for _ in range(3)), return_exceptions=True
        )
        await asyncio.sleep(0)
        own_redis.kill()
        assert all(isinstance(each, LimiterUnavailable) for each in await pending)
        with pytest.raises(LimiterUnavailable):
            await one.acquire(claim(STEADY))


async def test_stopped_costs_one_timeout_and_is_noticed_once(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock, timeout=0.2, connect_timeout=0.2) as one:
        own_redis.freeze()
        started = asyncio.get_running_loop().time()
        grant = await one.acquire(claim(STEADY))
        assert grant.is_degraded
        assert 0.15 < asyncio.get_running_loop().time() - started < 2.0
        assert isinstance(one.limiter.acquire((claim(STEADY),)), Grant)  # nobody waits any more
        assert "no answer within 0.2 s" in one.told[-1]
        own_redis.thaw()
        await one.comes_back()
        assert not (await one.acquire(claim(STEADY))).is_degraded


async def test_slow_is_waited_for_within_the_timeout(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock, timeout=5.0) as one:
        own_redis.client.client_pause(300, all=True)
        grant = await one.acquire(claim(STEADY))
        assert not grant.is_degraded
        assert one.told == [""]


async def test_too_slow_is_as_good_as_away_and_comes_back(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock, timeout=0.1) as one:
        own_redis.client.client_pause(600, all=True)
        assert (await one.acquire(claim(STEADY))).is_degraded
        await one.comes_back()
        assert not (await one.acquire(claim(STEADY))).is_degraded


async def test_flushed_fills_each_bucket_once_and_no_more(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    """What Redis forgets is forgotten: a burst and a quota more per bucket, which is the documented bound."""
    claims = claim(rate(limit=60, burst=10)), claim(quota(25))
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(20, *claims) == 10
        own_redis.client.flushall()
        assert await one.draw(20, *claims) == 10
        clock.advance(5)
        assert await one.draw(20, *claims) == 5


async def test_out_of_memory_goes_on_with_the_share_until_there_is_some(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(2, claim(STEADY)) == 2
        own_redis.client.config_set("maxmemory", "1")
        grants = await one.draw_at_once(20, claim(STEADY))
        assert admitted(grants) == 5
        assert all(grant.is_degraded for grant in grants)
        await until(lambda: any("maxmemory" in why for why in one.told))
        assert not one.link.is_up
        own_redis.client.config_set("maxmemory", "0")
        await one.comes_back()
        assert not (await one.acquire(claim(STEADY))).is_degraded


async def test_read_only_is_not_asked_until_it_can_be_written_to(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock) as one:
        own_redis.client.replicaof("127.0.0.1", 1)
        assert (await one.acquire(claim(STEADY))).is_degraded
        own_redis.client.replicaof("NO", "ONE")
        await one.comes_back()
        assert not (await one.acquire(claim(STEADY))).is_degraded


async def test_what_was_let_in_meanwhile_is_charged_when_redis_is_back(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    """No burst on top of the share: the quota counts all, and the rate goes on from where the node stood."""
    claims = claim(rate(limit=60, burst=10)), claim(quota(100))
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(10, *claims) == 10
        own_redis.freeze()
        own_redis.client.close()
        one.link._break("cut")  # the network is gone; what Redis knows stays
        await one.goes_away()
        clock.advance(10)  # Redis is full again by now
        assert await one.draw(20, *claims) == 5
        own_redis.thaw()
        await one.comes_back()
        key = f"{prefix}:q:{{lineage:a}}:pro:hour"
        assert own_redis.client.get(key).split()[1] == b"15"
        assert await one.draw(20, *claims) == 5


async def test_an_outage_lets_in_no_more_than_the_documented_bound(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    """Two nodes, an outage of a minute, another one, in any interval: what Redis lets in, and each node its share."""
    steady = claim(rate(limit=60, burst=10))
    async with (
        node(own_redis.url, prefix, clock) as one,
        node(own_redis.url, prefix, clock) as other,
    ):
        let = 0
        for _ in range(2):
            for each in (one, other):
                let += await each.draw(30, steady)
            own_redis.freeze()
            for each in (one, other):
                each.link._break("cut")
                await each.goes_away()
            for _ in range(60):
                clock.advance(1)
                for each in (one, other):
                    let += await each.draw(3, steady)
            own_redis.thaw()
            for each in (one, other):
                await each.comes_back()
            for each in (one, other):
                let += await each.draw(30, steady)
    assert let <= 10 + 120 + 2 * 0.5 * (10 + 120)
    assert let > 120


async def test_a_redis_that_comes_and_goes_fills_no_share_twice(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    steady = claim(rate(limit=60, burst=10))
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(20, steady) == 10
        let = 0
        for _ in range(5):
            one.link._break("cut")
            let += await one.draw(20, steady)
            await one.comes_back()
            let += await one.draw(20, steady)
        assert let == 5


async def test_requests_in_flight_outlive_an_outage_on_both_sides(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    at_once = claim(concurrency(4))
    key = f"{prefix}:c:{{lineage:a}}:pro:concurrency"
    async with node(own_redis.url, prefix, clock) as one:
        before = await one.draw_at_once(2, at_once)
        one.link._break("cut")
        during = await one.draw_at_once(2, at_once)
        assert admitted(during) == 2
        assert all(grant.is_degraded for grant in during)
        own_redis.client.delete(key)
        await one.comes_back()
        assert own_redis.client.zcard(key) == 2  # those that go on are told of
        for grant in (*during, *before):
            one.limiter.release(grant)
        await one.exact.settled()
        assert own_redis.client.zcard(key) == 0
        one.link._break("cut")
        assert admitted(await one.draw_at_once(9, at_once)) == 2


async def test_the_log_hears_of_each_change_once(own_redis: Server, prefix: str) -> None:
    async with node(own_redis.url, prefix, SystemClock(), retry=0.02) as one:
        own_redis.kill()
        await one.goes_away()
        for _ in range(50):
            await one.acquire(claim(STEADY))
        own_redis.start()
        await one.comes_back()
        assert one.told[0] == ""
        assert one.told[-1] == ""
        assert len([why for why in one.told if not why]) == 2
