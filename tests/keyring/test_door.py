from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hmac import digest as hmac_digest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.blueprint import KeyWish
from gateway.domain.change import Change, ChangeType
from gateway.domain.key_format import BASE62, ReadToken
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import ANY_KEY, KeyQuery
from gateway.keyring.ledger import Changed, NotFound
from gateway.keyring.minting import base62
from gateway.ports import Conflict, Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from tests.key_samples import ACTOR, ORDER, a_key, a_tenant, an_order
from tests.keyring.house import FORMATS, a_wish
from tests.keyring.house import House as House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


async def _minted(house: House, **values: Any) -> KeyRecord:
    record = (await house.keyring.create_key(a_wish(**values), ORDER)).record
    house.forget()
    return record


# Creating


async def test_a_minted_key_is_found_by_its_secret_and_stored_as_a_digest_only(
    house: House,
) -> None:
    """IV-1, IV-2, HP-4, X-9."""
    minted = await house.keyring.create_key(a_wish(), ORDER)
    record = minted.record
    assert minted.secret.startswith("sk_live_")
    assert isinstance(FORMATS.read(minted.secret.encode()), ReadToken)
    assert record.digest == hmac_digest(b"2" * 32, minted.secret.encode(), "sha256")
    assert (record.pepper_id, record.state) == ("p2", KeyState.ACTIVE)
    assert [len(record.key_id), len(record.lineage_id)] == [36, 36]
    assert record.display == f"{minted.secret[:12]}…{minted.secret[-4:]}"
    assert await house.keyring.find_key(minted.secret.encode()) == record
    assert await house.keyring.get_key(record.key_id) == record


async def test_the_secret_is_in_no_text_event_or_record(house: House) -> None:
    """HP-4."""
    minted = await house.keyring.create_key(a_wish(), ORDER)
    random = minted.secret[12:-4]
    for text in (repr(minted), repr(minted.record), repr(house.changes)):
        assert random not in text
        assert repr(minted.record.digest) not in text


async def test_creation_is_told_with_who_and_what(house: House) -> None:
    """IV-25: who, when, with what scopes."""
    minted = await house.keyring.create_key(a_wish(scopes=("write",)), ORDER)
    [change] = house.changes
    assert (change.type, change.actor, change.at) == (
        ChangeType.KEY_CREATED,
        ACTOR,
        house.clock.now(),
    )
    assert (change.key_id, change.tenant_id) == (minted.record.key_id, "ten_a")
    assert change.before == {}
    assert change.after["scopes"] == ("write",)
    assert house.invalidated == [minted.record.key_id]


async def test_everything_wrong_with_a_wish_is_told_at_once_and_nothing_is_stored(
    house: House,
) -> None:
    wish = KeyWish(
        tenant_id="ten_x",
        name="",
        environment="dev",
        scopes=("raed",),
        ip_allowlist=("10.0.0.0/99",),
        plan="gold",
        expires_at=house.clock.now(),
    )
    with pytest.raises(Refused) as caught:
        await house.keyring.create_key(wish, ORDER)
    assert {pointer for pointer, _ in caught.value.problems} == {
        *("/tenant_id", "/name", "/environment", "/scopes/0", "/ip_allowlist/0", "/plan"),
        "/expires_at",
    }
    assert (await house.keyring.list_keys(ANY_KEY)).records == []
    assert house.changes == []


async def test_an_unknown_format_is_refused(house: House) -> None:
    with pytest.raises(Refused, match="/format"):
        await house.keyring.create_key(a_wish(format="x"), ORDER)
    with pytest.raises(Refused, match="/format"):
        await house.keyring.create_key(a_wish(format="imported"), ORDER)


async def test_an_environment_may_be_named_by_its_alias(house: House) -> None:
    """JH-27."""
    assert (await _minted(house, environment="production")).environment == "live"


