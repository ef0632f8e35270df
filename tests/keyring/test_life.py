"""Suspend, extend, delete: the verbs of a key's life one by one."""

from __future__ import annotations

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.denial import Reason
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyState
from gateway.domain.policies import LifetimeRule, PolicyRules
from gateway.domain.queries import ANY_KEY, KeyQuery
from gateway.keyring.ledger import Stale
from gateway.ports import Conflict
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


# Suspending for a time


async def test_a_suspended_key_works_again_when_its_time_has_come(house: House) -> None:
    """IV-21: an auto-resume time, kept by the clock."""
    key = (await house.minted()).record
    resume_at = house.clock.now() + 60
    order = an_order("maintenance")
    suspended = (await house.keyring.suspend_key(key.key_id, order, resume_at)).record
    assert suspended.refusal_at(resume_at - 0.1) is Reason.KEY_SUSPENDED
    assert suspended.refusal_at(resume_at) is None
    assert house.changes[-1].after["resume_at"] == resume_at


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e12])
async def test_a_time_to_resume_lies_ahead(house: House, seconds: float) -> None:
    key = (await house.minted()).record
    with pytest.raises(Refused, match="/resume_at"):
        await house.keyring.suspend_key(key.key_id, an_order("x"), house.clock.now() + seconds)


async def test_suspending_again_without_a_time_lasts_until_further_notice(house: House) -> None:
    """The last word counts: a key that looks odd must not come back because of last week's maintenance."""
    key = (await house.minted()).record
    await house.keyring.suspend_key(key.key_id, an_order("maintenance"), house.clock.now() + 60)
    again = (await house.keyring.suspend_key(key.key_id, an_order("looks odd"))).record
    assert (again.resume_at, again.state_reason) == (None, "looks odd")
    house.clock.advance(3_600)
    assert house.keyring.state_of(again) is KeyState.SUSPENDED
    house.forget()
    await house.keyring.suspend_key(key.key_id, an_order("still odd"))
    assert house.changes == []


async def test_resuming_by_hand_forgets_the_time(house: House) -> None:
    key = (await house.minted()).record
    await house.keyring.suspend_key(key.key_id, an_order("x"), house.clock.now() + 60)
    resumed = (await house.keyring.resume_key(key.key_id, ORDER)).record
    assert (resumed.state, resumed.resume_at) == (KeyState.ACTIVE, None)


# Extending


async def test_extending_brings_an_expired_key_back_and_is_told(house: House) -> None:
    """Section 7: expired to active by an explicit, audited extension."""
    now = house.clock.now()
    key = (await house.minted(expires_at=now + 60)).record
    house.clock.advance(60)
    assert house.keyring.state_of(key) is KeyState.EXPIRED
    extended = (await house.keyring.extend_key(key.key_id, now + DAY, an_order("ticket 7"))).record
    assert (extended.state, extended.expires_at) == (KeyState.ACTIVE, now + DAY)
    [change] = house.changes
    assert (change.type, change.reason) == (ChangeType.KEY_EXPIRATION_CHANGED, "ticket 7")
    assert (change.before["expires_at"], change.after["expires_at"]) == (now + 60, now + DAY)


async def test_an_expiry_that_was_written_down_is_taken_back_by_extending(house: House) -> None:
    now = house.clock.now()
    key = (await house.minted(expires_at=now + 60)).record
    house.clock.advance(60)
    assert (await house.keyring.lapses.record(key.key_id)).record.state is KeyState.EXPIRED
    assert (await house.keyring.extend_key(key.key_id, now + DAY, ORDER)).record.state is (
        KeyState.ACTIVE
    )
    assert house.changes[-1].before["state"] is KeyState.EXPIRED


@pytest.mark.parametrize("is_written_down", [False, True])
async def test_extending_does_not_lift_a_suspension(house: House, is_written_down: bool) -> None:
    now = house.clock.now()
    key = (await house.minted(expires_at=now + 60)).record
    await house.keyring.suspend_key(key.key_id, an_order("looks odd"))
    house.clock.advance(60)
    if is_written_down:
        await house.keyring.lapses.record(key.key_id)
    extended = (await house.keyring.extend_key(key.key_id, now + DAY, ORDER)).record
    assert (extended.state, extended.is_held) == (KeyState.SUSPENDED, False)


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.SUSPENDED])
async def test_a_key_may_be_extended_before_it_expires(house: House, state: KeyState) -> None:
    now = house.clock.now()
    await house.store.save_key(a_key(state=state, expires_at=now + 60))
    extended = (await house.keyring.extend_key("key_a", now + 120, ORDER)).record
    assert (extended.state, extended.expires_at) == (state, now + 120)


