"""One request, one script: the contract, and what several nodes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from gateway.control.clock import SystemClock
from gateway.domain.limits import Grant, Quota
from gateway.limiters.memory import MemoryLimiter
from gateway.ports import Limiter
from tests.clock import FakeClock
from tests.contracts.limiter import (
    LimiterContract,
    admitted,
    claim,
    concurrency,
    quota,
    rate,
)
from tests.limiters.redis.nodes import Node, node, until
from tests.redis_server import Server


class TestExactLimiter(LimiterContract):
    """Keeps the contract."""

    @pytest.fixture
    async def limiter(self, redis: Server, prefix: str, clock: FakeClock) -> AsyncIterator[Limiter]:
        async with node(redis.url, prefix, clock) as made:
            yield made.limiter


@pytest.mark.parametrize("seed", range(4))
async def test_two_nodes_answer_together_as_one_process_would(
    redis: Server, prefix: str, clock: FakeClock, seed: int
) -> None:
    """Whatever is asked of either, at whatever time: the same is admitted, and the same is told of it."""
    random, memory = Random(seed), MemoryLimiter(clock)
    claims = (
        claim(rate(limit=7, burst=4)),
        claim(rate(limit=90, burst=9), "tenant:t"),
        claim(quota(40)),
        claim(concurrency(3)),
        claim(concurrency(5), "tenant:t"),
    )
    held: list[tuple[Grant, Grant, Node]] = []
    day = 86_400.0  # nobody beats here
    async with (
        node(redis.url, prefix, clock, concurrency_timeout=day) as one,
        node(redis.url, prefix, clock, concurrency_timeout=day) as other,
    ):
        for _ in range(400):
            if random.random() < 0.3:
                # Sixty-fourths of a second: exact in floats, in microseconds and in nanoseconds.
                clock.advance(random.choice((1, 5, 64, 640, 64 * 120)) / 64)
            if held and random.random() < 0.5:
                expected, found, at = held.pop(random.randrange(len(held)))
                memory.release(expected)
                at.limiter.release(found)
                await at.exact.settled()
            at = random.choice((one, other))
            wanted = random.sample(claims, random.randint(1, len(claims)))
            expected, found = memory.acquire(wanted), await at.acquire(*wanted)
            assert found.refused is expected.refused
            assert found.retry_after_seconds == expected.retry_after_seconds
            assert told(found) == told(expected)
            if found.held:
                held.append((expected, found, at))


def told(grant: Grant) -> list[tuple[str, int, int]]:
    return [(each.claim.bucket, each.remaining, each.reset_seconds) for each in grant.standings]


async def test_a_request_is_one_command_for_all_of_its_buckets(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    claims = claim(rate(burst=60)), claim(quota(50)), claim(rate(burst=60), "tenant:t")
    async with node(own_redis.url, prefix, clock) as one:
        before = own_redis.calls("evalsha")
        assert await one.draw(20, *claims) == 20
        assert own_redis.calls("evalsha") - before == 20


async def test_what_is_asked_in_one_turn_is_sent_in_one_write(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock) as one:
        reads = int(own_redis.client.info("stats")["total_reads_processed"])
        grants = await one.draw_at_once(30, claim(rate(burst=60)))
        reads = int(own_redis.client.info("stats")["total_reads_processed"]) - reads
    assert admitted(grants) == 30
    assert reads < 8  # two of them are ours


async def test_old_and_new_key_of_a_rotation_share_one_limit_on_two_nodes(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    """Buckets are those of the lineage: both keys name the same one."""
    old = claim(rate(limit=6, burst=6), "lineage:k1")
    new = claim(rate(limit=6, burst=6), "lineage:k1")
    async with (
        node(redis.url, prefix, clock) as one,
        node(redis.url, prefix, clock) as other,
    ):
        assert await one.draw(4, old) == 4
        assert await other.draw(4, new) == 2
        clock.advance(20)
        assert await one.draw(1, new) + await other.draw(3, old) == 2


async def test_two_nodes_never_get_more_than_the_limit(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    claims = claim(rate(burst=50)), claim(quota(40)), claim(concurrency(45))
    async with (
        node(redis.url, prefix, clock) as one,
        node(redis.url, prefix, clock) as other,
    ):
        both = await asyncio.gather(
            one.draw_at_once(100, *claims), other.draw_at_once(100, *claims)
        )
        assert sum(map(admitted, both)) == 40


async def test_installations_with_another_prefix_share_nothing(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with (
        node(redis.url, prefix, clock) as one,
        node(redis.url, f"{prefix}.b", clock) as other,
    ):
        assert await one.draw(9, claim(rate(burst=5))) == 5
        assert await other.draw(9, claim(rate(burst=5))) == 5


async def test_time_is_that_of_redis(redis: Server, prefix: str) -> None:
    """A node whose clock is wrong by an hour admits nothing more."""

    class Wrong(SystemClock):
        def now(self) -> float:
            return super().now() + 3600

    each = claim(rate(limit=1, burst=5))
    async with (
        node(redis.url, prefix, SystemClock()) as one,
        node(redis.url, prefix, Wrong()) as other,
    ):
        assert await one.draw(3, each) + await other.draw(9, each) == 5


async def test_a_bucket_is_gone_seconds_after_it_is_full_again(redis: Server, prefix: str) -> None:
    async with node(redis.url, prefix, SystemClock()) as one:
        await one.draw(30, claim(rate(limit=60, burst=60)))
        left = redis.client.pttl(f"{prefix}:r:{{lineage:a}}:pro:minute")
        assert 30_000 < left <= 35_000


async def test_a_quota_stays_an_hour_longer_than_its_period(redis: Server, prefix: str) -> None:
    async with node(redis.url, prefix, SystemClock()) as one:
        await one.draw(1, claim(Quota(name="daily", limit=5, period="day")))
        left = redis.client.ttl(f"{prefix}:q:{{lineage:a}}:pro:daily")
        assert 3600 <= left <= 86400 + 3600


async def test_requests_of_a_node_that_died_count_no_longer_than_said(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    at_once = claim(concurrency(3))
    async with node(redis.url, prefix, clock, concurrency_timeout=30.0) as one:
        assert await one.draw(9, at_once) == 3
        one.link.stop()  # it says nothing any more
        await one.goes_away()
        async with node(redis.url, prefix, clock, concurrency_timeout=30.0) as other:
            clock.advance(29)
            assert await other.draw(9, at_once) == 0
            clock.advance(2)
            assert await other.draw(9, at_once) == 3


async def test_a_request_that_goes_on_counts_for_as_long_as_its_node_says_so(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    at_once = claim(concurrency(1))
    async with node(redis.url, prefix, clock, concurrency_timeout=30.0) as one:
        grant = await one.acquire(at_once)
        for _ in range(12):
            clock.advance(10)
            await one.exact.beat()
            assert await one.draw(1, at_once) == 0
        one.limiter.release(grant)
        assert await one.draw(1, at_once) == 1


async def test_a_node_that_was_stopped_for_too_long_counts_its_requests_again(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    """What it let in goes on, whatever Redis thought of it meanwhile."""
    at_once = claim(concurrency(1))
    async with (
        node(redis.url, prefix, clock, concurrency_timeout=30.0) as one,
        node(redis.url, prefix, clock, concurrency_timeout=30.0) as other,
    ):
        first = await one.acquire(at_once)
        clock.advance(31)
        assert await other.draw(1, at_once) == 1
        await one.exact.beat()
        assert redis.client.zcard(f"{prefix}:c:{{lineage:a}}:pro:concurrency") == 2
        one.limiter.release(first)
        assert redis.client.exists(f"{prefix}:c:{{lineage:a}}:pro:concurrency")


async def test_a_node_gives_back_what_it_holds_when_it_ends(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    at_once = claim(concurrency(5))
    async with node(redis.url, prefix, clock) as one:
        assert await one.draw(5, at_once) == 5
    assert not redis.client.exists(f"{prefix}:c:{{lineage:a}}:pro:concurrency")


async def test_a_grant_that_nobody_waits_for_any_more_holds_nothing(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    at_once = claim(concurrency(1))
    async with node(redis.url, prefix, clock) as one:
        pending = one.limiter.acquire((at_once,))
        assert isinstance(pending, asyncio.Future)
        pending.cancel()
        key = f"{prefix}:c:{{lineage:a}}:pro:concurrency"
        await one.exact.settled()
        await until(lambda: not redis.client.exists(key))
        assert await one.draw(1, at_once) == 1


async def test_a_refusal_that_is_still_true_is_not_asked_about(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    claims = (claim(rate(limit=60, burst=2)), claim(quota(9)))
    async with node(own_redis.url, prefix, clock) as one:

        async def ask() -> Grant:
            grant = one.limiter.acquire(claims)
            return grant if isinstance(grant, Grant) else await grant

        assert admitted([await ask() for _ in range(3)]) == 2
        before = own_redis.calls("evalsha")
        clock.advance(0.25)
        for _ in range(50):
            grant = await ask()
            assert (grant.refused, grant.retry_after_seconds) == (claims[0], 1)
            assert [s.remaining for s in grant.standings] == [0, 7]
        assert own_redis.calls("evalsha") == before
        clock.advance(0.75)
        assert (await ask()).refused is None


async def test_how_buckets_stand_is_not_known_without_asking(
    redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(redis.url, prefix, clock) as one:
        look: object = one.limiter.look((claim(rate()),))
        assert look is None


async def test_scripts_that_redis_forgot_are_told_again(
    own_redis: Server, prefix: str, clock: FakeClock
) -> None:
    async with node(own_redis.url, prefix, clock) as one:
        assert await one.draw(2, claim(rate(burst=5))) == 2
        own_redis.client.script_flush()
        grants = await one.draw_at_once(9, claim(rate(burst=5)))
        assert admitted(grants) == 3
        assert not any(grant.is_degraded for grant in grants)
        assert one.told == [""]
