from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.change import Change, ChangeType
from gateway.domain.denial import Reason
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyState
from gateway.domain.rotations import RotationEnd, RotationState
from gateway.domain.streams import StreamKind
from gateway.domain.tenants import TenantState
from gateway.keyring.ledger import NotFound, Stale
from gateway.keyring.tenant_deletion import BATCH, TenantDeleted, both
from gateway.ports import Conflict, Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_key, a_tenant, an_order, bound
from tests.keyring.house import DAY, House, a_wish
from tests.open_streams import OneStream

LEFT = an_order("the contract ended")


class Disturbed(MemoryStore):
    """A store in which something else happens before the commits that are `next` (from now on)."""

    def __init__(self) -> None:
        super().__init__()
        self.next: list[Callable[[], Awaitable[object]]] = []

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        if self.next:
            await self.next.pop(0)()
        return await super().commit(writes, changes)


async def nothing() -> None:
    """Let the commit happen undisturbed."""


async def outage() -> None:
    """Let the commit fail."""
    raise StoreUnavailable("gone")


@pytest.fixture
async def house() -> House:
    """`ten_a` has a child and nothing else; `ten_b` is somebody else."""
    house = House(Disturbed(), declared_tenants=("declared",))
    for tenant in (
        a_tenant(plan="pro", ip_allowlist=("10.0.0.0/8",), metadata={"mail": "a@example.com"}),
        a_tenant("ten_child", parent_id="ten_a"),
        a_tenant("ten_b"),
        a_tenant("declared"),
    ):
        await house.store.save_tenant(tenant)
    return house


async def _deleted(house: House, tenant_id: str = "ten_a", **wanted: Any) -> TenantDeleted:
    wanted = {"revoke_keys": True, "delete_children": True} | wanted
    return await house.keyring.tenants.delete(tenant_id, wanted.pop("order", LEFT), **wanted)


async def test_a_tenant_that_owns_nothing_is_deleted_and_that_is_told_with_what_it_was(
    house: House,
) -> None:
    """IV-25, IV-29: `tenant.deleted`, with a snapshot from before."""
    was = await house.keyring.tenants.get("ten_b")
    gone = await house.keyring.tenants.delete("ten_b", LEFT)
    assert (gone.keys, gone.children, gone.admin_tokens) == (0, 0, 0)
    assert gone.enforced == Enforced(effective_at=house.clock.now(), acknowledged=1, of=1)
    tenant = await house.keyring.tenants.get("ten_b")
    assert gone.tenant == tenant
    assert tenant.state is TenantState.DELETED
    assert (tenant.state_reason, tenant.deleted_at) == (LEFT.reason, house.clock.now())
    [change] = house.changes
    assert (change.type, change.tenant_id) == (ChangeType.TENANT_DELETED, "ten_b")
    assert (change.reason, change.actor) == (LEFT.reason, LEFT.actor)
    assert change.before["name"] == was.name
    assert change.before["ip_allowlist"] == was.ip_allowlist
    assert change.after == {"deleted_at": house.clock.now()}
    assert house.invalidated == ["ten_b"]


async def test_iv_28_a_reason_is_mandatory(house: House) -> None:
    with pytest.raises(Refused, match="/reason"):
        await _deleted(house, order=an_order(""))
    with pytest.raises(NotFound):
        await _deleted(house, "nobody")


