from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey, KeyKind, KeyState
from gateway.domain.networks import Allowlist
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.tenant_selector import TenantSelector
from gateway.domain.tenants import Tenant
from gateway.pipeline.represent import ROUNDS_MAX, Representative
from gateway.pipeline.values import Principal
from gateway.ports import StoreUnavailable
from gateway.stores.acting import MISS, ActingKeys, TenantLookups
from tests.pipeline.explained import bearing, explained, facts
from tests.pipeline.fakes import NETWORK, FakeExchange
from tests.pipeline.samples import ME, OPEN, THINGS, head, matched, rate
from tests.pipeline.world import World, turn

BY_ANYTHING = TenantSelector(query="companyId", header="X-Company-Id", path="company_id")
COMPANY = Route(name="company", pattern="/v1/companies/{company_id}", upstream="up")
ELSEWHERE = ("198.51.100.0/24",)

TENANTS = (
    Tenant(tenant_id="ten_c", name="C", parent_id="ten_a"),
    Tenant(tenant_id="ten_d", name="D", parent_id="ten_a", is_suspended=True),
    Tenant(
        tenant_id="ten_e",
        name="E",
        parent_id="ten_a",
        ip_allowlist=ELSEWHERE,
        ip_allowlist_enabled=True,
    ),
    Tenant(tenant_id="ten_l", name="L"),
    Tenant(tenant_id="ten_x", name="X"),
    Tenant(tenant_id="ten_y", name="Y", is_suspended=True),
)


def act(key: BoundKey, tenant: Tenant) -> BoundKey:
    lists = (key.owner.enforced_allowlist, tenant.enforced_allowlist)
    return BoundKey(
        record=key.record,
        tenant=tenant,
        owner=key.owner,
        scopes=key.scopes,
        allowlists=tuple(Allowlist(entries) for entries in lists if entries),
        claims=(rate(100, f"tenant:{tenant.tenant_id}"),),
        identity=b"X-Gateway-Key-Id: key_a\r\nX-Gateway-Tenant: %b\r\n" % tenant.tenant_id.encode(),
    )


class Partners(World):
    """A gateway that reads tenants from requests, and a partner's key with customers."""

    lookups: TenantLookups

    async def open(self, *, checks_regular: bool = True, **changes: Any) -> Partners:
        for tenant in TENANTS:
            await self.store.save_tenant(tenant)
        await self.add_key(
            **({"kind": KeyKind.MULTI_TENANT, "tenants": ("ten_l", "ten_gone")} | changes)
        )
        self.lookups = TenantLookups(
            self.store, self.clock, self.keys.lookups.settling, negative_ttl_seconds=5
        )
        representative = Representative(
            selector=BY_ANYTHING,
            acting=ActingKeys(self.lookups, act),
            authenticator=self.authenticator,
            checks_regular=checks_regular,
        )
        self.change(representative=representative)
        return self

    async def reason(self, asked: RequestHead) -> Reason | None:
        await self.tell(FakeExchange(asked))
        return self.outcome.reason

    def change_tenant(self, tenant_id: str) -> None:
        """Tell everybody that a tenant was changed."""
        self.keys.invalidate([tenant_id])
        self.lookups.forget([tenant_id])


def things(tenant_id: str = "", *fields: tuple[str, str]) -> RequestHead:
    return head(f"/v1/things?companyId={tenant_id}" if tenant_id else "/v1/things", *fields)


# ---- multi-tenant keys


@pytest.mark.parametrize("tenant_id", ["ten_a", "ten_c", "ten_l"])
async def test_iv_14_a_multi_tenant_key_acts_for_itself_its_children_and_those_listed(
    tenant_id: str,
) -> None:
    world = await Partners().open()
    assert await world.reason(things(tenant_id)) is None
    assert world.outcome.status == 200
    assert world.outcome.key is not None
    assert world.outcome.key.tenant.tenant_id == tenant_id
    assert world.outcome.key.owner.tenant_id == "ten_a"


@pytest.mark.parametrize("tenant_id", ["ten_x", "ten_y", "ten_none", "ten_gone", "no/id", "é"])
async def test_iv_35_x_21_whoever_it_may_not_act_for_looks_as_if_there_were_none(
    tenant_id: str,
) -> None:
    world = await Partners().open()
    answers = [await world.ask(FakeExchange(things(tenant_id))) for _ in range(2)]
    reference = await world.ask(FakeExchange(things("ten_x")))
    assert {(answer.status, answer.body) for answer in answers} == {
        (403, reference.body),
    }
    assert world.outcome.reason is Reason.CROSS_TENANT
    assert world.outcome.key is not None
    assert world.outcome.key.tenant.tenant_id == "ten_a"  # who tried is told, not who was tried
    assert not world.upstream.connections


