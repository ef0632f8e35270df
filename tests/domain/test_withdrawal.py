from __future__ import annotations

import pickle
from dataclasses import replace

from gateway.domain.denial import Reason
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.routes import Route
from gateway.domain.streams import OpenStream, StreamKind
from gateway.domain.tenants import deleted
from gateway.domain.withdrawal import (
    AnyOf,
    Withdrawals,
    Withdrawn,
    together,
    withdrawn_of_key,
    withdrawn_of_tenant,
)
from tests.key_samples import a_key, a_tenant, bound
from tests.open_streams import OneStream

BOTH = frozenset({"jobs:read", "jobs:write"})
NOW = 1_800_000_000.0


def a_stream(key: KeyRecord | None = None, scopes: tuple[str, ...] = ("jobs:read",)) -> OneStream:
    stream = OneStream(1, StreamKind.SSE)
    if key is not None:
        stream.key = bound(key, a_tenant(key.tenant_id))
    stream.route = Route(name="jobs", pattern="/jobs", scopes=scopes)
    return stream


def of_key(record: KeyRecord, scopes: frozenset[str] = BOTH) -> Withdrawn:
    return withdrawn_of_key(record, scopes, NOW)


def test_a_key_that_is_not_in_use_ends_all_that_it_has_and_nothing_else() -> None:
    for changes, reason in (
        ({"state": KeyState.REVOKED}, Reason.KEY_REVOKED),
        ({"state": KeyState.SUSPENDED}, Reason.KEY_SUSPENDED),
        ({"expires_at": NOW}, Reason.KEY_EXPIRED),
        ({"retires_at": NOW}, Reason.KEY_REVOKED),
    ):
        condemn = of_key(a_key(**changes))
        assert condemn(a_stream(a_key())) is reason
        assert condemn(a_stream(a_key("key_b"))) is None
        assert condemn(a_stream()) is None


def test_only_what_needs_a_scope_that_is_gone_ends() -> None:
    condemn = of_key(a_key(), frozenset({"jobs:read"}))
    assert condemn(a_stream(a_key())) is None
    assert condemn(a_stream(a_key(), ("jobs:write",))) is Reason.INSUFFICIENT_SCOPE
    nowhere = a_stream(a_key())
    nowhere.route = None
    assert condemn(nowhere) is None


def test_only_what_comes_from_an_address_outside_ends() -> None:
    inside, outside = ("192.0.2.0/24",), ("203.0.113.0/24",)
    assert of_key(a_key(ip_allowlist=inside))(a_stream(a_key())) is None
    assert of_key(a_key(ip_allowlist=outside))(a_stream(a_key())) is Reason.IP_NOT_ALLOWED
    shadow = a_key(ip_allowlist=outside, ip_allowlist_mode="shadow")
    assert of_key(shadow)(a_stream(a_key())) is None


def test_a_tenant_takes_from_all_of_its_keys_and_from_those_that_act_for_it() -> None:
    suspended = withdrawn_of_tenant(a_tenant(is_suspended=True))
    assert suspended(a_stream(a_key())) is Reason.TENANT_SUSPENDED
    assert suspended(a_stream(a_key(tenant_id="ten_b"))) is None
    acting = a_stream(a_key(tenant_id="ten_b"))
    assert acting.key is not None
    acting.key = bound(acting.key.record, a_tenant())
    assert suspended(acting) is Reason.TENANT_SUSPENDED


def test_d2_a_deleted_tenant_ends_what_its_keys_do_and_what_is_done_for_it() -> None:
    gone = withdrawn_of_tenant(deleted(a_tenant(), 1.0, "left"))
    assert gone(a_stream(a_key())) is Reason.KEY_REVOKED
    assert gone(a_stream(a_key(tenant_id="ten_b"))) is None


def test_a_tenants_list_counts_while_it_is_enabled_and_enforced() -> None:
    outside = a_tenant(ip_allowlist=("203.0.113.0/24",), ip_allowlist_enabled=True)
    for tenant, reason in (
        (outside, Reason.IP_NOT_ALLOWED),
        (replace(outside, ip_allowlist_enabled=False), None),
        (replace(outside, ip_allowlist_mode="shadow"), None),
    ):
        assert withdrawn_of_tenant(tenant)(a_stream(a_key())) is reason


def test_what_many_changes_take_is_found_by_key_and_by_tenant() -> None:
    parts = [of_key(a_key(f"key_{n}", state=KeyState.REVOKED)) for n in range(3)]
    parts.append(withdrawn_of_tenant(a_tenant("ten_b", is_suspended=True)))
    condemn = Withdrawals(tuple(parts))
    assert condemn(a_stream(a_key("key_2"))) is Reason.KEY_REVOKED
    assert condemn(a_stream(a_key("key_9"))) is None
    assert condemn(a_stream(a_key("key_9", tenant_id="ten_b"))) is Reason.TENANT_SUSPENDED
    assert condemn(a_stream()) is None


def test_a_key_that_lost_two_things_ends_for_the_first_that_applies() -> None:
    lost = of_key(a_key(), frozenset({"jobs:read"})), of_key(a_key(state=KeyState.REVOKED))
    assert Withdrawals(lost)(a_stream(a_key())) is Reason.KEY_REVOKED


def test_it_travels_to_other_processes() -> None:
    before = Withdrawals((of_key(a_key(state=KeyState.REVOKED)),))
    after = pickle.loads(pickle.dumps(before))
    assert after == before
    assert after(a_stream(a_key())) is Reason.KEY_REVOKED


def test_what_was_withdrawn_one_by_one_is_withdrawn_together() -> None:
    first = Withdrawals((of_key(a_key(state=KeyState.REVOKED)),))
    second = Withdrawals((withdrawn_of_tenant(a_tenant("ten_b", is_suspended=True)),))

    def everything(_: OpenStream) -> Reason | None:
        return Reason.ENV_MISMATCH

    assert together([]) is None
    assert together([everything]) is everything
    assert together([first, second]) == Withdrawals(first.parts + second.parts)
    mixed = together([everything, first])
    assert isinstance(mixed, AnyOf)
    assert mixed(a_stream()) is Reason.ENV_MISMATCH
    assert AnyOf((first, second))(a_stream(a_key())) is Reason.KEY_REVOKED
    assert AnyOf((first, second))(a_stream(a_key("key_b"))) is None