async def test_what_has_not_ended_stands_in_the_way_and_is_counted(house: House) -> None:
    a, b = [(await house.minted()).record for _ in range(2)]
    await house.keyring.suspend_key(a.key_id, an_order("x"))
    await house.minted(tenant_id="ten_child")
    await house.keyring.revoke_key(b.key_id, an_order("x"))
    expiring = (await house.minted(expires_at=house.clock.now() + DAY)).record
    house.clock.advance(DAY)
    await house.store.save_tenant(a_tenant("parent"))
    for n in range(2):
        await house.store.save_tenant(a_tenant(f"child_{n}", parent_id="parent"))
    house.forget()
    with pytest.raises(Conflict, match="has 2 children"):
        await house.keyring.tenants.delete("parent", LEFT)
    with pytest.raises(Conflict, match="has 1 key that has not ended"):
        await house.keyring.tenants.delete("ten_child", LEFT)
    with pytest.raises(Conflict) as caught:
        await house.keyring.tenants.delete("ten_a", LEFT)
    assert str(caught.value) == (
        "tenant 'ten_a' has 2 keys that have not ended (revoke first, or ask for `revoke_keys`)"
        " and 1 child (delete first, or ask for `delete_children`)"
    )
    with pytest.raises(Conflict, match="has 1 child "):
        await _deleted(house, delete_children=False)
    with pytest.raises(Conflict, match="2 keys"):
        await _deleted(house, revoke_keys=False)
    assert house.changes == []
    assert house.keyring.state_of(await house.key(expiring.key_id)) is KeyState.EXPIRED


async def test_a_key_that_has_expired_goes_with_its_tenant_and_cannot_be_extended_any_more(
    house: House,
) -> None:
    key = (await house.minted(tenant_id="ten_b", expires_at=house.clock.now() + DAY)).record
    house.clock.advance(DAY)
    assert (await house.keyring.tenants.delete("ten_b", LEFT)).keys == 1
    assert (await house.key(key.key_id)).state is KeyState.REVOKED
    with pytest.raises(Conflict):
        await house.keyring.extend_key(key.key_id, house.clock.now() + DAY, an_order("x"))


async def test_everything_that_works_goes_with_its_tenant_children_first(house: House) -> None:
    """D1, D2."""
    key = (await house.minted()).record
    of_child = (await house.minted(tenant_id="ten_child")).record
    others = (await house.minted(tenant_id="ten_b")).record
    tokens = house.keyring.admin_tokens
    token = await tokens.create("bound", Role.ADMIN, ORDER, tenant_id="ten_a")
    whole = await tokens.create("whole", Role.ADMIN, ORDER)
    house.forget()
    house.closing = 2
    gone = await _deleted(house)
    assert (gone.keys, gone.children, gone.admin_tokens) == (2, 1, 1)
    assert gone.enforced is not None
    assert gone.enforced.streams_closed == 4
    assert house.events == [
        *(ChangeType.KEY_REVOKED, ChangeType.TENANT_DELETED),
        *(ChangeType.KEY_REVOKED, ChangeType.ADMIN_TOKEN_REVOKED, ChangeType.TENANT_DELETED),
    ]
    assert [each.reason for each in house.changes] == [LEFT.reason] * 5
    for each in (key, of_child):
        ended = await house.key(each.key_id)
        assert (ended.state, ended.state_reason) == (KeyState.REVOKED, LEFT.reason)
    assert (await house.key(others.key_id)).state is KeyState.ACTIVE
    assert (await tokens.get(token.record.token_id)).revoked_at is not None
    assert (await tokens.get(whole.record.token_id)).revoked_at is None
    assert {"ten_a", "ten_child", key.key_id, of_child.key_id} <= set(house.invalidated)
    stream = OneStream(1, StreamKind.SSE)
    stream.key = bound(key, a_tenant())
    assert [condemn and condemn(stream) for condemn in house.condemned] == [
        *(None, Reason.KEY_REVOKED)
    ]


