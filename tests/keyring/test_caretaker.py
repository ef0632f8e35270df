from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.domain.change import Change, ChangeType
from gateway.domain.keys import KeyState
from gateway.domain.rotations import RotationState
from gateway.domain.withdrawal import Withdrawals
from gateway.keyring.caretaker import LOOK_SECONDS, Caretaker
from gateway.keyring.rotations import Rotated
from gateway.ports import Conflict, Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, House

HOUR = 3_600.0


def _caretaker(house: House) -> Caretaker:
    return Caretaker(lambda: house.keyring, house.store, house.clock)


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


async def _used(house: House, key_id: str) -> None:
    await house.store.touch({key_id: house.clock.now()})


async def _rotating(house: House, **values: Any) -> Rotated:
    key_id = (await house.minted()).record.key_id
    rotated = await house.keyring.rotations.start(key_id, ORDER, **values)
    house.forget()
    return rotated


# Keys


async def test_an_expiry_is_told_once_whoever_looks_how_often(house: House) -> None:
    await house.store.save_key(a_key(expires_at=house.clock.now() + 10))
    for seconds in (0, 9.5, 0.5, 1, 1):
        house.clock.advance(seconds)
        await _caretaker(house).look_after()  # a new one each time: as after a restart
    [change] = house.changes
    assert (change.type, change.key_id, change.actor.kind) == (
        ChangeType.KEY_EXPIRED,
        "key_a",
        "system",
    )
    assert change.after["state"] is KeyState.EXPIRED
    assert await house.told() == ["key.expired"]
    assert (await house.key("key_a")).state is KeyState.EXPIRED


async def test_an_expiry_cuts_what_the_key_had_opened(house: House) -> None:
    await house.store.save_key(a_key(expires_at=house.clock.now()))
    await _caretaker(house).look_after()
    [condemned] = house.condemned
    assert isinstance(condemned, Withdrawals)
    assert [(part.key_id, part.refusal) for part in condemned.parts] == [("key_a", "key_expired")]
    assert house.invalidated == ["key_a"]


async def test_what_came_due_while_nobody_was_there_is_made_up_for(house: House) -> None:
    """D6: a gateway that was down for a week tells of what happened in between."""
    now = house.clock.now()
    await house.store.save_key(a_key("key_1", expires_at=now + 1))
    await house.store.save_key(a_key("key_2", state=KeyState.SUSPENDED, resume_at=now + 2))
    rotated = await _rotating(house, grace_seconds=3.0)
    house.clock.advance(7 * DAY)
    await _caretaker(house).look_after()
    states = [(await house.key(each)).state for each in ("key_1", "key_2", rotated.old.key_id)]
    assert states == [KeyState.EXPIRED, KeyState.ACTIVE, KeyState.REVOKED]


async def test_a_suspension_that_is_over_is_told_as_resumed_by_the_system(house: House) -> None:
    """IV-21."""
    key = (await house.minted()).record
    await house.keyring.suspend_key(key.key_id, an_order("maintenance"), house.clock.now() + 60)
    house.forget()
    house.clock.advance(60)
    await _caretaker(house).look_after()
    [change] = house.changes
    assert (change.type, change.actor.kind) == (ChangeType.KEY_RESUMED, "system")
    resumed = await house.key(key.key_id)
    assert (resumed.state, resumed.resume_at) == (KeyState.ACTIVE, None)


async def test_a_key_that_expired_while_it_was_suspended_stays_so_when_it_is_extended(
    house: House,
) -> None:
    now = house.clock.now()
    await house.store.save_key(a_key(state=KeyState.SUSPENDED, expires_at=now))
    await _caretaker(house).look_after()
    expired = await house.key("key_a")
    assert (expired.state, expired.is_held) == (KeyState.EXPIRED, True)
    extended = (await house.keyring.extend_key("key_a", now + DAY, ORDER)).record
    assert extended.state is KeyState.SUSPENDED


async def test_an_expired_key_whose_rotation_is_over_is_revoked(house: House) -> None:
    key = (await house.minted(expires_at=house.clock.now() + 5)).record
    rotated = await house.keyring.rotations.start(key.key_id, ORDER, grace_seconds=10.0)
    house.forget()
    for seconds in (5, 5):
        house.clock.advance(seconds)
        await _caretaker(house).look_after()
    told = [(change.type, change.key_id) for change in house.changes]
    assert (ChangeType.KEY_EXPIRED, key.key_id) in told
    assert told[-2:] == [
        (ChangeType.KEY_REVOKED, key.key_id),
        (ChangeType.KEY_ROTATION_COMPLETED, key.key_id),
    ]
    assert (await house.key(rotated.old.key_id)).state is KeyState.REVOKED


