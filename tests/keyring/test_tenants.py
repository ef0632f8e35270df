from __future__ import annotations

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.tenants import Tenant
from gateway.keyring.ledger import Changed, NotFound
from gateway.ports import Conflict
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_tenant, an_order
from tests.keyring.house import House


@pytest.fixture
def house() -> House:
    return House()


async def test_a_tenant_is_given_an_id_unless_it_brings_one(house: House) -> None:
    tenants = house.keyring.tenants
    given = (await tenants.create(a_tenant(""), ORDER)).record
    assert given.tenant_id.startswith("ten_")
    assert len(given.tenant_id) == 36
    assert given.created_at == house.clock.now()
    chosen = (await tenants.create(a_tenant("acme"), ORDER)).record
    assert await tenants.get("acme") == chosen
    assert house.events == [ChangeType.TENANT_CREATED] * 2
    assert house.invalidated == [given.tenant_id, "acme"]


async def test_a_taken_id_is_a_conflict(house: House) -> None:
    await house.keyring.tenants.create(a_tenant("acme"), ORDER)
    with pytest.raises(Conflict):
        await house.keyring.tenants.create(a_tenant("acme"), ORDER)


async def test_everything_wrong_with_a_tenant_is_told_at_once(house: House) -> None:
    with pytest.raises(Refused) as caught:
        await house.keyring.tenants.create(
            a_tenant("a:b", name="", plan="gold", ip_allowlist=("x",)), ORDER
        )
    assert [pointer for pointer, _ in caught.value.problems] == [
        *("/tenant_id", "/name", "/plan", "/ip_allowlist/0")
    ]
    assert (await house.keyring.tenants.page()).records == []


async def test_the_allowlist_and_its_switch_are_told_as_one_event(house: House) -> None:
    """HP-20, IV-29."""
    await house.keyring.tenants.create(a_tenant("acme"), ORDER)
    house.forget()
    tenant = await house.keyring.tenants.update(
        "acme", {"ip_allowlist": ("10.0.0.0/8",), "ip_allowlist_enabled": True, "name": "A"}, ORDER
    )
    assert tenant.record.enforced_allowlist == ("10.0.0.0/8",)
    assert house.events == [ChangeType.TENANT_UPDATED, ChangeType.TENANT_IP_ALLOWLIST_CHANGED]
    assert house.invalidated == ["acme"]


async def test_a_tenants_metadata_is_merged_and_checked(house: House) -> None:
    await house.keyring.tenants.create(a_tenant("acme", metadata={"a": 1}), ORDER)
    tenant = (await house.keyring.tenants.update("acme", {"metadata": {"b": 2}}, ORDER)).record
    assert tenant.metadata == {"a": 1, "b": 2}
    with pytest.raises(Refused, match="/metadata"):
        await house.keyring.tenants.update("acme", {"metadata": {"c": "x" * 5000}}, ORDER)


async def test_suspending_a_tenant_needs_a_reason_and_is_undone_by_resuming(house: House) -> None:
    tenants = house.keyring.tenants
    await tenants.create(a_tenant("acme"), ORDER)
    house.forget()
    with pytest.raises(Refused, match="/reason"):
        await tenants.suspend("acme", an_order(""))
    suspended = (await tenants.suspend("acme", an_order("unpaid"))).record
    assert (suspended.is_suspended, suspended.state_reason) == (True, "unpaid")
    assert await tenants.suspend("acme", an_order("unpaid again")) == Changed(suspended)
    resumed = (await tenants.resume("acme", an_order("paid"))).record
    assert not resumed.is_suspended
    assert house.events == [ChangeType.TENANT_SUSPENDED, ChangeType.TENANT_RESUMED]


async def test_importing_a_tenant_is_safe_to_repeat_and_keeps_it_suspended(house: House) -> None:
    tenants = house.keyring.tenants
    first = (await tenants.import_(a_tenant("acme"), ORDER)).record
    assert await tenants.import_(a_tenant("acme"), ORDER) == Changed(first)
    await tenants.suspend("acme", an_order("unpaid"))
    renamed = (await tenants.import_(a_tenant("acme", name="Acme Inc."), ORDER)).record
    assert (renamed.name, renamed.is_suspended) == ("Acme Inc.", True)
    with pytest.raises(Refused, match="/plan"):
        await tenants.import_(a_tenant("acme", plan="gold"), ORDER)


async def test_tenants_are_paged_and_unknown_ones_are_not_found(house: House) -> None:
    tenants = house.keyring.tenants
    for name in ("a", "b", "c"):
        await tenants.create(a_tenant(name), ORDER)
    first = await tenants.page(limit=2)
    assert ([tenant.tenant_id for tenant in first.records], first.cursor) == (["a", "b"], "b")
    last = await tenants.page(after=first.cursor, limit=2)
    assert ([tenant.tenant_id for tenant in last.records], last.cursor) == (["c"], "")
    with pytest.raises(NotFound):
        await tenants.get("x")


class LateStore(MemoryStore):
    """Does not see what somebody else has just written, the first time that it is asked for `acme`."""

    is_late = True

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        is_late, self.is_late = self.is_late, False
        return None if is_late else await super().get_tenant(tenant_id)


async def test_an_import_that_another_gateway_was_faster_with_brings_its_tenant_up_to_date() -> (
    None
):
    house = House(LateStore())
    await house.store.save_tenant(a_tenant("acme"))
    found = (await house.keyring.tenants.import_(a_tenant("acme", name="Inc."), ORDER)).record
    assert found.name == "Inc."