async def test_nothing_can_be_done_with_a_deleted_tenant_and_its_id_is_not_used_again(
    house: House,
) -> None:
    tenants = house.keyring.tenants
    await _deleted(house)
    house.forget()
    with pytest.raises(Conflict, match="exists already"):
        await tenants.create(a_tenant(), ORDER)
    with pytest.raises(Conflict, match="was deleted"):
        await tenants.import_(a_tenant(), ORDER)
    for act in (
        tenants.update("ten_a", {"name": "B"}, ORDER),
        tenants.suspend("ten_a", an_order("x")),
        tenants.resume("ten_a", ORDER),
    ):
        with pytest.raises(Conflict, match="is deleted"):
            await act
    for made in (
        house.keyring.create_key(a_wish(), ORDER),
        house.keyring.create_key(a_wish(tenant_id="ten_b", tenants=("ten_a",)), ORDER),
        house.keyring.import_key(a_key(format="imported", scopes=(), pepper_id="p2"), ORDER),
        house.keyring.admin_tokens.create("t", Role.VIEWER, ORDER, tenant_id="ten_a"),
        tenants.create(a_tenant("", parent_id="ten_a"), ORDER),
    ):
        with pytest.raises(Refused, match="there is no tenant 'ten_a'"):
            await made
    assert house.changes == []


async def test_deleted_tenants_are_listed_only_when_they_are_asked_for(house: House) -> None:
    await house.keyring.tenants.suspend("ten_b", an_order("x"))
    await house.keyring.tenants.delete("ten_child", LEFT)

    async def listed(**wanted: Any) -> list[str]:
        page = await house.keyring.tenants.page(**wanted)
        return [each.tenant_id for each in page.records]

    assert await listed() == ["declared", "ten_a", "ten_b"]
    assert await listed(with_deleted=True) == ["declared", "ten_a", "ten_b", "ten_child"]
    assert await listed(state=TenantState.ACTIVE) == ["declared", "ten_a"]
    assert await listed(state=TenantState.SUSPENDED) == ["ten_b"]
    assert await listed(state=TenantState.DELETED) == ["ten_child"]
    assert await listed(parent_id="ten_a") == []


async def test_deleting_again_changes_nothing_but_tells_everybody_who_serves(house: House) -> None:
    first = await _deleted(house)
    house.forget()
    assert await _deleted(house) == TenantDeleted(tenant=first.tenant)
    assert (house.changes, house.invalidated) == ([], ["ten_a"])


async def test_what_the_configuration_declares_is_not_deleted(house: House) -> None:
    for tenant_id in ("declared", "ten_a"):
        if tenant_id == "ten_a":
            declared_child = a_tenant("declared", parent_id="ten_a")
            await house.store.save_tenant(declared_child)
        with pytest.raises(Conflict, match="'declared' is declared in the configuration"):
            await _deleted(house, tenant_id)


async def test_a_dry_run_counts_what_would_go_and_changes_nothing(house: House) -> None:
    await house.minted()
    await house.minted(tenant_id="ten_child")
    await house.keyring.admin_tokens.create("t", Role.VIEWER, ORDER, tenant_id="ten_child")
    house.forget()
    gone = await _deleted(house, order=replace(LEFT, is_dry_run=True))
    assert (gone.keys, gone.children, gone.admin_tokens, gone.enforced) == (2, 1, 1, None)
    assert gone.tenant.state is TenantState.DELETED
    with pytest.raises(Conflict):
        await house.keyring.tenants.delete("ten_a", replace(LEFT, is_dry_run=True))
    assert (house.changes, house.invalidated) == ([], [])
    assert (await house.keyring.tenants.get("ten_a")).state is TenantState.ACTIVE


async def test_only_the_tenant_that_was_seen_is_deleted(house: House) -> None:
    seen = (await house.keyring.tenants.get("ten_a")).revision
    await house.keyring.tenants.update("ten_a", {"name": "B"}, ORDER)
    with pytest.raises(Stale):
        await _deleted(house, order=replace(LEFT, expected_revision=seen))
    now = (await house.keyring.tenants.get("ten_a")).revision
    gone = await _deleted(house, order=replace(LEFT, expected_revision=now))
    assert gone.children == 1