@pytest.mark.parametrize(("has", "wanted"), [(60.0, 30.0), (None, 60.0), (60.0, 0.0)])
async def test_extending_never_shortens_a_life(
    house: House, has: float | None, wanted: float
) -> None:
    now = house.clock.now()
    await house.store.save_key(a_key(expires_at=None if has is None else now + has))
    with pytest.raises(Refused, match="/expires_at"):
        await house.keyring.extend_key("key_a", now + wanted, ORDER)


async def test_a_revoked_key_is_not_extended(house: House) -> None:
    now = house.clock.now()
    await house.store.save_key(a_key(state=KeyState.REVOKED, expires_at=now - 1))
    with pytest.raises(Conflict, match="it is revoked"):
        await house.keyring.extend_key("key_a", now + 60, ORDER)


async def test_a_key_is_not_extended_beyond_the_policy() -> None:
    """IV-16."""
    house = House(policies=PolicyRules(expiry=(LifetimeRule(seconds_max=90 * DAY),)))
    await house.store.save_tenant(a_tenant())
    now = house.clock.now()
    await house.store.save_key(a_key(created_at=now, expires_at=now + DAY))
    extended = await house.keyring.extend_key("key_a", now + 90 * DAY, ORDER)
    assert extended.record.expires_at == now + 90 * DAY
    with pytest.raises(Refused, match="/expires_at: keys like this one live 90 days at most"):
        await house.keyring.extend_key("key_a", now + 91 * DAY, ORDER)


# Deleting


async def test_a_deleted_key_is_revoked_and_left_out_of_lists_but_kept(house: House) -> None:
    """JH-11, X-22: delete is revoke, and the history stays."""
    key = (await house.minted()).record
    deleted = (await house.keyring.delete_key(key.key_id, an_order("not used"))).record
    assert (deleted.state, deleted.is_hidden) == (KeyState.REVOKED, True)
    assert (await house.keyring.list_keys(ANY_KEY)).records == []
    hidden = await house.keyring.list_keys(KeyQuery(with_hidden=True))
    assert hidden.records == [deleted] == [await house.key(key.key_id)]
    assert house.events == [ChangeType.KEY_DELETED]
    assert house.changes[0].after["state"] is KeyState.REVOKED
    house.forget()
    await house.keyring.delete_key(key.key_id, an_order("again"))
    assert house.events == []


async def test_a_revoked_key_may_be_deleted(house: House) -> None:
    key = (await house.minted()).record
    await house.keyring.revoke_key(key.key_id, an_order("leaked"))
    house.clock.advance(60)
    deleted = (await house.keyring.delete_key(key.key_id, an_order("tidy"))).record
    assert (deleted.is_hidden, deleted.revoked_at) == (True, house.clock.now() - 60)


async def test_deleting_needs_a_reason(house: House) -> None:
    key = (await house.minted()).record
    with pytest.raises(Refused, match="/reason"):
        await house.keyring.delete_key(key.key_id, ORDER)


# What holds for every verb


@pytest.mark.parametrize("verb", ["suspend_key", "resume_key", "revoke_key", "delete_key"])
async def test_a_verb_about_another_revision_is_stale(house: House, verb: str) -> None:
    key = (await house.minted()).record
    stale = an_order("x", expected_revision=key.revision + 1)
    with pytest.raises(Stale):
        await getattr(house.keyring, verb)(key.key_id, stale)
    assert await house.key(key.key_id) == key


@pytest.mark.parametrize("verb", ["suspend_key", "revoke_key", "delete_key"])
async def test_a_dry_run_of_a_verb_shows_the_key_after_it_and_changes_nothing(
    house: House, verb: str
) -> None:
    key = (await house.minted()).record
    order = an_order("x", is_dry_run=True)
    shown = await getattr(house.keyring, verb)(key.key_id, order)
    assert shown.record.state is not key.state
    assert shown.enforced is None
    assert await house.key(key.key_id) == key
    assert (house.changes, house.invalidated) == ([], [])


# Reports


async def test_the_pepper_report_counts_keys_that_still_wait(house: House) -> None:
    """HT-2: a pepper may leave the config when no key is under it."""
    for key_id, pepper_id, state in (
        ("key_1", "p1", KeyState.ACTIVE),
        ("key_2", "p2", KeyState.SUSPENDED),
        ("key_3", "p1", KeyState.REVOKED),
    ):
        await house.store.save_key(a_key(key_id, pepper_id=pepper_id, state=state))
    report = await house.keyring.pepper_report()
    assert (report.current, dict(report.keys), report.waiting) == ("p2", {"p1": 1, "p2": 1}, 1)
    waiting = await house.keyring.list_keys(KeyQuery(not_pepper_id="p2", state="active"))
    assert [key.key_id for key in waiting.records] == ["key_1"]
