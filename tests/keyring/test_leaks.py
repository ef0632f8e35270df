"""Reports of leaks: each key is told of before anything is done about it, and nothing that is stopped changes."""

from __future__ import annotations

import pytest

from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyState
from gateway.keyring.leaks import FoundToken, Policy
from tests.key_samples import a_tenant, an_order
from tests.keyring.house import DAY, House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


FOUND = an_order("found")


def found(secret: str, since: float | None = None) -> FoundToken:
    return FoundToken(token=secret.encode(), url="https://x.example/a", since=since)


async def test_a_key_is_told_of_before_it_is_stopped(house: House) -> None:
    minted = await house.minted()
    [leak] = await house.keyring.leaks.report([found(minted.secret)], "revoke", FOUND)
    assert (leak.done, leak.state) == ("revoked", KeyState.ACTIVE)
    told = [ChangeType.KEY_LEAK_REPORTED, ChangeType.KEY_COMPROMISED, ChangeType.KEY_REVOKED]
    assert house.events == told
    assert house.changes[0].after["url"] == "https://x.example/a"
    assert minted.secret not in repr(house.changes) + repr(found(minted.secret))


@pytest.mark.parametrize("policy", ["suspend", "revoke"])
async def test_a_key_that_has_ended_stays_as_it_is(house: House, policy: Policy) -> None:
    minted = await house.minted()
    await house.keyring.revoke_key(minted.record.key_id, an_order("over"))
    before = await house.key(minted.record.key_id)
    [leak] = await house.keyring.leaks.report([found(minted.secret)], policy, FOUND)
    assert (leak.done, leak.state) == ("none", KeyState.REVOKED)
    assert await house.key(minted.record.key_id) == before


async def test_an_expired_key_is_not_suspended_but_can_be_revoked(house: House) -> None:
    minted = await house.minted(expires_at=house.clock.now() + DAY)
    house.clock.advance(DAY)
    tokens = [found(minted.secret)]
    [leak] = await house.keyring.leaks.report(tokens, "suspend", FOUND)
    assert (leak.done, leak.state) == ("none", KeyState.EXPIRED)
    [leak] = await house.keyring.leaks.report(tokens, "revoke", FOUND)
    assert leak.done == "revoked"


async def test_whatever_is_wrong_is_refused_before_anything_is_done(house: House) -> None:
    minted = await house.minted()
    tokens = [found(minted.secret), found(minted.secret, since=house.clock.now() + 1)]
    with pytest.raises(Refused) as caught:
        await house.keyring.leaks.report(tokens, "revoke", an_order(""))
    assert [where for where, _ in caught.value.problems] == ["/reason", "/leaks/1/since"]
    assert house.events == []
