from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.domain.change import Actor, ChangeType
from gateway.domain.deliveries import Delivery
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.rotations import Rotation, RotationState
from gateway.domain.tenants import Tenant, deleted
from gateway.keyring.again import Again, StoppedAgain, TakenOver
from gateway.ports import Write
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_key, a_tenant
from tests.keyring.house import House

ROOT = Actor(kind="admin", name="uid:0")


def a_token(token_id: str, revoked_at: float | None = None) -> AdminToken:
    return AdminToken(
        token_id=token_id,
        name="t",
        role=Role.VIEWER,
        digest=token_id.encode().ljust(32, b"."),
        pepper_id="p1",
        display="tha_",
        created_at=0.0,
        revoked_at=revoked_at,
    )


@pytest.fixture
async def house() -> House:
    """The store of a backup: a tenant and three keys that worked."""
    house = House()
    await house.store.save_tenant(a_tenant())
    for name in ("a", "b", "c"):
        await house.store.save_key(a_key(f"key_{name}"))
    await house.store.commit([Write(a_token("adm_a"))])
    return house


async def _present(*records: KeyRecord | Tenant | AdminToken | Rotation) -> MemoryStore:
    """Return the store that is replaced, with these records as they are today."""
    store = MemoryStore()
    await store.save_tenant(a_tenant())
    await store.commit([Write(record) for record in records])
    return store


async def _stopped(house: House, present: MemoryStore) -> StoppedAgain:
    return await Again(house.keyring, house.store, present, ROOT).stop()


async def test_a_key_that_was_revoked_since_is_revoked_again_and_that_is_audited(
    house: House,
) -> None:
    revoked = a_key("key_a", state=KeyState.REVOKED, state_reason="leaked")
    assert await _stopped(house, await _present(revoked, a_key("key_b"))) == StoppedAgain(keys=1)
    key = await house.key("key_a")
    assert key.state is KeyState.REVOKED
    assert key.state_reason == "stopped before the backup was restored: leaked"
    assert house.events == [ChangeType.KEY_REVOKED]
    assert house.changes[0].actor is ROOT
    assert (await house.key("key_b")).state is KeyState.ACTIVE


async def test_a_key_that_was_deleted_since_stays_out_of_lists(house: House) -> None:
    deleted = a_key("key_a", state=KeyState.REVOKED, is_hidden=True)
    await _stopped(house, await _present(deleted))
    assert (await house.key("key_a")).is_hidden


async def test_suspensions_are_taken_over_unless_they_are_over(house: House) -> None:
    now = house.clock.now()
    present = await _present(
        a_key("key_a", state=KeyState.SUSPENDED, resume_at=now + 60),
        a_key("key_b", state=KeyState.SUSPENDED, resume_at=now),
        a_key("key_c", state=KeyState.SUSPENDED),
        replace(a_tenant(), is_suspended=True, state_reason="unpaid"),
        a_token("adm_a", revoked_at=now),
    )
    assert await _stopped(house, present) == StoppedAgain(keys=2, tenants=1, admin_tokens=1)
    a, b, c = [await house.key(f"key_{name}") for name in "abc"]
    assert (a.state, a.resume_at) == (KeyState.SUSPENDED, now + 60)
    assert b.state is KeyState.ACTIVE
    assert (c.state, c.resume_at) == (KeyState.SUSPENDED, None)
    assert (await house.keyring.tenants.get("ten_a")).is_suspended
    assert (await house.keyring.admin_tokens.get("adm_a")).revoked_at is not None


async def test_what_does_not_work_anyway_is_left_alone(house: House) -> None:
    now = house.clock.now()
    await house.store.save_key(a_key("key_a", expires_at=now - 1))
    await house.store.save_key(a_key("key_b", state=KeyState.REVOKED))
    present = await _present(
        a_key("key_a", state=KeyState.SUSPENDED), a_key("key_b", state=KeyState.REVOKED)
    )
    assert await _stopped(house, present) == StoppedAgain()
    assert house.changes == []


