"""What a head remembers of a decision is nothing but the decision: a fresh head would be told the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey, KeyState
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route, RouteTable
from gateway.domain.tenants import Tenant
from gateway.pipeline.authorize import authorize
from gateway.pipeline.values import Permit, Principal
from tests.pipeline.fakes import ADDRESS, FakeExchange
from tests.pipeline.samples import THINGS, TOKEN, bound, head, matched, quota, rate
from tests.pipeline.world import World

ELSEWHERE = "198.51.100.9"
NOTHING_BARRED: frozenset[tuple[str, str]] = frozenset()

KEY_CHANGES: list[dict[str, Any]] = [
    {},
    {"scopes": ()},
    {"state": KeyState.SUSPENDED},
    {"state": KeyState.REVOKED},
    {"ip_allowlist": ("192.0.2.0/24",)},
    {"environment": "test"},
    {"expires_at": 1_700_000_050.0},
]
TENANTS = [
    Tenant(tenant_id="ten_a", name="A"),
    Tenant(tenant_id="ten_a", name="A", is_suspended=True),
    Tenant(tenant_id="ten_a", name="A", ip_allowlist=(ELSEWHERE,), ip_allowlist_enabled=True),
]
TABLES = [
    RouteTable([THINGS]),
    RouteTable([replace(THINGS, scopes=("things:admin",))]),
    RouteTable([replace(THINGS, allowlist=Allowlist(["192.0.2.0/24"]))]),
    RouteTable([replace(THINGS, environments=frozenset({"test"}))]),
]
BARRED = [NOTHING_BARRED, frozenset({("live", "things")}), frozenset({("test", "things")})]

EVENTS = st.one_of(
    st.tuples(st.just("key"), st.sampled_from(KEY_CHANGES), st.sampled_from(TENANTS)),
    st.tuples(st.just("table"), st.sampled_from(TABLES), st.none()),
    st.tuples(st.just("barred"), st.sampled_from(BARRED), st.none()),
    st.tuples(st.just("time"), st.sampled_from([1.0, 60.0]), st.none()),
    st.tuples(st.just("from"), st.sampled_from([ADDRESS, ELSEWHERE]), st.none()),
)


@settings(max_examples=100, deadline=None)
@given(events=st.lists(EVENTS, min_size=1, max_size=8))
def test_a_head_that_comes_again_is_decided_as_a_fresh_one_would_be(
    events: list[tuple[str, Any, Any]],
) -> None:
    asyncio.run(_decided_alike(events))


async def _decided_alike(events: list[tuple[str, Any, Any]]) -> None:
    world = World(failures=1_000_000)
    world.change(voices=dict.fromkeys(["", "things"], world.generation.voices[""]))
    await world.add_key()
    kept, address = head(), ADDRESS
    for event, value, tenant in events:
        if event == "key":
            world.keys.invalidate(("key_a", "ten_a"))
            await world.add_key(tenant=tenant, **value)
        elif event == "time":
            world.clock.advance(value)
        elif event == "from":
            address = value
        else:
            world.change(**{event: value})
        for _ in range(2):
            known = await world.ask(FakeExchange(kept, address=address))
            fresh = await world.ask(FakeExchange(head(), address=address))
            assert (known.line, known.body) == (fresh.line, fresh.body)


def decided(principal: Principal, address: str = ADDRESS) -> Permit | Denial:
    return authorize(principal, address, NOTHING_BARRED)


def test_a_principal_that_comes_again_from_the_same_address_has_the_same_permit() -> None:
    principal = Principal(matched(head()), bound())
    assert decided(principal) is decided(principal)


def test_a_refusal_is_remembered_like_a_permit() -> None:
    principal = Principal(matched(head()), bound(scopes=()))
    assert decided(principal) is decided(principal)
    assert isinstance(decided(principal), Denial)


def test_a_permit_is_good_for_its_address_only() -> None:
    principal = Principal(matched(head()), bound(allowlists=(Allowlist([ADDRESS]),)))
    assert isinstance(decided(principal), Permit)
    denial = decided(principal, ELSEWHERE)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.IP_NOT_ALLOWED
    assert isinstance(decided(principal), Permit)


def test_a_permit_is_good_for_its_key_only() -> None:
    match = matched(head())

    def of(key: BoundKey) -> Permit | Denial:
        return decided(Principal(match, key))

    assert isinstance(of(bound()), Permit)
    assert isinstance(of(bound(scopes=())), Denial)


async def test_the_same_head_and_key_make_the_same_principal_until_the_key_changes() -> None:
    world = World()
    await world.add_key()
    match = matched(head())

    def principal() -> object:
        return world.authenticator.authenticate(match, ADDRESS)

    first = principal()
    assert isinstance(first, Principal)
    assert principal() is first
    world.keys.invalidate(("key_a",))
    await world.add_key()
    second = principal()
    assert isinstance(second, Principal)
    assert second is not first


def test_a_permit_knows_all_limits_of_the_key_and_of_the_route() -> None:
    route: Route = replace(THINGS, claims=(rate(5, "route:things"),))
    key = bound(claims=[rate(2), quota(3)])
    permit = decided(Principal(matched(head(), route), key))
    assert isinstance(permit, Permit)
    assert permit.claims == (rate(2), quota(3), rate(5, "route:things"))
    anonymous = Permit(Principal(matched(head(), route), None))
    assert anonymous.claims == (rate(5, "route:things"),)


async def test_a_key_that_was_revoked_is_refused_before_any_upstream_is_asked() -> None:
    world = World()
    await world.add_key(TOKEN)
    asked = head()
    assert (await world.ask(asked)).status == 200
    world.keys.invalidate(("key_a",))
    await world.add_key(TOKEN, state=KeyState.REVOKED)
    connections = len(world.upstream.connections)
    assert (await world.ask(asked)).status == 401
    assert len(world.upstream.connections) == connections
