from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.denial import Reason
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyState
from gateway.domain.policies import KeyMatch, LifetimeRule, PolicyRules
from gateway.domain.rotations import RotationState
from gateway.keyring.ledger import NotFound, Stale
from gateway.keyring.rotations import Rotated
from gateway.ports import Conflict
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, House

SETTINGS: dict[str, Any] = {
    "name": "Billing export",
    "scopes": ("read", "jobs:write"),
    "ip_allowlist": ("203.0.113.0/24",),
    "ip_allowlist_mode": "shadow",
    "plan": "pro",
    "tags": ("a", "b"),
    "metadata": {"owner": {"team": "x"}},
    "kind": "multi_tenant",
    "tenants": ("ten_b",),
    "environment": "test",
    "template": "ci",
}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    await house.store.save_tenant(a_tenant("ten_b"))
    return house


async def _started(house: House, **values: Any) -> Rotated:
    key_id = (await house.minted()).record.key_id
    return await house.keyring.rotations.start(key_id, an_order("quarterly"), **values)


async def test_a_rotation_gives_a_new_key_with_the_same_settings_and_lineage(house: House) -> None:
    """IV-17, D3: scopes, addresses, limits, metadata, tags, type, environment; never a later end."""
    end = house.clock.now() + 30 * DAY
    old = (await house.minted(**SETTINGS, expires_at=end)).record
    house.clock.advance(DAY)
    rotated = await house.keyring.rotations.start(old.key_id, ORDER)
    new = rotated.new
    names = (*SETTINGS, "tenant_id", "lineage_id", "format", "expires_at")
    assert {name: getattr(new, name) for name in names} == {
        name: getattr(old, name) for name in names
    }
    assert new.kind is KeyKind.MULTI_TENANT
    assert (new.state, new.created_at) == (KeyState.ACTIVE, house.clock.now())
    assert new.key_id != old.key_id
    assert await house.keyring.find_key(rotated.secret.encode()) == new
    assert (rotated.old.state, rotated.old.retires_at) == (
        KeyState.ROTATING,
        house.clock.now() + 7 * DAY,
    )


async def test_both_keys_work_until_the_deadline_and_then_only_the_new_one(house: House) -> None:
    """HP-11: completion by deadline, by the clock and not by who looks at it."""
    rotated = await _started(house, grace_seconds=60.0)
    for seconds, old, new in ((0, None, None), (59.5, None, None), (0.5, Reason.KEY_REVOKED, None)):
        house.clock.advance(seconds)
        now = house.clock.now()
        assert (rotated.old.refusal_at(now), rotated.new.refusal_at(now)) == (old, new)


async def test_a_start_is_told_and_committed_as_a_whole(house: House) -> None:
    rotated = await _started(house)
    assert house.events == [ChangeType.KEY_CREATED, ChangeType.KEY_ROTATION_STARTED]
    created, started = house.changes
    assert created.key_id == rotated.new.key_id
    assert (started.key_id, started.subject_id) == (
        rotated.old.key_id,
        rotated.rotation.rotation_id,
    )
    assert started.after["state"] is KeyState.ROTATING
    assert rotated.rotation.reason == started.reason == "quarterly"
    assert rotated.secret[12:-4] not in f"{house.changes!r}{rotated!r}"
    assert await house.told() == ["key.created", "key.created", "key.rotation_started"]


async def test_without_grace_the_old_key_ends_in_the_same_transaction(house: House) -> None:
    key_id = (await house.minted()).record.key_id
    before = await house.store.revision()
    rotated = await house.keyring.rotations.start(key_id, ORDER, grace_seconds=0)
    assert rotated.old.state is KeyState.REVOKED
    assert (rotated.rotation.state, rotated.rotation.ended_by) == (
        RotationState.COMPLETED,
        "deadline",
    )
    assert await house.store.revision() == before + 3  # new key, old key, rotation: each once
    assert house.events == [
        ChangeType.KEY_CREATED,
        ChangeType.KEY_ROTATION_STARTED,
        ChangeType.KEY_REVOKED,
        ChangeType.KEY_ROTATION_COMPLETED,
    ]
    assert house.condemned[-1] is not None


async def test_completing_revokes_the_old_key_and_nothing_else(house: House) -> None:
    rotated = await _started(house)
    house.forget()
    rotations = house.keyring.rotations
    done = await rotations.complete(rotated.rotation.rotation_id, ORDER)
    assert (done.record.state, done.record.ended_by) == (RotationState.COMPLETED, "operator")
    assert done.record.ended_at == house.clock.now()
    old = await house.key(rotated.old.key_id)
    assert (old.state, old.retires_at) == (KeyState.REVOKED, None)
    assert old.state_reason == "its rotation is complete"
    assert await house.key(rotated.new.key_id) == rotated.new
    assert house.events == [ChangeType.KEY_REVOKED, ChangeType.KEY_ROTATION_COMPLETED]
    assert {change.key_id for change in house.changes} == {old.key_id}
    again = await rotations.complete(rotated.rotation.rotation_id, ORDER)
    assert (again.record, again.enforced) == (done.record, None)
    with pytest.raises(Conflict, match="is completed"):
        await rotations.abort(rotated.rotation.rotation_id, ORDER)