@pytest.mark.parametrize("target", ["/v1/things", "/v1/things?companyId=", "/v1/things?page=2"])
async def test_iv_14_a_multi_tenant_key_has_to_name_a_tenant(target: str) -> None:
    world = await Partners().open()
    answer = await world.ask(FakeExchange(head(target)))
    assert (answer.status, world.outcome.reason) == (400, Reason.TENANT_REQUIRED)
    assert not world.upstream.connections


@pytest.mark.parametrize(
    "asked",
    [
        head("/v1/things?companyId=ten_c&companyId=ten_c"),
        head("/v1/things?companyId=ten_c&companyid=ten_l"),
        things("ten_c", ("X-Company-Id", "ten_l")),
    ],
)
@pytest.mark.parametrize("kind", KeyKind)
async def test_iv_14_a_tenant_that_is_named_in_two_ways_is_refused(
    asked: RequestHead, kind: KeyKind
) -> None:
    world = await Partners().open(kind=kind)
    assert await world.reason(asked) is Reason.TENANT_REQUIRED


async def test_iv_14_a_field_and_a_part_of_the_path_name_a_tenant_as_well() -> None:
    world = await Partners(THINGS, COMPANY).open()
    assert await world.reason(things("", ("X-Company-Id", "ten_c"))) is None
    assert await world.reason(head("/v1/companies/ten_c")) is None
    assert await world.reason(head("/v1/companies/ten_x")) is Reason.CROSS_TENANT
    assert await world.reason(head("/v1/companies/ten_c?companyId=ten_l")) is Reason.TENANT_REQUIRED


async def test_iv_14_a_suspended_tenant_is_nobody_to_act_for() -> None:
    world = await Partners().open()
    for _ in range(2):
        assert await world.reason(things("ten_d")) is Reason.TENANT_SUSPENDED
    assert world.outcome.status == 403


async def test_iv_14_the_allowlist_of_the_acting_tenant_counts_besides_the_others() -> None:
    world = await Partners().open()
    assert await world.reason(things("ten_e")) is Reason.IP_NOT_ALLOWED
    owner = Tenant(tenant_id="ten_a", name="A", ip_allowlist=ELSEWHERE, ip_allowlist_enabled=True)
    world = await Partners().open(tenant=owner)
    assert await world.reason(things("ten_c")) is Reason.IP_NOT_ALLOWED


async def test_iv_14_the_upstream_is_told_the_acting_tenant_and_sees_the_selector_as_it_came() -> (
    None
):
    world = await Partners().open()
    await world.tell(things("ten%5Fc", ("X-Company-Id", "ten_c")))
    (connection,) = world.upstream.connections
    assert connection.fields("X-Gateway-Tenant") == [b"ten_c"]
    assert connection.fields("X-Company-Id") == [b"ten_c"]
    assert connection.head.startswith(b"GET /v1/things?companyId=ten%5Fc HTTP/1.1\r\n")


async def test_iv_14_limits_are_drawn_from_the_acting_tenants_buckets() -> None:
    world = await Partners().open()
    await world.tell(things("ten_c"))
    assert world.outcome.grant is not None
    (claim,) = world.outcome.grant.claims
    assert claim.bucket == "tenant:ten_c:pro:minute"


async def test_introspection_needs_no_tenant_and_checks_one_that_is_named() -> None:
    world = await Partners().open()
    assert await world.reason(head("/me")) is None
    assert await world.reason(head("/me?companyId=ten_c")) is None
    assert world.outcome.key is not None
    assert world.outcome.key.tenant.tenant_id == "ten_c"
    assert await world.reason(head("/me?companyId=ten_x")) is Reason.CROSS_TENANT


async def test_public_routes_read_no_tenant() -> None:
    world = await Partners().open()
    assert await world.reason(head("/open?companyId=ten_x", token=None)) is None


# ---- regular keys


async def test_iv_13_a_regular_key_may_name_its_own_tenant_or_none() -> None:
    world = await Partners().open(kind=KeyKind.REGULAR, tenants=())
    for asked in (things(), things("ten_a"), head("/v1/things?companyId=")):
        assert await world.reason(asked) is None


