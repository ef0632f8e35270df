from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.domain.change import Change, ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyState
from gateway.keyring.ledger import NotFound
from gateway.keyring.minting import Minted
from gateway.ports import Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from tests.key_samples import ORDER, a_tenant, an_order
from tests.keyring.house import DAY, PEPPERS, House, a_wish

HOUR = 3_600.0
THERE = "198.51.100.7"


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


async def _sent(house: House) -> Minted:
    return await house.keyring.create_key(a_wish(), ORDER, delivery_seconds=HOUR)


async def test_a_link_gives_the_secret_once(house: House) -> None:
    """HT-3."""
    sent = await _sent(house)
    house.forget()
    taken = await house.keyring.deliveries.redeem(sent.delivery_token, THERE)
    assert taken.secret.startswith("sk_live_")
    found = await house.keyring.find_key(taken.secret.encode())
    assert found == taken.record
    assert taken.record.display == f"{taken.secret[:12]}…{taken.secret[-4:]}"
    assert (taken.record.key_id, taken.record.pepper_id) == (sent.record.key_id, PEPPERS.current)
    assert taken.delivery is not None
    assert (taken.delivery.redeemed_at, taken.delivery.redeemed_from) == (house.clock.now(), THERE)
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)


async def test_who_took_the_secret_and_from_where_is_told(house: House) -> None:
    sent = await _sent(house)
    house.forget()
    taken = await house.keyring.deliveries.redeem(sent.delivery_token, THERE)
    [change] = house.changes
    assert (change.type, change.key_id) == (ChangeType.KEY_DELIVERED, sent.record.key_id)
    assert (change.actor.kind, change.actor.address) == ("delivery", THERE)
    assert change.actor.name == change.subject_id == taken.delivery.delivery_id  # type: ignore[union-attr]
    assert taken.secret[12:-4] not in f"{change!r}{taken!r}"


async def test_until_then_there_is_no_secret_and_nothing_stored_leads_to_one(
    house: House,
) -> None:
    """Not even encrypted: the digest is random, and the link is known by its hash only."""
    sent = await _sent(house)
    assert (sent.secret, sent.record.display) == ("", "sk_live_…")
    token = sent.delivery_token
    assert token.startswith("thd_")
    assert len(token) == 4 + 43  # 256 bits
    assert sent.delivery is not None
    assert sent.delivery.digest == sha256(token.encode()).digest()
    assert token[4:] not in f"{sent!r}{house.changes!r}{house.store.__dict__!r}"
    other = await _sent(house)
    assert other.record.digest != sent.record.digest
    assert other.delivery_token != token


async def test_of_those_who_redeem_at_once_one_gets_the_secret(house: House) -> None:
    token = (await _sent(house)).delivery_token
    redeem = house.keyring.deliveries.redeem
    outcomes = await asyncio.gather(
        *(redeem(token, THERE) for _ in range(5)), return_exceptions=True
    )
    won = [each for each in outcomes if isinstance(each, Minted)]
    assert [type(each) for each in outcomes if each not in won] == [NotFound] * 4
    assert await house.keyring.find_key(won[0].secret.encode()) == won[0].record


@pytest.mark.parametrize("token", ["", "thd_x", "x" * 10_000, "thd_\ud800"])
async def test_an_unknown_link_is_not_found(house: House, token: str) -> None:
    await _sent(house)
    with pytest.raises(NotFound, match="not known, was used, or has expired"):
        await house.keyring.deliveries.redeem(token, THERE)


@pytest.mark.parametrize("changes", [{"format": "gone"}, {"environment": "gone"}])
async def test_a_link_for_a_key_that_nothing_mints_any_more_can_be_used_later(
    house: House, changes: dict[str, str]
) -> None:
    """A config that lost a format must not use a link up."""
    sent = await _sent(house)
    await house.store.save_key(replace(sent.record, **changes))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="mints no keys for environment"):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)
    await house.store.save_key(sent.record)
    assert (await house.keyring.deliveries.redeem(sent.delivery_token, THERE)).secret


async def test_a_link_expires(house: House) -> None:
    sent = await _sent(house)
    house.clock.advance(HOUR)
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)


@pytest.mark.parametrize("verb", ["revoke_key", "delete_key"])
async def test_the_link_of_a_key_that_has_ended_gives_nothing(house: House, verb: str) -> None:
    sent = await _sent(house)
    await getattr(house.keyring, verb)(sent.record.key_id, an_order("sent to the wrong person"))
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)


async def test_the_link_of_an_expired_key_gives_nothing(house: House) -> None:
    wish = a_wish(expires_at=house.clock.now() + 60)
    sent = await house.keyring.create_key(wish, ORDER, delivery_seconds=HOUR)
    house.clock.advance(60)
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 31 * DAY, float("nan")])
async def test_a_link_lives_for_a_month_at_most(house: House, seconds: float) -> None:
    with pytest.raises(Refused, match="/delivery_seconds"):
        await house.keyring.create_key(a_wish(), ORDER, delivery_seconds=seconds)
    assert house.events == []


async def test_the_new_key_of_a_rotation_may_be_delivered_by_a_link(house: House) -> None:
    key = (await house.minted()).record
    rotated = await house.keyring.rotations.start(key.key_id, ORDER, delivery_seconds=HOUR)
    assert rotated.secret == ""
    assert rotated.delivery is not None
    assert await house.keyring.deliveries.get(rotated.delivery.delivery_id) == rotated.delivery
    taken = await house.keyring.deliveries.redeem(rotated.delivery_token, THERE)
    assert taken.record.key_id == rotated.new.key_id
    assert (await house.key(key.key_id)).state is KeyState.ROTATING


async def test_deliveries_are_found_by_tenant_and_key(house: House) -> None:
    first, second = await _sent(house), await _sent(house)
    deliveries = house.keyring.deliveries
    assert len((await deliveries.page(tenant_id="ten_a")).records) == 2
    [one] = (await deliveries.page(key_id=first.record.key_id)).records
    assert one == first.delivery != second.delivery


async def test_a_dry_run_makes_no_link(house: House) -> None:
    order = an_order(is_dry_run=True)
    minted = await house.keyring.create_key(a_wish(), order, delivery_seconds=HOUR)
    assert (minted.secret, minted.delivery_token) == ("", "")
    assert (await house.keyring.deliveries.page()).records == []


async def test_a_redemption_in_doubt_gives_no_secret() -> None:
    """Whoever asks again is told that the link was used: a key nobody can use is safe, a lost one is not."""

    class Doubtful(MemoryStore):
        is_failing = False

        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            written = await super().commit(writes, changes)
            if self.is_failing:
                raise StoreUnavailable("no answer in time")
            return written

    store = Doubtful()
    house = House(store)
    await store.save_tenant(a_tenant())
    sent = await _sent(house)
    store.is_failing = True
    with pytest.raises(StoreUnavailable):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)
    store.is_failing = False
    with pytest.raises(NotFound):
        await house.keyring.deliveries.redeem(sent.delivery_token, THERE)
