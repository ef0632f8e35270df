from __future__ import annotations

import pytest

from gateway.domain.tenants import TENANT_ID, Tenant, TenantState, deleted, is_within
from tests.key_samples import a_tenant


def test_the_switch_keeps_the_allowlist_without_enforcing_it() -> None:
    """HP-20: an on/off switch; off allows all."""
    tenant = a_tenant(ip_allowlist=("10.0.0.0/8",))
    assert tenant.enforced_allowlist == ()
    tenant = a_tenant(ip_allowlist=("10.0.0.0/8",), ip_allowlist_enabled=True)
    assert tenant.enforced_allowlist == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("root", "is_inside"), [("ten_c", True), ("ten_a", True), ("ten_b", False), ("ten", False)]
)
def test_ht_9_who_is_bound_to_a_tenant_sees_it_and_its_children(root: str, is_inside: bool) -> None:
    assert is_within(Tenant(tenant_id="ten_c", name="C", parent_id="ten_a"), root) is is_inside


@pytest.mark.parametrize("text", ["", "-a", "a" * 65, "a b", "a/b", "a:b", "a@b", "a\n", "é"])
def test_an_id_can_stand_in_buckets_and_headers(text: str) -> None:
    assert TENANT_ID.fullmatch(text) is None


def test_a_tenant_is_one_thing_at_a_time() -> None:
    assert a_tenant().state is TenantState.ACTIVE
    assert a_tenant(is_suspended=True).state is TenantState.SUSPENDED
    assert a_tenant(is_suspended=True, deleted_at=1.0).state is TenantState.DELETED


def test_of_a_deleted_tenant_its_name_is_left_and_nothing_that_it_had_set() -> None:
    tenant = a_tenant(
        parent_id="ten_p",
        plan="pro",
        ip_allowlist=("10.0.0.0/8",),
        ip_allowlist_enabled=True,
        default_template="ci",
        export_name="KEY",
        alerts={"rules": {}},
        metadata={"mail": "ops@example.com"},
        revision=7,
    )
    assert deleted(tenant, 5.0, "left") == Tenant(
        tenant_id="ten_a",
        name="Tenant ten_a",
        parent_id="ten_p",
        is_suspended=True,
        state_reason="left",
        created_at=tenant.created_at,
        deleted_at=5.0,
        revision=7,
    )