async def test_a_key_that_may_do_more_than_its_template_is_created_with_a_warning(
    house: House,
) -> None:
    """HP-32."""
    minted = await house.keyring.create_key(a_wish(template="ci", scopes=("write",)), ORDER)
    assert minted.warnings == (
        "the key may do more than template 'ci': candidates:write, jobs:write",
    )
    less = await house.keyring.create_key(
        a_wish(template="ci", scopes=("jobs:read",), name="B"), ORDER
    )
    plain = await house.keyring.create_key(a_wish(template="ci", scopes=None, name="C"), ORDER)
    assert less.warnings == plain.warnings == ()
    assert plain.record.scopes == ("read",)


@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_random_characters_are_base62_of_the_wanted_length(length: int, source: Any) -> None:
    text = base62(length, source.randbytes)
    assert len(text) == length
    assert set(text) <= set(BASE62)


def test_random_characters_are_all_equally_likely() -> None:
    """Each of the 256 bytes once: every character exactly four times, eight bytes thrown away."""
    rounds = iter((bytes(range(256)), bytes(256)))
    text = base62(248, lambda _: next(rounds))
    assert sorted(text) == sorted(BASE62 * 4)


# Life


async def test_suspending_and_resuming_loses_nothing(house: House) -> None:
    """IV-21."""
    record = await _minted(house, tags=("a",), metadata={"n": 1})
    suspended = (await house.keyring.suspend_key(record.key_id, an_order("looks odd"))).record
    assert (suspended.state, suspended.state_reason) == (KeyState.SUSPENDED, "looks odd")
    resumed = (await house.keyring.resume_key(record.key_id, an_order("was fine"))).record
    assert replace(resumed, revision=record.revision, state_reason="") == record
    assert house.events == [ChangeType.KEY_SUSPENDED, ChangeType.KEY_RESUMED]
    assert [change.reason for change in house.changes] == ["looks odd", "was fine"]
    assert house.changes[0].before == {"state": KeyState.ACTIVE, "state_reason": ""}
    assert house.changes[0].after == {"state": KeyState.SUSPENDED, "state_reason": "looks odd"}
    assert house.invalidated == [record.key_id] * 2


async def test_a_revoked_key_is_final(house: House) -> None:
    """IV-22."""
    record = await _minted(house)
    revoked = (await house.keyring.revoke_key(record.key_id, an_order("leaked"))).record
    assert (revoked.state, revoked.revoked_at) == (KeyState.REVOKED, house.clock.now())
    for act in (
        house.keyring.resume_key(record.key_id, ORDER),
        house.keyring.suspend_key(record.key_id, an_order("again")),
        house.keyring.update_key(record.key_id, {"name": "New"}, ORDER),
    ):
        with pytest.raises(Conflict, match="revoked"):
            await act
    assert await house.keyring.get_key(record.key_id) == revoked


@pytest.mark.parametrize("verb", ["suspend_key", "revoke_key"])
@pytest.mark.parametrize("reason", ["", "  "])
async def test_a_reason_is_mandatory(house: House, verb: str, reason: str) -> None:
    """IV-28."""
    record = await _minted(house)
    with pytest.raises(Refused, match="/reason"):
        await getattr(house.keyring, verb)(record.key_id, an_order(reason))
    assert await house.keyring.get_key(record.key_id) == record


async def test_a_change_that_is_already_made_is_no_change_but_forgets_bound_copies(
    house: House,
) -> None:
    """Whoever repeats a revocation that ended in doubt must be able to rely on its effect."""
    record = await _minted(house)
    first = (await house.keyring.revoke_key(record.key_id, an_order("leaked"))).record
    house.forget()
    assert await house.keyring.revoke_key(record.key_id, an_order("leaked again")) == Changed(first)
    assert house.changes == []
    assert house.invalidated == [record.key_id]


async def test_an_expired_key_is_not_brought_back_by_resuming(house: House) -> None:
    await house.store.save_key(a_key(state=KeyState.EXPIRED))
    with pytest.raises(Conflict, match=r"cannot resume key .* it is expired"):
        await house.keyring.resume_key("key_a", ORDER)