async def test_a_rotation_ends_with_both_of_its_keys(house: House) -> None:
    old = (await house.minted(tenant_id="ten_b")).record
    rotated = await house.keyring.rotations.start(old.key_id, an_order("x"))
    house.forget()
    assert (await _deleted(house, "ten_b")).keys == 2
    rotation = await house.keyring.rotations.get(rotated.rotation.rotation_id)
    assert (rotation.state, rotation.ended_by) == (RotationState.COMPLETED, RotationEnd.REVOKED)
    for key_id in (old.key_id, rotated.new.key_id):
        assert (await house.key(key_id)).state is KeyState.REVOKED
    assert house.events.count(ChangeType.KEY_REVOKED) == 2


async def test_a_link_to_a_secret_ends_with_the_tenant(house: House) -> None:
    """HT-3."""
    wish = a_wish(tenant_id="ten_b")
    made = await house.keyring.create_key(wish, ORDER, delivery_seconds=DAY)
    await _deleted(house, "ten_b")
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(made.delivery_token, "192.0.2.1")


async def test_of_many_keys_all_are_revoked_in_batches_also_those_of_one_rotation(
    house: House,
) -> None:
    keys = [a_key(f"key_{n:04}", tenant_id="ten_b") for n in range(2 * BATCH)]
    await house.store.commit([Write(key) for key in keys])
    old = (await house.minted(tenant_id="ten_b")).record
    rotated = await house.keyring.rotations.start(old.key_id, an_order("x"))
    house.forget()
    house.closing = 1
    gone = await _deleted(house, "ten_b")
    assert gone.keys == 2 * BATCH + 2
    assert gone.enforced is not None
    assert gone.enforced.streams_closed == 3
    assert house.events.count(ChangeType.KEY_REVOKED) == 2 * BATCH + 2
    rotation = await house.keyring.rotations.get(rotated.rotation.rotation_id)
    assert rotation.state is RotationState.COMPLETED


async def test_of_two_who_delete_both_are_told_the_same_and_it_is_told_once(house: House) -> None:
    await house.minted()
    one, other = await asyncio.gather(_deleted(house), _deleted(house))
    assert one.tenant == other.tenant
    assert house.events.count(ChangeType.TENANT_DELETED) == 2  # of the child, and of the tenant


async def test_a_key_that_is_made_meanwhile_goes_as_well(house: House) -> None:
    late = a_key("key_late", tenant_id="ten_b")
    house.store.next = [lambda: house.store.save_key(late)]
    assert (await _deleted(house, "ten_b")).keys == 1
    assert (await house.key("key_late")).state is KeyState.REVOKED


async def test_a_key_that_is_made_meanwhile_stands_in_the_way_unless_keys_shall_go(
    house: House,
) -> None:
    late = a_key("key_late", tenant_id="ten_b")
    house.store.next = [lambda: house.store.save_key(late)]
    with pytest.raises(Conflict, match="'ten_b' has 1 key that has not ended"):
        await _deleted(house, "ten_b", revoke_keys=False)
    assert (await house.key("key_late")).state is KeyState.ACTIVE
    assert not (await house.keyring.tenants.get("ten_b")).is_deleted


async def test_who_is_interrupted_asks_again_and_the_rest_goes(house: House) -> None:
    house.store.next = [nothing, outage]
    with pytest.raises(StoreUnavailable):
        await _deleted(house)
    assert (await house.keyring.tenants.get("ten_child")).is_deleted
    assert not (await house.keyring.tenants.get("ten_a")).is_deleted
    assert (await _deleted(house)).tenant.is_deleted


def test_two_changes_reach_no_farther_than_the_one_that_has_not_reached_all() -> None:
    whole = Enforced(effective_at=5.0, acknowledged=2, of=2, seconds=0.1, streams_closed=1)
    part = Enforced(
        effective_at=4.0, acknowledged=1, of=2, seconds=0.5, silent=("w1",), streams_closed=2
    )
    joined = replace(part, effective_at=5.0, streams_closed=3)
    assert both(whole, part) == both(part, whole) == joined
    assert both(None, part) is part
    assert both(whole, None) is whole
    assert both(None, None) is None
