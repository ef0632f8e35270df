"""Deleting a tenant over the admin API: who may, what stands in the way, what goes with it, what stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.change import ChangeType
from tests.admin.bound import PARENTS, As
from tests.admin.caller import serving
from tests.key_samples import ORDER, a_key, a_tenant
from tests.keyring.house import House

EVERYTHING = {"reason": "left", "revoke_keys": True, "delete_children": True}


@pytest.fixture
async def house() -> House:
    house = House(declared_tenants=("declared",))
    for tenant_id, parent_id in (PARENTS | {"declared": ""}).items():
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
        await house.store.save_key(a_key(f"key_of_{tenant_id}", tenant_id=tenant_id))
    return house


@pytest.fixture
async def call(house: House) -> AsyncIterator[As]:
    async with serving(house, None, caller=As) as call:
        assert isinstance(call, As)
        await call.become(house.keyring, Role.ADMIN)
        house.forget()
        yield call


async def test_a_tenant_is_deleted_with_all_that_works_and_the_answer_counts_it(
    house: House, call: As
) -> None:
    gone = await call("DELETE", "/tenants/ten_a", EVERYTHING)
    counts = ("keys_revoked", "children_deleted", "admin_tokens_revoked")
    assert [gone[name] for name in counts] == [2, 1, 0]
    assert (gone["state"], gone["state_reason"]) == ("deleted", "left")
    assert gone["deleted_at"] == "2023-11-14T22:13:20Z"
    assert gone["enforcement"]["acknowledged"] == 1
    shown = await call("GET", "/tenants/ten_a")
    assert call.headers["ETag"] == f'"{gone["revision"]}"'
    assert {name: value for name, value in gone.items() if name in shown} == shown
    assert (await call("GET", "/keys/key_of_ten_a"))["state"] == "revoked"
    assert house.events[-1] is ChangeType.TENANT_DELETED


async def test_what_stands_in_the_way_is_a_conflict_that_says_what_to_do(
    house: House, call: As
) -> None:
    for dry_run in ("", "?dry_run=true"):
        answer = await call("DELETE", f"/tenants/ten_a{dry_run}", {"reason": "left"}, expect=409)
        assert answer["detail"].startswith("tenant 'ten_a' has 2 keys that have not ended")
        for name in ("`revoke_keys`", "`delete_children`"):
            assert name in answer["detail"]
    answer = await call("DELETE", "/tenants/declared", EVERYTHING, expect=409)
    assert "bootstrap.tenants" in answer["detail"]
    assert house.events == [ChangeType.ADMIN_LOGIN_SUCCEEDED]


async def test_a_dry_run_says_what_would_go(house: House, call: As) -> None:
    gone = await call("DELETE", "/tenants/ten_a?dry_run=true", EVERYTHING)
    assert (gone["dry_run"], gone["keys_revoked"], gone["children_deleted"]) == (True, 2, 1)
    assert house.events == [ChangeType.ADMIN_LOGIN_SUCCEEDED]
    assert (await call("GET", "/tenants/ten_a"))["state"] == "active"


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": "x", "cascade": True}, {"reason": "x", "revoke_keys": 1}],
)
async def test_a_body_that_says_less_or_more_is_refused(call: As, body: Any) -> None:
    await call("DELETE", "/tenants/ten_b", body, expect=422)


async def test_deleted_tenants_are_listed_only_when_they_are_asked_for(call: As) -> None:
    await call("DELETE", "/tenants/ten_child", EVERYTHING)

    async def listed(query: str = "") -> list[str]:
        return [each["tenant_id"] for each in (await call("GET", f"/tenants{query}"))["data"]]

    assert await listed() == ["declared", "ten_a", "ten_b", "ten_child_of_b"]
    assert await listed("?state=deleted") == ["ten_child"]
    assert await listed("?state=suspended") == []
    assert "ten_child" not in await listed("?state=active")


async def test_the_id_of_a_deleted_tenant_is_not_used_again(call: As) -> None:
    await call("DELETE", "/tenants/ten_child", EVERYTHING)
    body = {"tenant_id": "ten_child", "name": "Again"}
    await call("POST", "/tenants", body, expect=409)
    await call("POST", "/tenants/ten_child:resume", {}, expect=409)
    await call("PATCH", "/tenants/ten_child", {"name": "Again"}, expect=409)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.OPERATOR])
async def test_only_an_administrator_deletes_tenants(house: House, call: As, role: Role) -> None:
    await call.become(house.keyring, role)
    answer = await call("DELETE", "/tenants/ten_b", EVERYTHING, expect=403)
    assert "admin" in answer["detail"]


async def test_ht_9_a_bound_token_deletes_children_and_not_the_tenant_that_it_is_bound_to(
    house: House, call: As
) -> None:
    await call.become(house.keyring, Role.ADMIN, "ten_a")
    answer = await call("DELETE", "/tenants/ten_a", EVERYTHING, expect=403)
    assert answer["detail"] == "A token cannot delete the tenant that it is bound to."
    await call("DELETE", "/tenants/ten_b", EVERYTHING, expect=404)
    await call("DELETE", "/tenants/ten_child", EVERYTHING)
    # What happened to it is still the business of its parent.
    assert (await call("GET", "/tenants/ten_child"))["state"] == "deleted"
    assert (await call("GET", "/keys/key_of_ten_child"))["state"] == "revoked"
    assert (await call("GET", "/tenants?state=deleted"))["data"][0]["tenant_id"] == "ten_child"


async def test_a_token_that_is_bound_to_a_deleted_tenant_opens_nothing_any_more(
    house: House, call: As
) -> None:
    bound = await house.keyring.admin_tokens.create("b", Role.VIEWER, ORDER, tenant_id="ten_child")
    gone = await call("DELETE", "/tenants/ten_a", EVERYTHING)
    assert gone["admin_tokens_revoked"] == 1
    call.token = bound.secret
    await call("GET", "/tenants", expect=401)