async def test_iv_13_iv_35_a_regular_key_that_names_another_tenant_is_refused() -> None:
    world = await Partners().open(kind=KeyKind.REGULAR, tenants=("ten_l",))
    for tenant_id in ("ten_c", "ten_l", "ten_none"):
        assert await world.reason(things(tenant_id)) is Reason.CROSS_TENANT


async def test_iv_13_what_a_regular_key_names_can_be_ignored() -> None:
    world = await Partners().open(kind=KeyKind.REGULAR, tenants=(), checks_regular=False)
    for asked in (things("ten_x"), head("/v1/things?companyId=ten_c&companyId=ten_x")):
        assert await world.reason(asked) is None
        assert world.outcome.key is not None
        assert world.outcome.key.tenant.tenant_id == "ten_a"


async def test_without_a_selector_every_key_acts_for_its_own_tenant() -> None:
    world = await Partners().open()
    world.change(representative=None)
    assert await world.reason(things("ten_x")) is None
    assert world.outcome.key is not None
    assert world.outcome.key.tenant.tenant_id == "ten_a"


# ---- what is remembered


async def test_the_same_request_is_represented_without_reading_it_again() -> None:
    world = await Partners().open()
    asked = things("ten_c")
    representative = world.generation.representative
    assert representative is not None
    await world.tell(asked)
    first = world.outcome.key
    assert first is not None
    principal = world.authenticator.authenticate(_match(asked, world), NETWORK)
    assert isinstance(principal, Principal)
    one = representative.represent(principal, NETWORK)
    assert isinstance(one, Principal)
    assert one.key is first
    assert representative.represent(principal, NETWORK) is one


async def test_what_was_remembered_for_another_configuration_is_read_again() -> None:
    world = await Partners().open()
    asked = things("ten_c")
    await world.tell(asked)
    other = Representative(
        selector=TenantSelector(query="tenant"),
        acting=ActingKeys(world.lookups, act),
        authenticator=world.authenticator,
        checks_regular=True,
    )
    world.change(representative=other)
    assert await world.reason(asked) is Reason.TENANT_REQUIRED


async def test_iv_14_suspending_an_acting_tenant_takes_effect_with_the_next_request() -> None:
    world = await Partners().open()
    asked = things("ten_c")
    assert await world.reason(asked) is None
    await world.store.save_tenant(replace(TENANTS[0], is_suspended=True))
    world.change_tenant("ten_c")
    assert await world.reason(asked) is Reason.TENANT_SUSPENDED
    await world.store.save_tenant(TENANTS[0])
    world.change_tenant("ten_c")
    assert await world.reason(asked) is None


async def test_iv_14_a_changed_allowlist_of_the_acting_tenant_counts_from_the_next_request_on() -> (
    None
):
    world = await Partners().open()
    asked = things("ten_c")
    assert await world.reason(asked) is None
    listed = replace(TENANTS[0], ip_allowlist=ELSEWHERE, ip_allowlist_enabled=True)
    await world.store.save_tenant(listed)
    world.change_tenant("ten_c")
    assert await world.reason(asked) is Reason.IP_NOT_ALLOWED


async def test_iv_14_a_tenant_taken_off_the_list_is_refused_with_the_next_request() -> None:
    world = await Partners().open()
    asked = things("ten_l")
    assert await world.reason(asked) is None
    record = await world.store.get_key("key_a")
    assert record is not None
    await world.store.save_key(replace(record, tenants=()))
    world.keys.invalidate(["key_a"])
    assert await world.reason(asked) is Reason.CROSS_TENANT


# ---- while the store is asked


async def test_a_store_that_is_down_is_no_reason_to_let_anybody_act() -> None:
    world = await Partners().open()
    broken = BrokenActing()
    world.change(representative=_by(world, broken))
    answer = await world.ask(FakeExchange(things("ten_c")))
    assert (answer.status, world.outcome.reason) == (503, Reason.STORE_UNAVAILABLE)
    assert answer["Retry-After"] == b"1"


async def test_a_key_revoked_while_its_tenant_is_looked_up_is_refused() -> None:
    world = await Partners().open()
    gate = Gate(world)
    world.change(representative=_by(world, gate))
    exchange = world.begin(FakeExchange(things("ten_c")))
    await gate.asked.wait()
    progress = exchange.progress
    assert progress is not None
    assert progress.key is not None  # it can be found, and cut, already
    record = await world.store.get_key("key_a")
    assert record is not None
    await world.store.save_key(replace(record, state=KeyState.REVOKED))
    world.keys.invalidate(["key_a"])
    gate.open()
    await turn()
    assert world.outcome.reason is Reason.KEY_REVOKED
    assert not world.upstream.connections