async def test_a_retired_key_without_a_rotation_is_revoked_all_the_same(house: House) -> None:
    await house.store.save_key(a_key(state=KeyState.ROTATING, retires_at=house.clock.now()))
    await _caretaker(house).look_after()
    assert (await house.key("key_a")).state is KeyState.REVOKED


async def test_writing_down_what_is_not_due_changes_nothing(house: House) -> None:
    await house.store.save_key(a_key("key_1"))
    await house.store.save_key(a_key("key_2", state=KeyState.REVOKED, expires_at=1.0))
    for key_id in ("key_1", "key_2"):
        before = await house.key(key_id)
        assert (await house.keyring.lapses.record(key_id)).record == before
    assert house.changes == []


class Counting(MemoryStore):
    """Counts transactions; `on_commit` is called before each."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.on_commit: Callable[[Sequence[Write]], None] = lambda _: None

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        self.on_commit(writes)
        self.sizes.append(len(writes))
        return await super().commit(writes, changes)


async def _expired(store: Counting, count: int) -> House:
    """Return a house with so many keys that have just expired."""
    house = House(store)
    await store.save_tenant(a_tenant())
    for number in range(count):
        await store.save_key(a_key(f"key_{number:04}", expires_at=house.clock.now()))
    store.sizes.clear()
    return house


async def test_many_keys_that_expire_together_are_written_down_together() -> None:
    store = Counting()
    house = await _expired(store, 12)
    looks = Caretaker(lambda: house.keyring, house.store, house.clock, keys_per_act=5)
    await looks.look_after()
    assert store.sizes == [5, 5, 2]
    assert {change.key_id for change in house.changes} == {f"key_{n:04}" for n in range(12)}
    assert await house.told() == ["key.expired"] * 12
    assert len(house.invalidated) == 12
    assert [
        len(condemn.parts) for condemn in house.condemned if isinstance(condemn, Withdrawals)
    ] == [
        5,
        5,
        2,
    ]
    await looks.look_after()
    assert len(house.changes) == 12


async def test_a_look_that_takes_long_lets_rotations_have_their_turn_and_the_next_goes_on() -> None:
    store = Counting()
    house = await _expired(store, 12)
    rotated = await _rotating(house)
    await _used(house, rotated.new.key_id)
    store.on_commit = lambda _: house.clock.advance(0.6 * LOOK_SECONDS)
    store.sizes.clear()
    looks = Caretaker(lambda: house.keyring, house.store, house.clock, keys_per_act=2)
    await looks.look_after()
    assert store.sizes == [2, 2, 1]  # two acts took the time, then the rotation
    assert looks.is_behind
    store.on_commit = lambda _: None
    await looks.look_after()
    assert not looks.is_behind
    assert len({change.key_id for change in house.changes}) == 12


async def test_a_key_that_cannot_be_written_down_stands_in_nobody_s_way() -> None:
    def refuse(writes: Sequence[Write]) -> None:
        if any(getattr(each.record, "key_id", "") in ("key_0000", "key_0001") for each in writes):
            raise Conflict("changed by someone else")

    store = Counting()
    house = await _expired(store, 9)
    store.on_commit = refuse
    looks = Caretaker(lambda: house.keyring, house.store, house.clock, keys_per_act=3)
    await looks.look_after()
    assert {change.key_id for change in house.changes} == {f"key_{n:04}" for n in range(2, 9)}
    store.on_commit = lambda _: None
    await looks.look_after()
    assert len({change.key_id for change in house.changes}) == 9


async def test_a_look_ends_when_nothing_can_be_written_down() -> None:
    def refuse(_: Sequence[Write]) -> None:
        raise Conflict("changed by someone else")

    store = Counting()
    house = await _expired(store, 9)
    store.on_commit = refuse
    await Caretaker(lambda: house.keyring, house.store, house.clock, keys_per_act=3).look_after()
    assert house.changes == []


# Rotations


async def test_a_rotation_overlaps_once_the_new_key_was_used(house: House) -> None:
    """HP-11: pending, then overlapping."""
    rotated = await _rotating(house)
    looks, rotations = _caretaker(house), house.keyring.rotations

    async def state() -> RotationState:
        await looks.look_after()
        return (await rotations.get(rotated.rotation.rotation_id)).state

    await _used(house, rotated.old.key_id)
    assert await state() is RotationState.PENDING
    await _used(house, rotated.new.key_id)
    assert await state() is RotationState.OVERLAPPING
    assert await state() is RotationState.OVERLAPPING
    assert house.changes == []


async def test_a_rotation_is_complete_when_the_old_key_is_not_used_any_more(house: House) -> None:
    """D3: auto-complete when the old one has been idle, IV-17: monitor until traffic moved."""
    rotated = await _rotating(house, idle_seconds=HOUR)
    looks = _caretaker(house)

    async def rotation() -> tuple[RotationState, str]:
        await looks.look_after()
        found = await house.keyring.rotations.get(rotated.rotation.rotation_id)
        return found.state, found.ended_by

    house.clock.advance(2 * HOUR)  # idle, but nobody has used the new key: it is not deployed
    assert await rotation() == (RotationState.PENDING, "")
    await _used(house, rotated.new.key_id)
    await _used(house, rotated.old.key_id)  # somebody has not moved yet
    assert await rotation() == (RotationState.OVERLAPPING, "")
    house.clock.advance(HOUR - 1)
    assert await rotation() == (RotationState.OVERLAPPING, "")
    house.clock.advance(1)
    assert await rotation() == (RotationState.COMPLETED, "idle")
    assert (await house.key(rotated.old.key_id)).state is KeyState.REVOKED
    assert house.events == [ChangeType.KEY_REVOKED, ChangeType.KEY_ROTATION_COMPLETED]


async def test_a_key_that_was_idle_before_its_rotation_is_given_the_time_all_the_same(
    house: House,
) -> None:
    """A key that is used once a month must not end an hour after its rotation began."""
    key = (await house.minted()).record
    await _used(house, key.key_id)
    house.clock.advance(10 * DAY)
    rotated = await house.keyring.rotations.start(key.key_id, ORDER, idle_seconds=HOUR)
    await _used(house, rotated.new.key_id)
    await _caretaker(house).look_after()
    assert (await house.key(key.key_id)).state is KeyState.ROTATING


async def test_the_deadline_ends_a_rotation_that_is_not_idle(house: House) -> None:
    """D3: the deadline as backstop."""
    rotated = await _rotating(house, grace_seconds=60.0, idle_seconds=HOUR)
    house.clock.advance(60)
    await _used(house, rotated.new.key_id)
    await _used(house, rotated.old.key_id)
    await _caretaker(house).look_after()
    ended = await house.keyring.rotations.get(rotated.rotation.rotation_id)
    assert (ended.state, ended.ended_by) == (RotationState.COMPLETED, "deadline")
    assert house.condemned[-1] is not None


async def test_every_rotation_has_its_turn(house: House) -> None:
    rotated = [await _rotating(house) for _ in range(5)]
    looks = Caretaker(lambda: house.keyring, house.store, house.clock, rotations_per_look=2)
    for each in rotated:
        await _used(house, each.new.key_id)
    for _ in range(4):
        await looks.look_after()
    found = (await house.keyring.rotations.page(state="overlapping")).records
    assert len(found) == 5


# Trouble


async def test_a_change_that_is_lost_to_another_is_left_to_the_next_look() -> None:
    class Racing(MemoryStore):
        races = 0

        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            if self.races:
                self.races -= 1
                raise Conflict("changed by someone else")
            return await super().commit(writes, changes)

    store = Racing()
    house = House(store)
    await store.save_tenant(a_tenant())
    await store.save_key(a_key(expires_at=house.clock.now()))
    store.races = 5
    looks = _caretaker(house)
    await looks.look_after()
    assert house.changes == []
    await looks.look_after()
    assert house.events == [ChangeType.KEY_EXPIRED]


async def test_a_store_that_is_down_is_told_and_nothing_is_lost() -> None:
    class Down(MemoryStore):
        is_down = False

        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            if self.is_down:
                raise StoreUnavailable("no answer in time")
            return await super().commit(writes, changes)

    store = Down()
    house = House(store)
    await store.save_tenant(a_tenant())
    await store.save_key(a_key(expires_at=house.clock.now()))
    store.is_down = True
    looks = _caretaker(house)
    with pytest.raises(StoreUnavailable):
        await looks.look_after()
    store.is_down = False
    await looks.look_after()
    assert house.events == [ChangeType.KEY_EXPIRED]
