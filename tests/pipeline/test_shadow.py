"""A rule in shadow mode is tried, noted and counted, and refuses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.domain.denial import Reason
from gateway.domain.limits import Claim, Grant
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.domain.shadow import shadow_rules
from gateway.domain.tenants import Tenant
from gateway.limiters.memory import MemoryLimiter
from gateway.ports import LimiterUnavailable
from tests.pipeline.fakes import FakeExchange, ok
from tests.pipeline.samples import concurrency, head, quota, rate
from tests.pipeline.world import RemoteLimiter, World

ELSEWHERE = ("203.0.113.0/24",)
HERE = ("192.0.2.0/24",)


def trial(claim: Claim) -> Claim:
    """Return the claim of a plan that is tried."""
    return Claim(
        bucket=claim.bucket.replace(":pro:", ":trial:"),
        policy=claim.policy.replace("pro/", "trial/"),
        rule=claim.rule,
    )


def a_route(**changes: Any) -> Route:
    values: dict[str, Any] = {"name": "things", "pattern": "/v1/things", "upstream": "up"}
    return Route(**(values | changes))


def found(world: World) -> list[tuple[str, str, str]]:
    return [(each.kind.value, each.reason.value, each.policy) for each in world.outcome.shadow]


async def test_a_request_that_no_rule_in_shadow_mode_concerns_has_no_findings() -> None:
    world = World()
    await world.add_key()
    assert (await world.ask(head())).status == 200
    assert (world.outcome.shadow, world.shadowed) == ((), [])


async def test_the_list_of_a_route_in_shadow_mode_is_noted_and_the_request_forwarded() -> None:
    allowlist = Allowlist(ELSEWHERE, "route")
    world = World(a_route(shadow=shadow_rules(allowlists=(allowlist,))))
    await world.add_key()
    assert (await world.ask(head())).status == 200
    assert found(world) == [("route_ip", "ip_not_allowed", "")]
    assert world.shadowed == [world.outcome]


async def test_a_public_route_may_try_a_list_too() -> None:
    allowlist = Allowlist(ELSEWHERE, "route")
    world = World(a_route(needs_key=False, shadow=shadow_rules(allowlists=(allowlist,))))
    assert (await world.ask(head(token=None))).status == 200
    assert found(world) == [("route_ip", "ip_not_allowed", "")]


async def test_lists_of_key_and_tenant_in_shadow_mode_are_noted_each() -> None:
    """HP-23."""
    world = World()
    tenant = Tenant(
        tenant_id="ten_a",
        name="A",
        ip_allowlist=ELSEWHERE,
        ip_allowlist_enabled=True,
        ip_allowlist_mode="shadow",
    )
    await world.add_key(tenant=tenant, ip_allowlist=ELSEWHERE, ip_allowlist_mode="shadow")
    assert (await world.ask(head())).status == 200
    assert [kind for kind, _, _ in found(world)] == ["key_ip", "tenant_ip"]


async def test_an_address_on_the_list_is_no_finding() -> None:
    world = World()
    await world.add_key(ip_allowlist=HERE, ip_allowlist_mode="shadow")
    assert (await world.ask(head())).status == 200
    assert (found(world), world.shadowed) == ([], [])


async def test_scopes_in_shadow_mode_are_noted_when_one_is_missing() -> None:
    world = World(a_route(shadow=shadow_rules(scopes=("things:read", "things:write"))))
    await world.add_key()
    assert (await world.ask(head())).status == 200
    assert found(world) == [("scope", "insufficient_scope", "")]


async def test_scopes_that_are_held_are_no_finding() -> None:
    world = World(a_route(shadow=shadow_rules(scopes=("things:read",))))
    await world.add_key()
    await world.ask(head())
    assert found(world) == []


async def test_the_same_head_again_has_the_same_findings() -> None:
    """What was found out is remembered with the permit."""
    world = World(a_route(shadow=shadow_rules(scopes=("things:write",))))
    await world.add_key()
    again = head()
    for _ in range(2):
        await world.ask(again)
        assert found(world) == [("scope", "insufficient_scope", "")]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [(rate(2), Reason.RATE_LIMITED), (quota(2), Reason.QUOTA_EXCEEDED)],
)
async def test_a_plan_in_shadow_mode_counts_on_its_own_buckets_and_refuses_nothing(
    claim: Claim, reason: Reason
) -> None:
    world = World(shadow_plans=((trial(claim),),), claims=(rate(9),))
    await world.add_key()
    for _ in range(2):
        assert (await world.ask(head())).status == 200
        assert found(world) == []
    assert (await world.ask(head())).status == 200
    assert found(world) == [("limit", reason.value, trial(claim).policy)]
    assert world.outcome.policy == "pro/minute"


async def test_clients_are_told_nothing_of_a_plan_in_shadow_mode() -> None:
    told = []
    for plans in ((), ((trial(rate(1)),),)):
        world = World(shadow_plans=plans, claims=(rate(9),))
        await world.add_key()
        answers = [await world.ask(head()) for _ in range(3)]
        told.append([answer.fields for answer in answers])
    assert told[0] == told[1]


async def test_each_plan_is_tried_as_if_it_were_the_only_one() -> None:
    first, second = trial(rate(1)), trial(quota(2))
    world = World(shadow_plans=((first,), (second,)))
    await world.add_key()
    kinds = []
    for _ in range(3):
        await world.ask(head())
        kinds.append([policy for _, _, policy in found(world)])
    assert kinds == [[], ["trial/minute"], ["trial/minute", "trial/monthly"]]


@pytest.mark.parametrize("claims", [(), (rate(9), concurrency(9))])
async def test_what_a_plan_in_shadow_mode_holds_is_given_back_at_the_end(
    claims: tuple[Claim, ...],
) -> None:
    tried = trial(concurrency(1))
    world = World(shadow_plans=((tried,),), claims=claims)
    await world.add_key()
    world.upstream.script.append(ok())
    world.upstream.script.append(None)  # the second one is never answered
    assert (await world.ask(head())).status == 200
    assert world.limiter.look((tried,)).levels == (0,)

    slow = world.begin(FakeExchange(head()))
    assert world.limiter.look((tried,)).levels == (1,)
    await world.ask(head())
    assert found(world) == [("limit", "concurrency_limited", "trial/concurrency")]
    slow.leave()
    assert world.limiter.look((*claims, tried)).levels[len(claims) :] == (0,)


async def test_a_refused_request_is_not_counted_by_plans_in_shadow_mode() -> None:
    tried = trial(quota(5))
    world = World(shadow_plans=((tried,),), claims=(rate(1),))
    await world.add_key()
    assert [(await world.ask(head())).status for _ in range(2)] == [200, 429]
    assert world.limiter.look((tried,)).levels == (1,)
    assert world.outcome.shadow == ()


async def test_a_remote_limiter_is_waited_for() -> None:
    tried = trial(rate(1))
    world = World(shadow_plans=((tried,),))
    await world.add_key()
    remote = RemoteLimiter(MemoryLimiter(world.clock))
    world.use(remote)

    for expected in ([], [("limit", "rate_limited", "trial/minute")]):
        exchange = world.begin(FakeExchange(head()))
        assert not exchange.is_begun
        await remote.arrive()
        assert exchange.response.status == 200
        assert found(world) == expected


class DeadLimiter(MemoryLimiter):
    """Counts nothing."""

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        raise LimiterUnavailable("down")


async def test_a_limiter_that_is_down_is_no_finding_and_refuses_nothing() -> None:
    world = World(shadow_plans=((trial(rate(1)),),))
    await world.add_key()
    world.use(DeadLimiter(world.clock))
    assert (await world.ask(head())).status == 200
    assert found(world) == []