async def test_a_tenant_taken_off_the_list_while_it_is_looked_up_is_refused() -> None:
    world = await Partners().open()
    gate = Gate(world)
    world.change(representative=_by(world, gate))
    world.begin(FakeExchange(things("ten_l")))
    await gate.asked.wait()
    record = await world.store.get_key("key_a")
    assert record is not None
    await world.store.save_key(replace(record, tenants=()))
    world.keys.invalidate(["key_a"])
    gate.open()
    await turn()
    assert world.outcome.reason is Reason.CROSS_TENANT


async def test_a_key_that_moved_to_the_tenant_that_it_named_acts_for_itself() -> None:
    world = await Partners().open()
    gate = Gate(world)
    world.change(representative=_by(world, gate))
    world.begin(FakeExchange(things("ten_c")))
    await gate.asked.wait()
    record = await world.store.get_key("key_a")
    assert record is not None
    await world.store.save_key(replace(record, tenant_id="ten_c"))
    world.keys.invalidate(["key_a"])
    gate.open()
    await turn()
    assert world.outcome.reason is None
    assert world.outcome.key is not None
    assert world.outcome.key.tenant.tenant_id == world.outcome.key.owner.tenant_id == "ten_c"


async def test_a_key_that_is_replaced_during_every_look_up_serves_nobody() -> None:
    world = await Partners().open()
    restless = Restless(world)
    world.change(representative=_by(world, restless))
    assert await world.reason(things("ten_c")) is Reason.STORE_UNAVAILABLE
    assert restless.times == ROUNDS_MAX


def _match(asked: RequestHead, world: World) -> Any:
    match = world.generation.table.match(asked)
    assert not isinstance(match, Denial)
    return asked.memo_match[1]


def _by(world: Partners, acting: Any) -> Representative:
    return Representative(
        selector=BY_ANYTHING,
        acting=acting,
        authenticator=world.authenticator,
        checks_regular=True,
    )


class BrokenActing:
    """A look-up that fails."""

    def peek(self, key: BoundKey, tenant_id: str) -> object:
        return MISS

    async def find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        raise StoreUnavailable("/var/lib/keys.db: disk I/O error")


class Gate:
    """The real thing, whose answers wait."""

    def __init__(self, world: Partners) -> None:
        self._inner = ActingKeys(world.lookups, act)
        self._gate = asyncio.Event()
        self.asked = asyncio.Event()

    def open(self) -> None:
        self._gate.set()

    def peek(self, key: BoundKey, tenant_id: str) -> object:
        return self._inner.peek(key, tenant_id)

    async def find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        found = await self._inner.find(key, tenant_id)
        self.asked.set()
        await self._gate.wait()
        return found


class Restless:
    """The real thing, during which the key is replaced every time."""

    def __init__(self, world: Partners) -> None:
        self._world = world
        self._inner = ActingKeys(world.lookups, act)
        self.times = 0

    def peek(self, key: BoundKey, tenant_id: str) -> object:
        return MISS

    async def find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        self.times += 1
        found = await self._inner.find(key, tenant_id)
        self._world.keys.invalidate(["key_a"])
        return found


# ---- the order of the steps, against a model that knows no memory, no memo and no cache


@dataclass(frozen=True)
class Case:
    """One request: `named` in the query and in the field."""

    query: tuple[str, ...]
    field: str
    target: str

    @property
    def head(self) -> RequestHead:
        query = "&".join(f"companyId={each}" for each in self.query)
        fields = [("X-Company-Id", self.field)] if self.field else []
        return head(f"{self.target}?{query}" if query else self.target, *fields)