async def test_aborting_revokes_the_new_key_and_the_old_one_goes_on_as_before(
    house: House,
) -> None:
    """D3: abort before completion."""
    old = (await house.minted()).record
    rotated = await house.keyring.rotations.start(old.key_id, ORDER)
    house.forget()
    rotations = house.keyring.rotations
    done = await rotations.abort(rotated.rotation.rotation_id, an_order("wrong key"))
    assert (done.record.state, done.record.ended_by) == (RotationState.ABORTED, "operator")
    assert (await house.key(rotated.new.key_id)).state is KeyState.REVOKED
    kept = await house.key(old.key_id)
    assert replace(kept, revision=0, state_reason="") == replace(old, revision=0)
    assert house.events == [ChangeType.KEY_ROTATION_ABORTED, ChangeType.KEY_REVOKED]
    assert (await rotations.abort(done.record.rotation_id, ORDER)).record == done.record
    with pytest.raises(Conflict, match="is aborted"):
        await rotations.complete(done.record.rotation_id, ORDER)
    assert (await rotations.start(old.key_id, ORDER)).old.state is KeyState.ROTATING


async def test_a_rotation_whose_deadline_is_over_cannot_be_aborted(house: House) -> None:
    """Whoever was refused at the deadline stays refused."""
    rotated = await _started(house, grace_seconds=60.0)
    house.clock.advance(60)
    with pytest.raises(Conflict, match=r"the deadline .* is over"):
        await house.keyring.rotations.abort(rotated.rotation.rotation_id, ORDER)


@pytest.mark.parametrize(
    ("member", "state", "other"),
    [
        ("old", RotationState.COMPLETED, KeyState.ACTIVE),
        ("new", RotationState.ABORTED, KeyState.ACTIVE),
    ],
)
@pytest.mark.parametrize("verb", ["revoke_key", "delete_key"])
async def test_revoking_either_key_ends_the_rotation(
    house: House, verb: str, member: str, state: RotationState, other: KeyState
) -> None:
    """The other key lives: nobody is left without a key by revoking one of two."""
    rotated = await _started(house)
    keys = {"old": rotated.old.key_id, "new": rotated.new.key_id}
    await getattr(house.keyring, verb)(keys.pop(member), an_order("leaked"))
    rotation = await house.keyring.rotations.get(rotated.rotation.rotation_id)
    assert (rotation.state, rotation.ended_by) == (state, "revoked")
    [remaining] = [await house.key(each) for each in keys.values()]
    assert (remaining.state, remaining.retires_at) == (other, None)


async def test_suspension_and_rotation_go_beside_each_other(house: House) -> None:
    rotated = await _started(house, grace_seconds=60.0)
    key_id = rotated.old.key_id
    suspended = (await house.keyring.suspend_key(key_id, an_order("odd"))).record
    assert (suspended.state, suspended.retires_at) == (
        KeyState.SUSPENDED,
        rotated.rotation.deadline,
    )
    resumed = (await house.keyring.resume_key(key_id, ORDER)).record
    assert resumed.state is KeyState.ROTATING
    await house.keyring.suspend_key(key_id, an_order("odd"))
    await house.keyring.rotations.abort(rotated.rotation.rotation_id, ORDER)
    still = await house.key(key_id)
    assert (still.state, still.retires_at) == (KeyState.SUSPENDED, None)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (KeyState.SUSPENDED, "it is suspended"),
        (KeyState.REVOKED, "it is revoked"),
        (KeyState.EXPIRED, "it is expired"),
    ],
)
async def test_only_a_key_in_use_is_rotated(house: House, state: KeyState, text: str) -> None:
    await house.store.save_key(a_key(format="sk", state=state))
    with pytest.raises(Conflict, match=text):
        await house.keyring.rotations.start("key_a", ORDER)


async def test_a_key_is_part_of_one_rotation_at_a_time(house: House) -> None:
    rotated = await _started(house)
    rotations = house.keyring.rotations
    with pytest.raises(Conflict, match="it is rotating"):
        await rotations.start(rotated.old.key_id, ORDER)
    with pytest.raises(Conflict, match="is part of rotation"):
        await rotations.start(rotated.new.key_id, ORDER)
    await rotations.complete(rotated.rotation.rotation_id, ORDER)
    assert (await rotations.start(rotated.new.key_id, ORDER)).new.lineage_id == (
        rotated.old.lineage_id
    )