async def test_unknown_ids_are_not_found(house: House) -> None:
    for act in (
        house.keyring.get_key("key_x"),
        house.keyring.revoke_key("key_x", an_order("gone")),
        house.keyring.update_key("key_x", {}, ORDER),
    ):
        with pytest.raises(NotFound, match="key_x"):
            await act


# Updating


async def test_each_kind_of_change_is_told_as_its_own_event(house: House) -> None:
    """IV-27, IV-29."""
    record = await _minted(house, metadata={"a": 1, "b": 2})
    later = house.clock.now() + 60
    changed = await house.keyring.update_key(
        record.key_id,
        {
            "name": "New",
            "scopes": ("write",),
            "ip_allowlist": ("10.0.0.0/8",),
            "expires_at": later,
            "plan": "pro",
            "tags": ("x",),
            "metadata": {"a": None, "c": 3},
        },
        an_order("ticket 7"),
    )
    updated = changed.record
    assert (updated.name, updated.scopes, updated.plan) == ("New", ("write",), "pro")
    assert updated.metadata == {"b": 2, "c": 3}
    assert set(house.events) == {
        ChangeType.KEY_UPDATED,
        ChangeType.KEY_SCOPES_CHANGED,
        ChangeType.KEY_IP_ALLOWLIST_CHANGED,
        ChangeType.KEY_EXPIRATION_CHANGED,
        ChangeType.KEY_LIMITS_CHANGED,
        ChangeType.KEY_METADATA_CHANGED,
    }
    assert {change.reason for change in house.changes} == {"ticket 7"}
    scopes = next(c for c in house.changes if c.type is ChangeType.KEY_SCOPES_CHANGED)
    assert (scopes.before, scopes.after) == ({"scopes": ("read",)}, {"scopes": ("write",)})


async def test_a_refused_update_changes_nothing(house: House) -> None:
    record = await _minted(house)
    with pytest.raises(Refused) as caught:
        await house.keyring.update_key(
            record.key_id, {"name": "Good", "scopes": ("raed",), "plan": "x"}, ORDER
        )
    assert [pointer for pointer, _ in caught.value.problems] == ["/scopes/0", "/plan"]
    assert await house.keyring.get_key(record.key_id) == record
    assert house.changes == []


async def test_the_metadata_that_results_is_what_is_measured(house: House) -> None:
    record = await _minted(house, metadata={"a": "x" * 3000})
    with pytest.raises(Refused, match="/metadata"):
        await house.keyring.update_key(record.key_id, {"metadata": {"b": "x" * 3000}}, ORDER)


async def test_an_expiry_may_be_moved_or_removed_while_the_key_lives(house: House) -> None:
    """JH-19."""
    record = await _minted(house, expires_at=house.clock.now() + 60)
    later = house.clock.now() + 600
    moved = (await house.keyring.update_key(record.key_id, {"expires_at": later}, ORDER)).record
    assert moved.expires_at == later
    never = (await house.keyring.update_key(record.key_id, {"expires_at": None}, ORDER)).record
    assert never.expires_at is None


async def test_an_expired_key_is_not_brought_back_by_an_update(house: House) -> None:
    record = await _minted(house, expires_at=house.clock.now() + 60)
    house.clock.advance(60)
    with pytest.raises(Refused, match="/expires_at: the key has expired"):
        await house.keyring.update_key(record.key_id, {"expires_at": None}, ORDER)
    renamed = (await house.keyring.update_key(record.key_id, {"name": "Old key"}, ORDER)).record
    assert renamed.name == "Old key"


class RacingStore(MemoryStore):
    """Lets `races` others write the key just before each save."""

    races = 0

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        if self.races and writes[0].expected_revision:
            self.races -= 1
            record = writes[0].record
            assert isinstance(record, KeyRecord)
            present = await self.get_key(record.key_id)
            assert present is not None
            await super().commit([Write(replace(present, tags=(*present.tags, "raced")))])
        return await super().commit(writes, changes)


