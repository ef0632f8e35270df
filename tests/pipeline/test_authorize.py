from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.pipeline.authorize import authorize
from gateway.pipeline.values import Permit, Principal
from tests.pipeline.fakes import ADDRESS
from tests.pipeline.samples import OPEN, THINGS, bound, head, matched

HERE = Allowlist(["192.0.2.0/24"])
ELSEWHERE = Allowlist(["198.51.100.0/24"])
NOTHING_BARRED: frozenset[tuple[str, str]] = frozenset()


def asked(
    route: Route = THINGS,
    key: BoundKey | None = None,
    *,
    address: str = ADDRESS,
    barred: frozenset[tuple[str, str]] = NOTHING_BARRED,
) -> Permit | Denial:
    principal = Principal(matched(head(route.pattern), route), key)
    return authorize(principal, address, barred)


def refused(
    route: Route = THINGS,
    key: BoundKey | None = None,
    *,
    address: str = ADDRESS,
    barred: frozenset[tuple[str, str]] = NOTHING_BARRED,
) -> Denial:
    denial = asked(route, key, address=address, barred=barred)
    assert isinstance(denial, Denial)
    return denial


def test_a_key_with_the_scope_is_permitted() -> None:
    principal = Principal(matched(head()), bound())
    permit = authorize(principal, ADDRESS, NOTHING_BARRED)
    assert isinstance(permit, Permit)
    assert permit.principal is principal


def test_a_key_without_the_scope_is_told_which_one_it_needs() -> None:
    denial = refused(key=bound(scopes=()))
    assert denial.reason is Reason.INSUFFICIENT_SCOPE
    assert denial.required_scopes == ("things:read",)


def test_a_route_without_scopes_takes_any_valid_key() -> None:
    assert isinstance(asked(replace(THINGS, scopes=()), bound(scopes=())), Permit)


@given(
    required=st.sets(st.sampled_from("abcd"), max_size=4),
    held=st.sets(st.sampled_from("abcd"), max_size=4),
)
def test_every_scope_of_the_route_must_be_held(required: set[str], held: set[str]) -> None:
    result = asked(replace(THINGS, scopes=tuple(sorted(required))), bound(scopes=held))
    assert isinstance(result, Permit) == (required <= held)


def test_a_similar_scope_is_another_scope() -> None:
    for near in ("things:write", "read:things", "things", "THINGS:READ", "things:read:own", "*"):
        assert refused(key=bound(scopes=(near,))).reason is Reason.INSUFFICIENT_SCOPE


# ---- environments


@pytest.mark.parametrize(
    ("environments", "may"), [((), True), (("live",), True), (("test",), False)]
)
def test_a_route_may_be_for_keys_of_some_environments(
    environments: tuple[str, ...], may: bool
) -> None:
    route = replace(THINGS, environments=frozenset(environments))
    result = asked(route, bound())
    assert isinstance(result, Permit) is may
    if isinstance(result, Denial):
        assert result.reason is Reason.ENV_MISMATCH


def test_an_environment_may_be_barred_from_a_route() -> None:
    barred = frozenset({("live", "things")})
    assert refused(key=bound(), barred=barred).reason is Reason.ENV_MISMATCH


def test_what_is_barred_for_one_environment_or_route_is_not_barred_for_another() -> None:
    barred = frozenset({("test", "things"), ("live", "other")})
    assert isinstance(asked(key=bound(), barred=barred), Permit)


# ---- addresses


def test_an_address_outside_the_list_of_the_route_is_refused() -> None:
    route = replace(THINGS, allowlist=ELSEWHERE)
    denial = refused(route, bound())
    assert denial.reason is Reason.IP_NOT_ALLOWED
    assert denial.client_address == ADDRESS


@pytest.mark.parametrize(
    "lists", [[ELSEWHERE], [HERE, ELSEWHERE], [ELSEWHERE, HERE], [HERE, HERE, ELSEWHERE]]
)
def test_an_address_outside_any_list_of_key_or_tenant_is_refused(lists: list[Allowlist]) -> None:
    denial = refused(key=bound(allowlists=lists))
    assert denial.reason is Reason.IP_NOT_ALLOWED
    assert denial.client_address == ADDRESS


def test_an_address_on_every_list_is_permitted() -> None:
    route = replace(THINGS, allowlist=HERE)
    assert isinstance(asked(route, bound(allowlists=[HERE, HERE])), Permit)


@given(
    on_route=st.booleans() | st.none(),
    on_key=st.booleans() | st.none(),
    on_tenant=st.booleans() | st.none(),
)
def test_the_lists_of_route_key_and_tenant_intersect(
    on_route: bool | None, on_key: bool | None, on_tenant: bool | None
) -> None:
    of = {True: HERE, False: ELSEWHERE}
    route = replace(THINGS, allowlist=None if on_route is None else of[on_route])
    lists = [of[each] for each in (on_key, on_tenant) if each is not None]
    result = asked(route, bound(allowlists=lists))
    assert isinstance(result, Permit) == (False not in (on_route, on_key, on_tenant))


def test_an_address_that_is_unknown_is_on_no_list() -> None:
    assert refused(key=bound(allowlists=[HERE]), address="").reason is Reason.IP_NOT_ALLOWED
    assert refused(key=bound(allowlists=[HERE]), address="unknown").reason is Reason.IP_NOT_ALLOWED
    assert isinstance(asked(key=bound(), address=""), Permit)


def test_a_public_route_may_have_a_list_and_tells_strangers_nothing_about_it() -> None:
    denial = refused(replace(OPEN, allowlist=ELSEWHERE))
    assert denial.reason is Reason.IP_NOT_ALLOWED
    assert denial.client_address == ""
    assert isinstance(asked(replace(OPEN, allowlist=HERE)), Permit)
    assert isinstance(asked(OPEN), Permit)


# ---- the order of the questions


def test_the_environment_is_judged_before_the_scope() -> None:
    route = replace(THINGS, environments=frozenset({"test"}))
    assert refused(route, bound(scopes=())).reason is Reason.ENV_MISMATCH


def test_the_address_is_judged_before_the_scope() -> None:
    key = bound(scopes=(), allowlists=[ELSEWHERE])
    assert refused(key=key).reason is Reason.IP_NOT_ALLOWED


def test_the_environment_is_judged_before_the_addresses_of_the_key() -> None:
    key = bound(allowlists=[ELSEWHERE])
    route = replace(THINGS, environments=frozenset({"test"}))
    assert refused(route, key).reason is Reason.ENV_MISMATCH


def test_the_environment_is_judged_before_the_addresses_of_the_route() -> None:
    route = replace(THINGS, environments=frozenset({"test"}), allowlist=ELSEWHERE)
    assert refused(route, bound()).reason is Reason.ENV_MISMATCH


def test_no_permit_for_a_key_comes_without_its_scopes_even_on_a_listed_address() -> None:
    route = replace(THINGS, allowlist=HERE)
    assert refused(route, bound(scopes=(), allowlists=[HERE])).reason is Reason.INSUFFICIENT_SCOPE
