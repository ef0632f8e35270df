from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.ports import Conflict
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, PEPPERS, House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


def _imported(**changes: Any) -> KeyRecord:
    values = {"format": "imported", "pepper_id": "p1", "scopes": ("read",), "created_at": 0.0}
    return a_key("acme-ci", **(values | changes))


async def test_importing_is_safe_to_repeat(house: House) -> None:
    first = (await house.keyring.import_key(_imported(), ORDER)).record
    assert first.created_at == house.clock.now()
    again = (await house.keyring.import_key(_imported(), ORDER)).record
    assert again == first
    assert house.events == [ChangeType.KEY_CREATED]


async def test_importing_changed_settings_updates_the_key(house: House) -> None:
    await house.keyring.import_key(_imported(), ORDER)
    house.forget()
    changed = (await house.keyring.import_key(_imported(scopes=("write",)), ORDER)).record
    assert changed.scopes == ("write",)
    assert house.events == [ChangeType.KEY_SCOPES_CHANGED]


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.REVOKED])
async def test_importing_never_brings_a_key_back(house: House, state: KeyState) -> None:
    await house.keyring.import_key(_imported(), ORDER)
    if state is KeyState.REVOKED:
        await house.keyring.revoke_key("acme-ci", an_order("leaked"))
    else:
        await house.keyring.suspend_key("acme-ci", an_order("odd"))
    again = (await house.keyring.import_key(_imported(name="New name"), ORDER)).record
    assert again.state is state


async def test_an_import_that_has_expired_is_no_reason_not_to_start(house: House) -> None:
    record = (await house.keyring.import_key(_imported(expires_at=1.0), ORDER)).record
    assert house.keyring.state_of(record) is KeyState.EXPIRED


async def test_importing_another_secret_under_a_known_id_is_refused(house: House) -> None:
    await house.keyring.import_key(_imported(), ORDER)
    await house.store.save_tenant(a_tenant("ten_b"))
    with pytest.raises(Conflict, match="another tenant_id, digest: use another id"):
        await house.keyring.import_key(_imported(tenant_id="ten_b", digest=bytes(32)), ORDER)


async def test_an_import_that_cannot_work_is_refused_with_every_reason(house: House) -> None:
    record = _imported(
        tenant_id="ten_x", environment="dev", pepper_id="p9", digest=b"short", scopes=("x",)
    )
    with pytest.raises(Refused) as caught:
        await house.keyring.import_key(record, ORDER)
    assert [pointer for pointer, _ in caught.value.problems] == [
        *("/scopes/0", "/environment", "/pepper_id", "/digest", "/tenant_id")
    ]
    with pytest.raises(Refused, match="unknown format 'x'"):
        await house.keyring.import_key(_imported(format="x"), ORDER)


async def test_a_key_moves_to_the_current_pepper_without_being_reissued(house: House) -> None:
    """HT-2."""
    token = b"token-of-another-system"
    (_, new), (_, old) = PEPPERS.digests(token)
    record = (await house.keyring.import_key(_imported(digest=old), ORDER)).record
    house.forget()
    await house.keyring.rekey(record, new, "p2")
    found = await house.keyring.find_key(token)
    assert found is not None
    assert (found.digest, found.pepper_id) == (new, "p2")
    assert (house.changes, house.invalidated) == ([], ["acme-ci"])
    again = (await house.keyring.import_key(_imported(digest=old), ORDER)).record  # the next start
    assert (again.digest, again.pepper_id) == (new, "p2")


async def test_a_key_is_not_moved_to_a_pepper_that_is_no_longer_the_current_one(
    house: House,
) -> None:
    record = (await house.keyring.import_key(_imported(), ORDER)).record
    await house.keyring.rekey(record, bytes(32), "p1")
    assert await house.keyring.get_key("acme-ci") == record


async def test_a_key_that_changed_meanwhile_is_not_rekeyed(house: House) -> None:
    record = (await house.keyring.import_key(_imported(), ORDER)).record
    await house.keyring.revoke_key("acme-ci", an_order("leaked"))
    with pytest.raises(Conflict):
        await house.keyring.rekey(record, bytes(32), "p2")
    revoked = await house.keyring.get_key("acme-ci")
    await house.keyring.rekey(revoked, bytes(32), "p2")
    assert await house.keyring.get_key("acme-ci") == revoked


async def test_importing_a_later_end_never_brings_an_expired_key_back(house: House) -> None:
    now = house.clock.now()
    await house.keyring.import_key(_imported(expires_at=now + DAY), ORDER)
    house.clock.advance(2 * DAY)
    for _ in range(2):
        later = _imported(expires_at=now + 9 * DAY)
        again = (await house.keyring.import_key(later, ORDER)).record
        assert house.keyring.state_of(again) is KeyState.EXPIRED
        await house.keyring.lapses.record("acme-ci")


async def test_an_import_without_a_tenant_is_refused(house: House) -> None:
    with pytest.raises(Refused, match="/tenant_id: there is no tenant 'ten_x'"):
        await house.keyring.import_key(_imported(tenant_id="ten_x"), ORDER)


async def test_importing_many_writes_only_what_differs(house: House) -> None:
    records = [_imported(), a_key("acme-web", format="imported", pepper_id="p1", scopes=("read",))]
    await house.keyring.import_keys(records, ORDER)
    house.forget()
    await house.keyring.import_keys([records[0], _renamed(records[1])], ORDER)
    assert house.events == [ChangeType.KEY_UPDATED]


def _renamed(record: KeyRecord) -> KeyRecord:
    return a_key(
        "acme-web", format="imported", pepper_id="p1", scopes=("read",), name=f"{record.name} 2"
    )


class LateStore(MemoryStore):
    """Does not see what somebody else has just written, the first time that it is asked."""

    is_late = True

    async def get_key(self, key_id: str) -> KeyRecord | None:
        is_late, self.is_late = self.is_late, False
        return None if is_late else await super().get_key(key_id)


async def test_an_import_that_another_gateway_was_faster_with_brings_its_key_up_to_date() -> None:
    house = House(LateStore())
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(_imported(created_at=1.0))
    found = (await house.keyring.import_key(_imported(name="New name"), ORDER)).record
    assert (found.name, found.created_at) == ("New name", 1.0)


async def test_an_import_whose_secret_belongs_to_another_key_is_no_lost_race(house: House) -> None:
    await house.keyring.import_key(_imported(), ORDER)
    other = a_key("other", format="imported", scopes=("read",), digest=_imported().digest)
    with pytest.raises(Conflict, match="same digest"):
        await house.keyring.import_key(other, ORDER)
