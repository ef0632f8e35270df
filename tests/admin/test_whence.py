"""Whose address counts: in the audit trail, for failed logins, and for whoever takes a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.admin.auth import FAILURES_MAX
from gateway.domain.admin_tokens import Role
from gateway.domain.blueprint import KeyWish
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.networks import Allowlist
from tests.admin.caller import Caller, serving
from tests.key_samples import ORDER, a_key, a_tenant
from tests.keyring.house import House

BEHIND = ClientAddressResolver(Allowlist(("127.0.0.0/8",)))
WRONG = "tha_" + "x" * 49


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key())
    return house


@pytest.fixture
async def direct(house: House) -> AsyncIterator[Caller]:
    async with serving(house, None) as call:
        yield call


@pytest.fixture
async def behind(house: House) -> AsyncIterator[Caller]:
    async with serving(house, None, addresses=lambda: BEHIND) as call:
        yield call


def told_by(address: str, token: str) -> Any:
    """Return what a request brings that a proxy passed on."""
    return {"X-Forwarded-For": address, "Authorization": f"Bearer {token}"}


async def _suspended_from(house: House, call: Caller) -> str:
    """Suspend a key as somebody at 203.0.113.7 says; return the address in the audit trail."""
    token = (await house.keyring.admin_tokens.create("x", Role.ADMIN, ORDER)).secret
    headers = told_by("203.0.113.7", token)
    await call("POST", "/keys/key_a:suspend", {"reason": "odd"}, headers=headers)
    return house.changes[-1].actor.address


async def test_a_change_is_audited_with_the_peer_unless_proxies_are_trusted(
    house: House, direct: Caller, behind: Caller
) -> None:
    assert await _suspended_from(house, direct) == "127.0.0.1"
    await house.keyring.resume_key("key_a", ORDER)
    assert await _suspended_from(house, behind) == "203.0.113.7"


async def test_an_invented_address_gets_nobody_past_the_throttle(direct: Caller) -> None:
    for number in range(FAILURES_MAX):
        headers = told_by(f"203.0.113.{number}", WRONG)
        await direct("GET", "/whoami", expect=401, headers=headers)
    await direct("GET", "/whoami", expect=429, headers=told_by("203.0.113.200", WRONG))


async def test_behind_a_proxy_one_client_does_not_throttle_the_others(behind: Caller) -> None:
    for number in range(FAILURES_MAX):
        headers = told_by(f"198.51.100.{number}, 203.0.113.7", WRONG)  # the first is an invention
        await behind("GET", "/whoami", expect=401, headers=headers)
    await behind("GET", "/whoami", expect=429, headers=told_by("203.0.113.7", WRONG))
    await behind("GET", "/whoami", expect=401, headers=told_by("203.0.113.8", WRONG))


async def test_a_field_that_is_no_text_does_no_harm(behind: Caller) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Name": "Zoë \N{SNOWMAN}"}
    await behind("GET", "/whoami", expect=401, headers=headers)


async def test_who_took_a_secret_is_the_client_and_not_the_proxy(
    house: House, direct: Caller, behind: Caller
) -> None:
    """HT-3."""
    wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=())
    for call, expected in ((direct, "127.0.0.1"), (behind, "203.0.113.7")):
        minted = await house.keyring.create_key(wish, ORDER, delivery_seconds=60)
        url = f"/delivery/{minted.delivery_token}"
        async with call.session.post(url, headers=told_by("203.0.113.7", "")) as response:
            assert response.status == 200
        found = await house.keyring.deliveries.page(key_id=minted.record.key_id)
        assert [each.redeemed_from for each in found.records] == [expected]
        assert house.changes[-1].actor.address == expected