async def test_keys_that_were_made_since_are_counted_as_lost(house: House) -> None:
    present = await _present(a_key("key_a"), a_key("key_new"), a_key("key_newer"))
    assert await _stopped(house, present) == StoppedAgain(lost=2)


async def test_doing_it_twice_changes_no_more(house: House) -> None:
    present = await _present(
        a_key("key_a", state=KeyState.REVOKED), replace(a_tenant(), is_suspended=True)
    )
    await _stopped(house, present)
    house.forget()
    assert await _stopped(house, present) == StoppedAgain()
    assert house.changes == []


async def test_keys_and_tenants_that_were_made_since_are_taken_over_as_they_are_and_audited(
    house: House,
) -> None:
    fresh = a_tenant("ten_new", parent_id="ten_parent")
    parent = a_tenant("ten_parent", is_suspended=True)
    made = a_key("key_new", tenant_id="ten_new", scopes=("no:longer:declared",), retires_at=1e10)
    ended = a_key("key_old", state=KeyState.REVOKED, state_reason="leaked", is_hidden=True)
    changed = a_key("key_a", scopes=())
    present = await _present(fresh, parent, made, ended, changed)
    taken = await Again(house.keyring, house.store, present, ROOT).take_over()
    assert taken == TakenOver(keys=2, tenants=2)
    for there, here in ((made, "key_new"), (ended, "key_old")):
        stored = await house.key(here)
        assert replace(stored, revision=there.revision) == there
    assert (await house.keyring.tenants.get("ten_parent")).is_suspended
    assert (await house.key("key_a")).scopes == a_key("key_a").scopes  # the backup has it
    assert house.events == [ChangeType.TENANT_CREATED] * 2 + [ChangeType.KEY_CREATED] * 2
    assert {each.reason for each in house.changes} == {"made before the backup was restored"}
    assert {each.actor for each in house.changes} == {ROOT}
    assert await _stopped(house, present) == StoppedAgain()


async def test_taking_over_twice_changes_no_more(house: House) -> None:
    present = await _present(a_key("key_new"))
    again = Again(house.keyring, house.store, present, ROOT)
    assert await again.take_over() == TakenOver(keys=1)
    assert await again.take_over() == TakenOver()


async def test_a_tenant_that_was_deleted_since_is_deleted_again_with_all_that_worked(
    house: House,
) -> None:
    await house.store.save_tenant(a_tenant("ten_child", parent_id="ten_a"))
    present = MemoryStore()
    for tenant in (a_tenant(), a_tenant("ten_child", parent_id="ten_a")):
        await present.save_tenant(deleted(tenant, 1.0, "left"))
    assert await _stopped(house, present) == StoppedAgain(tenants=1)
    for tenant_id in ("ten_a", "ten_child"):
        assert (await house.keyring.tenants.get(tenant_id)).is_deleted
    for name in ("a", "b", "c"):
        assert (await house.key(f"key_{name}")).state is KeyState.REVOKED
    assert await _stopped(house, present) == StoppedAgain()


async def test_a_deleted_tenant_that_the_configuration_declares_by_now_is_suspended(
    house: House,
) -> None:
    declaring = House(house.store, declared_tenants=("ten_a",))
    present = MemoryStore()
    await present.save_tenant(deleted(a_tenant(), 1.0, "left"))
    assert await _stopped(declaring, present) == StoppedAgain(tenants=1)
    tenant = await house.keyring.tenants.get("ten_a")
    assert (tenant.is_suspended, tenant.is_deleted) == (True, False)
    assert tenant.state_reason == "stopped before the backup was restored: left"


async def test_a_tenant_that_was_made_and_deleted_since_is_taken_over_as_deleted(
    house: House,
) -> None:
    present = MemoryStore()
    await present.save_tenant(deleted(a_tenant("ten_new"), 1.0, "left"))
    again = Again(house.keyring, house.store, present, ROOT)
    assert await again.take_over() == TakenOver(tenants=1)
    assert (await house.keyring.tenants.get("ten_new")).is_deleted
    assert await again.stop() == StoppedAgain()