def _expected(
    case: Case, kind: KeyKind, checks: bool, state: KeyState, scopes: tuple[str, ...]
) -> Iterator[Any]:
    """Yield the reasons in the order in which they are found; the first one counts."""
    tenants = {each.tenant_id: each for each in TENANTS} | {
        "ten_a": Tenant(tenant_id="ten_a", name="A")
    }
    if state is not KeyState.ACTIVE:
        yield Reason.KEY_SUSPENDED
    acting = "ten_a"
    names = {each for each in (*case.query, case.field) if each}
    is_multi = kind is KeyKind.MULTI_TENANT
    if is_multi or checks:
        if len(case.query) > 1 or len(names) > 1:
            yield Reason.TENANT_REQUIRED
        elif names:
            (acting,) = names
        elif is_multi and case.target != "/me":
            yield Reason.TENANT_REQUIRED
        if acting not in ("ten_a", "ten_c", "ten_d", "ten_e", "ten_l") or (
            not is_multi and acting != "ten_a"
        ):
            yield Reason.CROSS_TENANT
    if acting in tenants and tenants[acting].is_suspended:
        yield Reason.TENANT_SUSPENDED
    if acting == "ten_e":
        yield Reason.IP_NOT_ALLOWED
    if case.target == "/v1/things" and "things:read" not in scopes:
        yield Reason.INSUFFICIENT_SCOPE
    yield acting


_IDS = st.sampled_from(["", "ten_a", "ten_c", "ten_d", "ten_e", "ten_l", "ten_x", "ten_none"])
_CASES = st.builds(
    Case,
    query=st.lists(_IDS.filter(bool), max_size=2).map(tuple),
    field=_IDS,
    target=st.sampled_from(["/v1/things", "/v1/things", "/me"]),
)


@settings(max_examples=200)
@given(
    st.lists(_CASES, min_size=1, max_size=8),
    st.sampled_from(KeyKind),
    st.booleans(),
    st.sampled_from([KeyState.ACTIVE, KeyState.ACTIVE, KeyState.SUSPENDED]),
    st.sampled_from([("things:read",), ()]),
)
def test_iv_13_iv_14_iv_35_a_request_is_judged_as_a_model_without_memory_judges_it(
    cases: list[Case],
    kind: KeyKind,
    checks: bool,
    state: KeyState,
    scopes: tuple[str, ...],
) -> None:
    async def play() -> None:
        world = await Partners(THINGS, OPEN, ME, failures=10**6).open(
            kind=kind, checks_regular=checks, state=state, scopes=scopes
        )
        heads: dict[Case, RequestHead] = {}
        for case in cases:
            asked = heads.setdefault(case, case.head)
            expected = next(_expected(case, kind, checks, state, scopes))
            await world.tell(FakeExchange(asked))
            if isinstance(expected, Reason):
                assert world.outcome.reason is expected, case
            else:
                assert world.outcome.reason is None, case
                assert world.outcome.key is not None
                assert world.outcome.key.tenant.tenant_id == expected

    asyncio.run(play())


async def test_a_principal_without_a_key_is_left_alone() -> None:
    world = await Partners().open()
    representative = world.generation.representative
    assert representative is not None
    principal = Principal(matched(head("/open", token=None), OPEN), None)
    assert representative.represent(principal, NETWORK) is principal


@pytest.mark.parametrize("tenant_id", ["", "ten_c", "ten_l", "ten_x", "ten_a"])
async def test_d5_what_is_explained_of_a_partners_key_is_what_happens(tenant_id: str) -> None:
    world = await Partners().open()
    record = await world.store.get_key("key_a")
    target = f"/v1/things?companyId={tenant_id}" if tenant_id else "/v1/things"
    acting = ActingKeys(world.lookups, act)
    for _ in range(2):  # the key is looked up at first; then it is in memory
        told = await explained(world, bearing(record, target), record, acting=acting)
        assert told.outcome.reason is await world.reason(things(tenant_id))


@pytest.mark.parametrize(("tenant_id", "list_"), [("ten_c", []), ("ten_e", [False])])
async def test_d5_what_is_explained_of_a_partners_key_are_the_rules_of_whom_it_acts_for(
    tenant_id: str, list_: list[bool]
) -> None:
    world = await Partners().open()
    record = await world.store.get_key("key_a")
    acting = ActingKeys(world.lookups, act)
    target = f"/v1/things?companyId={tenant_id}"
    told = await explained(world, bearing(record, target), record, acting=acting)
    assert facts(told, "tenant")["tenant_id"] == tenant_id
    assert facts(told, "tenant")["owner"] == "ten_a"
    rules = facts(told, "addresses")["rules"]
    assert [each["is_allowed"] for each in rules] == list_
    if not list_:
        buckets = facts(told, "limits")["buckets"]
        assert [(each["remaining_before"], each["remaining_after"]) for each in buckets] == [
            (100, 99)
        ]