async def test_a_change_that_loses_a_race_is_made_on_top_of_the_other() -> None:
    store = RacingStore()
    house = House(store)
    await store.save_tenant(a_tenant())
    record = await _minted(house)
    store.races = 2
    revoked = (await house.keyring.revoke_key(record.key_id, an_order("leaked"))).record
    assert (revoked.state, revoked.tags) == (KeyState.REVOKED, ("raced", "raced"))
    assert house.events == [ChangeType.KEY_REVOKED]


async def test_a_change_that_always_loses_is_a_conflict() -> None:
    store = RacingStore()
    house = House(store)
    await store.save_tenant(a_tenant())
    record = await _minted(house)
    store.races = 1_000
    with pytest.raises(Conflict):
        await house.keyring.update_key(record.key_id, {"name": "New"}, ORDER)
    assert house.changes == []


async def test_a_write_in_doubt_is_an_error_but_forgets_bound_copies() -> None:
    class Failing(MemoryStore):
        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            if writes[0].expected_revision:
                raise StoreUnavailable("no answer in time")
            return await super().commit(writes, changes)

    house = House(Failing())
    await house.store.save_tenant(a_tenant())
    record = await _minted(house)
    with pytest.raises(StoreUnavailable):
        await house.keyring.revoke_key(record.key_id, an_order("leaked"))
    assert house.invalidated == [record.key_id]
    assert house.changes == []


# Finding


async def test_a_secret_that_is_nobodys_finds_nothing(house: House) -> None:
    await _minted(house)
    assert await house.keyring.find_key(b"no b64token") is None
    assert await house.keyring.find_key(b"some-foreign-token") is None


async def test_whoever_asks_which_key_a_secret_is_of_is_told_of_in_the_trail(house: House) -> None:
    minted = await house.keyring.create_key(a_wish(), ORDER)
    house.forget()
    order = an_order("found it in a log")
    secret = minted.secret.encode()
    assert await house.keyring.look_up(secret, order) == minted.record
    assert await house.keyring.look_up(b"some-foreign-token", order) is None
    assert house.events == [ChangeType.KEY_LOOKED_UP] * 2
    assert [(each.key_id, each.tenant_id, each.after) for each in house.changes] == [
        (minted.record.key_id, "ten_a", {"is_found": True}),
        ("", "", {"is_found": False}),
    ]
    assert {change.actor for change in house.changes} == {order.actor}
    assert minted.secret[12:-4] not in repr(house.changes)


async def test_a_key_of_a_tenant_that_is_not_asked_for_is_told_as_not_found(house: House) -> None:
    minted = await house.keyring.create_key(a_wish(), ORDER)
    house.forget()
    secret = minted.secret.encode()
    assert await house.keyring.look_up(secret, ORDER, ("ten_b", "ten_c")) is None
    assert await house.keyring.look_up(secret, ORDER, ("ten_b", "ten_a")) == minted.record
    assert [(each.key_id, each.tenant_id) for each in house.changes] == [
        ("", "ten_b"),
        (minted.record.key_id, "ten_a"),
    ]


async def test_keys_are_paged_in_the_order_of_their_ids(house: House) -> None:
    for number in range(5):
        await house.store.save_key(a_key(f"key_{number}"))
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = await house.keyring.list_keys(KeyQuery(tenant_id="ten_a"), after=cursor, limit=2)
        seen += [record.key_id for record in page.records]
        cursor = page.cursor
    assert seen == [f"key_{number}" for number in range(5)]
    assert cursor == ""


async def test_keys_are_listed_by_the_state_that_holds_now(house: House) -> None:
    await house.store.save_key(a_key("key_1"))
    await house.store.save_key(a_key("key_2", expires_at=house.clock.now()))
    await house.store.save_key(a_key("key_3", state=KeyState.SUSPENDED))
    listed = {
        state: [
            record.key_id
            for record in (await house.keyring.list_keys(KeyQuery(state=state))).records
        ]
        for state in ("active", "expired", "suspended", "revoked")
    }
    assert listed == {
        "active": ["key_1"],
        "expired": ["key_2"],
        "suspended": ["key_3"],
        "revoked": [],
    }