# ---- rotations that were made since


def a_rotation(state: RotationState = RotationState.PENDING, **values: Any) -> Rotation:
    given: dict[str, Any] = {
        "rotation_id": "rot_a",
        "lineage_id": "key_a",
        "tenant_id": "ten_a",
        "old_key_id": "key_a",
        "new_key_id": "key_new",
        "started_at": 1.0,
        "deadline": 1e10,
    }
    return Rotation(**(given | values), state=state)


async def _taken(house: House, present: MemoryStore) -> TakenOver:
    again = Again(house.keyring, house.store, present, ROOT)
    taken = await again.take_over()
    await again.stop()
    await again.take_over_rotations(taken)
    return taken


async def test_a_rotation_that_was_begun_since_goes_on_with_both_of_its_keys(house: House) -> None:
    old = a_key("key_a", state=KeyState.ROTATING, retires_at=1e10)
    present = await _present(old, a_key("key_new", lineage_id="key_a"), a_rotation())
    assert await _taken(house, present) == TakenOver(keys=1, rotations=1)
    here = await house.key("key_a")
    assert (house.keyring.state_of(here), here.retires_at) == (KeyState.ROTATING, 1e10)
    assert (await house.key("key_new")).lineage_id == "key_a"
    assert (await house.keyring.rotations.get("rot_a")).is_open
    assert house.events == [ChangeType.KEY_CREATED, ChangeType.KEY_ROTATION_STARTED]
    done = await house.keyring.rotations.complete("rot_a", ORDER)
    assert done.record.state is RotationState.COMPLETED
    assert (await house.key("key_a")).state is KeyState.REVOKED


async def test_a_rotation_of_two_keys_that_were_made_since_comes_along(house: House) -> None:
    old = a_key("key_old", state=KeyState.ROTATING, retires_at=1e10)
    rotation = a_rotation(old_key_id="key_old", lineage_id="key_old")
    present = await _present(old, a_key("key_new", lineage_id="key_old"), rotation)
    assert await _taken(house, present) == TakenOver(keys=2, rotations=1)
    assert (await house.key("key_old")).retires_at == 1e10


async def test_rotations_that_have_ended_since_are_history(house: House) -> None:
    ended = a_rotation(RotationState.COMPLETED, ended_at=2.0, ended_by="operator")
    present = await _present(
        a_key("key_a", state=KeyState.REVOKED), a_key("key_new", lineage_id="key_a"), ended
    )
    assert (await _taken(house, present)).rotations == 1
    kept = await house.keyring.rotations.get("rot_a")
    assert replace(kept, revision=0) == replace(ended, revision=0)
    assert (await house.key("key_a")).state is KeyState.REVOKED
    assert house.events[-1] is ChangeType.KEY_ROTATION_COMPLETED


async def test_a_rotation_is_left_out_whose_old_key_is_not_as_it_was(house: House) -> None:
    await house.store.save_key(a_key("key_s", state=KeyState.SUSPENDED))
    present = await _present(
        a_key("key_s", state=KeyState.ROTATING, retires_at=1e10),
        a_key("key_new", lineage_id="key_s"),
        a_rotation(old_key_id="key_s", lineage_id="key_s"),
    )
    assert (await _taken(house, present)).rotations == 0
    assert (await house.key("key_s")).retires_at is None


async def test_what_is_left_behind_is_counted(house: House) -> None:
    link = Delivery(
        delivery_id="del_a",
        digest=b"d" * 32,
        key_id="key_a",
        tenant_id="ten_a",
        created_at=1.0,
        expires_at=1e10,
    )
    present = await _present(a_key("key_a"), a_token("adm_a"))
    await present.commit(
        [
            Write(link),
            Write(replace(link, delivery_id="del_b", digest=b"e" * 32, redeemed_at=2.0)),
            Write(a_token("adm_new")),
            Write(a_token("adm_ended", revoked_at=1.0)),
        ]
    )
    assert await _taken(house, present) == TakenOver(links_left=1, admin_tokens_left=1)