async def test_of_two_who_start_at_once_one_wins(house: House) -> None:
    key_id = (await house.minted()).record.key_id
    rotations = house.keyring.rotations
    outcomes = await asyncio.gather(
        *(rotations.start(key_id, ORDER) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "Conflict", "Rotated"]
    assert len((await rotations.page()).records) == 1


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"grace_seconds": -1.0}, "/grace_seconds"),
        ({"grace_seconds": 367 * DAY}, "/grace_seconds"),
        ({"idle_seconds": 4.9}, "/idle_seconds"),
        ({"idle_seconds": 367 * DAY}, "/idle_seconds"),
        ({"grace_seconds": float("nan")}, "/grace_seconds"),
        ({"delivery_seconds": 0.0}, "/delivery_seconds"),
    ],
)
async def test_times_that_make_no_sense_are_refused(
    house: House, values: dict[str, float], pointer: str
) -> None:
    with pytest.raises(Refused, match=pointer):
        await _started(house, **values)
    assert house.events == []


async def test_a_dry_run_shows_what_would_be_and_changes_nothing(house: House) -> None:
    key = (await house.minted()).record
    order = an_order(is_dry_run=True)
    rotated = await house.keyring.rotations.start(key.key_id, order, delivery_seconds=60.0)
    assert (rotated.secret, rotated.delivery_token, rotated.enforced) == ("", "", None)
    assert rotated.old.state is KeyState.ROTATING
    assert await house.key(key.key_id) == key
    assert (await house.keyring.rotations.page()).records == []


async def test_an_order_about_another_revision_is_stale(house: House) -> None:
    rotated = await _started(house)
    rotations, rotation = house.keyring.rotations, rotated.rotation
    stale = an_order(expected_revision=rotation.revision + 1)
    for act in (rotations.complete, rotations.abort):
        with pytest.raises(Stale):
            await act(rotation.rotation_id, stale)
    with pytest.raises(Stale):
        await rotations.start(rotated.new.key_id, an_order(expected_revision=1))
    seen = an_order(expected_revision=rotation.revision)
    assert (await rotations.complete(rotation.rotation_id, seen)).record.ended_by == "operator"


async def test_rotations_are_found_by_tenant_state_and_lineage(house: House) -> None:
    first, second = await _started(house), await _started(house)
    rotations = house.keyring.rotations
    await rotations.complete(first.rotation.rotation_id, ORDER)

    async def ids(**where: Any) -> set[str]:
        return {each.rotation_id for each in (await rotations.page(**where)).records}

    one, two = first.rotation.rotation_id, second.rotation.rotation_id
    assert await ids() == await ids(tenant_id="ten_a") == {one, two}
    assert await ids(tenant_id="ten_b") == set()
    assert await ids(state="pending") == {two}
    assert await ids(lineage_id=first.old.lineage_id) == {one}
    with pytest.raises(NotFound, match="rotation 'rot_x'"):
        await rotations.get("rot_x")


async def test_an_imported_key_is_replaced_by_one_that_is_minted_here(house: House) -> None:
    """Moving over from another system: its keys are rotated into our format, one by one."""
    await house.store.save_key(a_key(format="imported", environment="live"))
    rotated = await house.keyring.rotations.start("key_a", ORDER)
    assert (rotated.new.format, rotated.new.lineage_id) == ("sk", "lin_key_a")
    assert rotated.secret.startswith("sk_live_")


async def test_a_key_whose_environment_nothing_mints_for_is_not_rotated(house: House) -> None:
    await house.store.save_key(a_key(format="imported", environment="gone"))
    with pytest.raises(
        Refused, match="/format: no format mints keys for environment 'gone', or several do"
    ):
        await house.keyring.rotations.start("key_a", ORDER)


async def test_rotating_brings_a_key_without_an_end_under_the_policy() -> None:
    """IV-16: the successor of a key that lives for ever lives as long as it may."""
    rule = LifetimeRule(match=KeyMatch(scopes=("*:write",)), seconds_max=90 * DAY)
    house = House(policies=PolicyRules(expiry=(rule,), rotation_grace_seconds=60.0))
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key(format="sk", scopes=("write",), expires_at=None))
    rotated = await house.keyring.rotations.start("key_a", ORDER)
    assert rotated.new.expires_at == house.clock.now() + 90 * DAY
    assert rotated.rotation.deadline == house.clock.now() + 60


async def test_extending_a_key_whose_rotation_is_over_does_not_bring_it_back(house: House) -> None:
    key = (await house.minted(expires_at=house.clock.now() + 50)).record
    rotated = await house.keyring.rotations.start(key.key_id, ORDER, grace_seconds=60.0)
    house.clock.advance(55)  # expired, and still in rotation
    later = house.clock.now() + DAY
    extended = (await house.keyring.extend_key(key.key_id, later, ORDER)).record
    assert extended.state is KeyState.ROTATING
    house.clock.advance(2 * DAY)
    with pytest.raises(Conflict, match="its rotation has ended"):
        await house.keyring.extend_key(rotated.old.key_id, house.clock.now() + DAY, ORDER)
