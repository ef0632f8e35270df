from __future__ import annotations

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyState
from gateway.domain.rotations import RotationState
from gateway.domain.withdrawal import Withdrawals
from gateway.keyring.ledger import NotFound, Stale
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, House

LEAKED = an_order("found on a paste site")


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


async def test_a_compromised_key_is_revoked_replaced_and_written_up_in_one_transaction(
    house: House,
) -> None:
    """HP-12."""
    key = (await house.minted(scopes=("write",), tags=("a",), metadata={"n": 1})).record
    before, since = await house.store.revision(), house.clock.now() - 3_600
    done = await house.keyring.incidents.compromise(key.key_id, LEAKED, since=since)
    assert await house.store.revision() == before + 3  # replacement, key, incident
    assert (done.revoked.state, done.revoked.state_reason) == (KeyState.REVOKED, LEAKED.reason)
    assert done.minted is not None
    new = done.minted.record
    names = ("tenant_id", "name", "scopes", "tags", "metadata", "environment", "lineage_id")
    assert [getattr(new, name) for name in names] == [getattr(key, name) for name in names]
    assert await house.keyring.find_key(done.minted.secret.encode()) == new
    incident = done.incident
    assert (incident.key_id, incident.replacement_key_id) == (key.key_id, new.key_id)
    assert (incident.since, incident.opened_at) == (since, house.clock.now())
    assert (incident.opened_by, incident.reason) == ("tester", LEAKED.reason)
    assert await house.keyring.incidents.get(incident.incident_id) == incident
    assert house.events == [
        ChangeType.KEY_CREATED,
        ChangeType.KEY_COMPROMISED,
        ChangeType.KEY_REVOKED,
    ]
    assert {change.reason for change in house.changes} == {LEAKED.reason}
    assert done.minted.secret[12:-4] not in f"{house.changes!r}{done!r}"


async def test_a_compromise_cuts_what_the_key_had_opened(house: House) -> None:
    key = (await house.minted()).record
    await house.keyring.incidents.compromise(key.key_id, LEAKED, since=0.0)
    condemned = house.condemned[-1]
    assert isinstance(condemned, Withdrawals)
    assert [part.key_id for part in condemned.parts] == [key.key_id]


async def test_a_replacement_is_made_only_when_it_is_wanted(house: House) -> None:
    key = (await house.minted()).record
    done = await house.keyring.incidents.compromise(
        key.key_id, LEAKED, since=0.0, with_replacement=False
    )
    assert (done.minted, done.incident.replacement_key_id) == (None, "")
    assert house.events == [ChangeType.KEY_COMPROMISED, ChangeType.KEY_REVOKED]


async def test_a_key_that_was_revoked_before_may_turn_out_to_be_compromised(house: House) -> None:
    await house.store.save_key(a_key(format="sk", state=KeyState.REVOKED, revoked_at=1.0))
    done = await house.keyring.incidents.compromise("key_a", LEAKED, since=0.0)
    assert done.revoked.revoked_at == 1.0
    assert house.events == [ChangeType.KEY_CREATED, ChangeType.KEY_COMPROMISED]


async def test_compromising_a_key_in_rotation_ends_the_rotation(house: House) -> None:
    key_id = (await house.minted()).record.key_id
    rotated = await house.keyring.rotations.start(key_id, ORDER)
    await house.keyring.incidents.compromise(rotated.new.key_id, LEAKED, since=0.0)
    rotation = await house.keyring.rotations.get(rotated.rotation.rotation_id)
    assert rotation.state is RotationState.ABORTED
    assert (await house.key(key_id)).state is KeyState.ACTIVE


@pytest.mark.parametrize(
    ("reason", "seconds", "pointers"),
    [("", 0.0, ["/reason"]), ("leaked", 1.0, ["/since"]), (" ", 1.0, ["/reason", "/since"])],
)
async def test_a_reason_and_a_time_that_was_are_mandatory(
    house: House, reason: str, seconds: float, pointers: list[str]
) -> None:
    """IV-28."""
    key = (await house.minted()).record
    since = house.clock.now() + seconds
    with pytest.raises(Refused) as caught:
        await house.keyring.incidents.compromise(key.key_id, an_order(reason), since=since)
    assert [pointer for pointer, _ in caught.value.problems] == pointers
    assert await house.key(key.key_id) == key


async def test_a_dry_run_of_a_compromise_shows_no_secret_and_changes_nothing(house: House) -> None:
    key = (await house.minted()).record
    order = an_order("leaked", is_dry_run=True)
    done = await house.keyring.incidents.compromise(key.key_id, order, since=0.0)
    assert done.minted is not None
    assert (done.minted.secret, done.enforced) == ("", None)
    assert await house.key(key.key_id) == key
    assert (await house.keyring.incidents.page()).records == []


async def test_incidents_are_found_by_tenant_and_key(house: House) -> None:
    incidents = house.keyring.incidents
    keys = [(await house.minted()).record.key_id for _ in range(2)]
    for key_id in keys:
        house.clock.advance(DAY)
        await incidents.compromise(key_id, LEAKED, since=0.0)
    assert len((await incidents.page(tenant_id="ten_a")).records) == 2
    assert [each.key_id for each in (await incidents.page(key_id=keys[0])).records] == keys[:1]
    assert (await incidents.page(tenant_id="ten_b")).records == []
    with pytest.raises(NotFound):
        await incidents.get("inc_x")
    with pytest.raises(Stale):
        await incidents.compromise(keys[0], an_order("x", expected_revision=1), since=0.0)
