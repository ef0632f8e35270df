"""Who may do what in the life of a key: roles, tokens that are bound to a tenant, keys for several tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.blueprint import KeyWish
from gateway.domain.keys import KeyKind
from tests.admin.caller import Caller, serving
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import House

PARTNER = {"kind": KeyKind.MULTI_TENANT, "tenants": ("ten_child",), "format": "sk"}


class As(Caller):
    """Calls with the token of a role, bound to a tenant or not."""

    token = ""

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        options["headers"] = {"Authorization": f"Bearer {self.token}"}
        return await super().__call__(method, path, body, **options)


@pytest.fixture
async def house() -> House:
    house = House()
    for tenant_id, parent_id in (("ten_a", ""), ("ten_child", "ten_a"), ("ten_b", "")):
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
        await house.store.save_key(a_key(f"key_of_{tenant_id}", tenant_id=tenant_id, format="sk"))
    await house.store.save_key(a_key("key_partner", **PARTNER))
    return house


@pytest.fixture
async def call(house: House) -> AsyncIterator[As]:
    async with serving(house, None, caller=As) as call:
        assert isinstance(call, As)
        yield call


async def become(call: As, house: House, role: Role, tenant_id: str = "") -> None:
    minted = await house.keyring.admin_tokens.create("x", role, ORDER, tenant_id=tenant_id)
    call.token = minted.secret


async def test_a_viewer_looks_at_rotations_and_begins_none(call: As, house: House) -> None:
    await become(call, house, Role.VIEWER)
    for path in ("/rotations", "/incidents", "/deliveries", "/templates"):
        await call("GET", path)
    for verb in ("rotate", "extend", "compromise", "suspend"):
        await call("POST", f"/keys/key_of_ten_a:{verb}", {"reason": "x"}, expect=403)
    await call("DELETE", "/keys/key_of_ten_a", {"reason": "x"}, expect=403)
    await call("POST", "/keys:import", {"keys": []}, expect=403)


async def test_only_administrators_import_keys(call: As, house: House) -> None:
    await become(call, house, Role.OPERATOR)
    await call("POST", "/keys:import", {"keys": []}, expect=403)
    await call("POST", "/keys/key_of_ten_a:rotate", {}, expect=201)


async def test_the_secret_of_a_key_for_several_tenants_is_for_administrators(
    call: As, house: House
) -> None:
    """IV-14."""
    await become(call, house, Role.OPERATOR)
    await call("POST", "/keys/key_partner:rotate", {}, expect=403)
    await call("POST", "/keys/key_partner:compromise", {"reason": "x"}, expect=403)
    await become(call, house, Role.ADMIN)
    await call("POST", "/keys/key_partner:rotate", {}, expect=201)


async def test_an_operator_can_always_stop_a_key(call: As, house: House) -> None:
    await become(call, house, Role.OPERATOR)
    body = {"reason": "leaked", "with_replacement": False}
    told = await call("POST", "/keys/key_partner:compromise", body, expect=201)
    assert told["revoked_key"]["state"] == "revoked"


async def test_a_bound_administrator_gets_no_key_that_acts_beyond_its_reach(
    call: As, house: House
) -> None:
    """HT-9."""
    await become(call, house, Role.ADMIN, "ten_a")
    await house.store.save_key(
        replace(await house.keyring.get_key("key_partner"), tenants=("ten_child", "ten_b"))
    )
    await call("POST", "/keys/key_partner:rotate", {}, expect=403)
    await house.store.save_key(
        replace(await house.keyring.get_key("key_partner"), tenants=("ten_child",))
    )
    await call("POST", "/keys/key_partner:rotate", {}, expect=201)


async def test_a_bound_token_sees_and_ends_only_what_is_within_its_reach(
    call: As, house: House
) -> None:
    """HT-9."""
    keyring = house.keyring
    begun = {
        tenant_id: await keyring.rotations.start(f"key_of_{tenant_id}", ORDER)
        for tenant_id in ("ten_a", "ten_child", "ten_b")
    }
    incident = await keyring.incidents.compromise(
        begun["ten_b"].new.key_id, an_order("x"), since=0.0
    )
    wish = KeyWish(tenant_id="ten_b", name="k", environment="live", scopes=())
    await keyring.create_key(wish, ORDER, delivery_seconds=60)
    await become(call, house, Role.ADMIN, "ten_a")

    async def tenants(path: str) -> list[str]:
        return [each["tenant_id"] for each in (await call("GET", path))["data"]]

    assert sorted(await tenants("/rotations")) == ["ten_a", "ten_child"]
    assert await tenants("/rotations?tenant_id=ten_child") == ["ten_child"]
    assert await tenants("/incidents") == await tenants("/deliveries") == []
    for path in ("/rotations", "/incidents", "/deliveries"):
        await call("GET", f"{path}?tenant_id=ten_b", expect=404)
    foreign = f"/rotations/{begun['ten_b'].rotation.rotation_id}"
    await call("GET", foreign, expect=404)
    await call("POST", f"{foreign}:complete", {}, expect=404)
    await call("GET", f"/incidents/{incident.incident.incident_id}", expect=404)
    await call("POST", "/keys/key_of_ten_b:rotate", {}, expect=404)
    child = f"/rotations/{begun['ten_child'].rotation.rotation_id}"
    assert (await call("POST", f"{child}:complete", {}))["state"] == "completed"


async def test_a_rotation_is_begun_once_however_often_it_is_asked_for(
    call: As, house: House
) -> None:
    class Keyed(As):
        async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
            options["headers"] = {
                "Authorization": f"Bearer {self.token}",
                "Idempotency-Key": "again",
            }
            return await Caller.__call__(self, method, path, body, **options)

    async with serving(house, None, caller=Keyed) as keyed:
        assert isinstance(keyed, Keyed)
        await become(keyed, house, Role.ADMIN)
        begun = await keyed("POST", "/keys/key_of_ten_a:rotate", {}, expect=201)
        again = await keyed("POST", "/keys/key_of_ten_a:rotate", {}, expect=409)
        assert again["code"] == "secret_already_delivered"
        assert begun["rotation"]["rotation_id"] in repr(again)
