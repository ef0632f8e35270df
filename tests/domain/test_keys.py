from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey, KeyKind, KeyState
from gateway.domain.tenants import deleted
from tests.key_samples import a_key, a_tenant, bound

NOW = 1_700_000_000.0


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.ROTATING])
def test_a_live_key_is_not_refused(state: KeyState) -> None:
    assert bound(a_key(state=state), a_tenant()).refusal(NOW) is None
    assert bound(a_key(state=state, expires_at=NOW + 0.1), a_tenant()).refusal(NOW) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": KeyState.REVOKED}, Reason.KEY_REVOKED),
        ({"state": KeyState.SUSPENDED}, Reason.KEY_SUSPENDED),
        ({"state": KeyState.EXPIRED}, Reason.KEY_EXPIRED),
        ({"expires_at": NOW}, Reason.KEY_EXPIRED),
        ({"expires_at": NOW, "state": KeyState.ROTATING}, Reason.KEY_EXPIRED),
        ({"expires_at": NOW, "state": KeyState.SUSPENDED}, Reason.KEY_EXPIRED),
        ({"expires_at": NOW, "state": KeyState.REVOKED}, Reason.KEY_REVOKED),
    ],
)
def test_a_key_that_may_not_be_used_says_why(changes: dict[str, Any], reason: Reason) -> None:
    assert bound(a_key(**changes), a_tenant()).refusal(NOW) is reason


def test_a_suspended_tenant_stops_its_keys() -> None:
    tenant = a_tenant(is_suspended=True)
    assert bound(a_key(), tenant).refusal(NOW) is Reason.TENANT_SUSPENDED
    revoked = a_key(state=KeyState.REVOKED)
    assert bound(revoked, tenant).refusal(NOW) is Reason.KEY_REVOKED


def test_expiry_follows_from_the_clock() -> None:
    key = a_key(expires_at=NOW)
    assert key.state_at(NOW - 1) is KeyState.ACTIVE
    assert key.state_at(NOW) is KeyState.EXPIRED
    assert a_key().state_at(NOW) is KeyState.ACTIVE
    assert replace(key, state=KeyState.REVOKED).state_at(NOW) is KeyState.REVOKED


def test_a_digest_never_appears_in_text() -> None:
    key = a_key()
    assert repr(key.digest) not in repr(key)
    assert "digest" not in repr(key)


@pytest.mark.parametrize(
    ("kind", "tenants", "expected"),
    [
        (KeyKind.REGULAR, (), ["ten_a"]),
        (KeyKind.REGULAR, ("ten_l",), ["ten_a"]),
        (KeyKind.MULTI_TENANT, (), ["ten_a", "ten_c"]),
        (KeyKind.MULTI_TENANT, ("ten_l",), ["ten_a", "ten_c", "ten_l"]),
    ],
)
def test_iv_13_iv_14_whom_a_key_acts_for(
    kind: KeyKind, tenants: tuple[str, ...], expected: list[str]
) -> None:
    """Its own tenant; a multi-tenant one also the children of that and those that it lists."""
    everybody = [
        a_tenant("ten_a"),
        a_tenant("ten_c", parent_id="ten_a"),
        a_tenant("ten_l", parent_id="ten_b"),
        a_tenant("ten_b"),
    ]
    record = a_key(kind=kind, tenants=tenants)
    assert [each.tenant_id for each in everybody if record.may_act_for(each)] == expected


def test_iv_14_a_key_that_acts_for_another_tenant_is_stopped_by_either_of_the_two() -> None:
    def refusal(*, owner: bool, tenant: bool) -> Reason | None:
        acting = BoundKey(
            record=a_key(),
            tenant=a_tenant("ten_c", is_suspended=tenant),
            owner=a_tenant("ten_a", is_suspended=owner),
            scopes=frozenset(),
            allowlists=(),
            claims=(),
            identity=b"",
        )
        assert acting.label == "key_a@ten_c"
        return acting.refusal(NOW)

    assert refusal(owner=False, tenant=False) is None
    assert refusal(owner=True, tenant=False) is Reason.TENANT_SUSPENDED
    assert refusal(owner=False, tenant=True) is Reason.TENANT_SUSPENDED
    assert bound(a_key(), a_tenant()).label == "key_a"


def test_a_key_of_a_deleted_tenant_is_refused_like_a_revoked_one() -> None:
    gone = deleted(a_tenant(), 1.0, "left")
    assert bound(a_key(), gone).refusal(NOW) is Reason.KEY_REVOKED
    assert bound(a_key(), gone).usable_until == float("-inf")


def test_iv_35_no_key_acts_for_a_deleted_tenant() -> None:
    gone = deleted(a_tenant("ten_b", parent_id="ten_a"), 1.0, "left")
    assert not a_key(kind=KeyKind.MULTI_TENANT, tenants=("ten_b",)).may_act_for(gone)
    assert not a_key().may_act_for(deleted(a_tenant(), 1.0, "left"))
