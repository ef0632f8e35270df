"""A cluster of three masters: where buckets lie, what is drawn together, and what is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.config.model import Limits
from gateway.domain.limits import Claim, Grant, Rule
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.redis import scripts
from gateway.limiters.redis.cluster import Cluster, slot_of
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.exact import ExactLimiter
from gateway.limiters.redis.leased import LeasedLimiter
from gateway.limiters.redis.outage import Outage, Policy
from gateway.limiters.redis.wire import Wire
from gateway.ports import Limiter
from tests.clock import FakeClock
from tests.contracts.limiter import LimiterContract, admitted, claim, concurrency, quota, rate
from tests.limiters.redis.nodes import time_of, until
from tests.redis_server import Server, own_server

SPREAD = [f"lineage:k{number}" for number in range(20)]


class Masters:
    """Three servers that are a cluster."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.servers = [
            stack.enter_context(
                own_server(
                    folder,
                    *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"),
                    *("--cluster-config-file", f"nodes-{number}.conf"),
                    *("--cluster-require-full-coverage", "no"),
                )
            )
            for number in range(3)
        ]
        third = 16_384 // 3
        for number, server in enumerate(self.servers):
            last = 16_383 if number == 2 else (number + 1) * third - 1
            slots = range(number * third, last + 1)
            server.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            server.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            port = self.servers[0].port
            server.client.execute_command("CLUSTER", "MEET", "127.0.0.1", port)

    def are_one(self) -> bool:
        """Tell whether all of them know who has what."""
        found = [each.client.execute_command("CLUSTER", "INFO") for each in self.servers]
        signs = b"cluster_state:ok", b"cluster_slots_assigned:16384", b"cluster_size:3"
        return all(sign in info for info in found for sign in signs)

    def owner_of(self, key: bytes) -> Server:
        return self.servers[min(2, slot_of(key) // (16_384 // 3))]


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Masters]:
    with ExitStack() as stack:
        made = Masters(tmp_path_factory.mktemp("cluster"), stack)
        asyncio.run(until(made.are_one, 30))
        yield made


class Node:
    def __init__(self, masters: Masters, prefix: str, clock: FakeClock, **more: Any) -> None:
        section = Limits(url=SecretStr(masters.servers[0].url), prefix=prefix, cluster=True, **more)
        self.told: list[str] = []
        wire = Wire(prefix)
        self.cluster = Cluster(
            Dialer(section, Path()),
            timeout_seconds=lambda: 5.0,
            retry_seconds=lambda: 0.05,
            greet=lambda link, probe: self.limiter.prepare(link, probe),  # noqa: PLW0108 - made below
            changed=self.told.append,
            whole=lambda: self.limiter.settle(),  # noqa: PLW0108
            probe=wire.probe,
        )
        self.limiter = ExactLimiter(
            self.cluster,
            wire,
            scripts.load(),
            Outage(MemoryLimiter(clock), clock, lambda: Policy(0.5)),
            clock,
            node=token_hex(8),
            in_flight_seconds=30.0,
            is_spread=True,
            time=lambda: time_of(clock),
        )

    async def acquire(self, *claims: Claim) -> Grant:
        grant = self.limiter.acquire(claims)
        return grant if isinstance(grant, Grant) else await grant

    def key(self, claim: Claim) -> bytes:
        return self.limiter.wire.line(claim).key


@asynccontextmanager
async def node(masters: Masters, prefix: str, clock: FakeClock) -> AsyncIterator[Node]:
    made = Node(masters, prefix, clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.cluster.run())
        await until(lambda: made.cluster.is_whole)
        try:
            yield made
        finally:
            await made.limiter.close()
            made.cluster.stop()


class TestExactLimiterOnACluster(LimiterContract):
    """Keeps the contract; claims of one owner lie together here."""

    @pytest.fixture
    async def limiter(
        self, masters: Masters, prefix: str, clock: FakeClock
    ) -> AsyncIterator[Limiter]:
        async with node(masters, prefix, clock) as made:
            yield made.limiter


def on_all(rule: Rule) -> tuple[Claim, ...]:
    """Return claims of one request on buckets of many owners."""
    return tuple(claim(rule, owner) for owner in SPREAD)


@pytest.mark.parametrize(
    "key", [b"123456789", b"{lineage:a}:x", b"a{tenant:b}{c}", b"{}a", b"{a", b"a}{b}", b""]
)
def test_slots_are_those_of_redis(masters: Masters, key: bytes) -> None:
    client = masters.servers[0].client
    assert slot_of(key) == client.execute_command("CLUSTER", "KEYSLOT", key)


async def test_buckets_of_one_owner_are_drawn_in_one_act(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    claims = claim(rate(burst=50)), claim(quota(50)), claim(concurrency(50))
    async with node(masters, prefix, clock) as one:
        owner = masters.owner_of(one.key(claims[0]))
        before = owner.calls("evalsha")
        assert (await one.acquire(*claims)).refused is None
        assert owner.calls("evalsha") - before == 1


async def test_a_request_over_all_nodes_is_admitted_by_all(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    claims = on_all(quota(3))
    async with node(masters, prefix, clock) as one:
        grants = [await one.acquire(*claims) for _ in range(5)]
        assert admitted(grants) == 3
        assert [standing.remaining for standing in grants[0].standings] == [2] * len(SPREAD)
        owners = {masters.owner_of(one.key(each)).port for each in claims}
        assert len(owners) == 3


@pytest.mark.parametrize("rule", [quota(3), rate(limit=60, burst=3), concurrency(3)])
async def test_what_was_drawn_in_vain_is_given_back(
    masters: Masters, prefix: str, clock: FakeClock, rule: Rule
) -> None:
    """One owner has nothing left: nobody else is charged for the requests that it refuses."""
    claims = on_all(rule)
    async with node(masters, prefix, clock) as one:
        for _ in range(3):
            assert (await one.acquire(claims[7])).refused is None
        for _ in range(5):
            refused = await one.acquire(*claims)
            assert refused.refused is claims[7]
            assert {s.remaining for s in refused.standings[1:]} <= {3}
        await one.limiter.settled()
        await asyncio.sleep(0)
        for each in claims[:7]:
            assert admitted([await one.acquire(each) for _ in range(4)]) == 3


async def test_requests_at_the_same_time_over_many_owners_never_get_more_than_the_limit(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    claims = on_all(quota(7))
    async with node(masters, prefix, clock) as one, node(masters, prefix, clock) as other:
        grants = await asyncio.gather(
            *(each.acquire(*claims) for _ in range(20) for each in (one, other))
        )
        assert admitted(grants) <= 7
        await one.limiter.settled()
        await other.limiter.settled()
        left = 7 - admitted(grants)
        assert admitted([await one.acquire(*claims) for _ in range(9)]) == left


async def test_a_slot_that_moved_is_found_again(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    each = claim(quota(5), "lineage:moving")
    async with node(masters, prefix, clock) as one:
        assert admitted([await one.acquire(each) for _ in range(2)]) == 2
        key = one.key(each)
        slot, source = slot_of(key), masters.owner_of(key)
        target = next(server for server in masters.servers if server is not source)
        move(masters, slot, source, target, key)
        try:
            assert admitted([await one.acquire(each) for _ in range(5)]) == 3
            assert not (await one.acquire(claim(quota(5), "lineage:moving"))).is_degraded
        finally:
            move(masters, slot, target, source, key)


async def test_a_slot_that_is_on_its_way_costs_its_own_calls_only(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    """One of two buckets of an owner has arrived, the other has not: nobody can draw on both."""
    both = claim(quota(9), "lineage:torn"), claim(rate(burst=9), "lineage:torn")
    async with node(masters, prefix, clock) as one:
        assert (await one.acquire(*both)).refused is None
        keys = [one.key(each) for each in both]
        slot, source = slot_of(keys[0]), masters.owner_of(keys[0])
        target = next(server for server in masters.servers if server is not source)
        begin_to_move(slot, source, target)
        try:
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
            assert (await one.acquire(*both)).is_degraded
            alone = await one.acquire(both[0])  # asked for where it has arrived
            assert (alone.is_degraded, alone.standings[0].remaining) == (False, 7)
            assert one.cluster.is_whole
        finally:
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, keys[1], 0, 5000)
            end_move(masters, slot, source, target)
            move(masters, slot, target, source, *keys)


def begin_to_move(slot: int, source: Server, target: Server) -> None:
    source_id = source.client.execute_command("CLUSTER", "MYID")
    target_id = target.client.execute_command("CLUSTER", "MYID")
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)


def end_move(masters: Masters, slot: int, source: Server, target: Server) -> None:
    target_id = target.client.execute_command("CLUSTER", "MYID")
    for server in (target, source, *masters.servers):
        server.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def move(masters: Masters, slot: int, source: Server, target: Server, *keys: bytes) -> None:
    """Move a slot with its keys from one master to another."""
    begin_to_move(slot, source, target)
    for key in keys:
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    end_move(masters, slot, source, target)


async def test_a_master_that_is_away_concerns_only_its_own_buckets(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    claims = on_all(quota(8))
    async with node(masters, prefix, clock) as one:
        lost = masters.servers[2]
        mine = next(each for each in claims if masters.owner_of(one.key(each)) is lost)
        other = next(each for each in claims if masters.owner_of(one.key(each)) is not lost)
        lost.kill()
        try:
            await until(lambda: not one.cluster.is_whole)
            assert one.cluster.is_up
            assert not (await one.acquire(other)).is_degraded
            assert (await one.acquire(mine)).is_degraded
            both = await one.acquire(mine, other)
            assert both.is_degraded
            await one.limiter.settled()
            assert (await one.acquire(other)).standings[0].remaining == 8 - 2
        finally:
            lost.start()
        await until(lambda: one.cluster.is_whole, 30)
        await until(masters.are_one, 30)
        assert not (await one.acquire(mine)).is_degraded


async def test_leases_are_taken_where_the_bucket_lies(
    masters: Masters, prefix: str, clock: FakeClock
) -> None:
    claims = tuple(claim(quota(5_000), owner) for owner in SPREAD[:6])
    async with node(masters, prefix, clock) as one:
        leased = LeasedLimiter(one.limiter, 0.5)
        at_hand = 0
        for _ in range(300):
            grant = leased.acquire(claims)
            at_hand += isinstance(grant, Grant)
            if not isinstance(grant, Grant):
                assert (await grant).refused is None
        assert at_hand > 150
        await leased.close()
        found = await one.acquire(*claims)
        assert {standing.remaining for standing in found.standings} == {5_000 - 301}
