"""A token that is bound to a tenant sees and changes that tenant and its children, and learns of nothing else: HT-9."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.blueprint import KeyWish
from gateway.domain.change import ChangeType
from gateway.domain.streams import StreamKind
from tests.admin.caller import CREATE, Caller, serving
from tests.key_samples import ORDER, a_key, a_tenant
from tests.keyring.house import House
from tests.open_streams import OneStream, SomeStreams

OUTSIDE = ("ten_b", "ten_child_of_b")
STREAMS = SomeStreams(OneStream(1, StreamKind.SSE, "key_a"), OneStream(2, StreamKind.SSE))


class Bound(Caller):
    """Calls with the token of an administrator of `ten_a`."""

    token = ""

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        options["headers"] = {"Authorization": f"Bearer {self.token}"}
        return await super().__call__(method, path, body, **options)


@pytest.fixture
async def house() -> House:
    house = House()
    for tenant_id, parent_id in (
        ("ten_a", ""),
        ("ten_child", "ten_a"),
        ("ten_b", ""),
        ("ten_child_of_b", "ten_b"),
    ):
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
        await house.store.save_key(a_key(f"key_of_{tenant_id}", tenant_id=tenant_id))
    return house


@pytest.fixture
async def call(house: House) -> AsyncIterator[Bound]:
    create = house.keyring.admin_tokens.create
    async with serving(house, None, caller=Bound, streams=STREAMS) as call:
        assert isinstance(call, Bound)
        call.token = (await create("partner", Role.ADMIN, ORDER, tenant_id="ten_a")).secret
        yield call


async def _ids(call: Caller, path: str, name: str) -> list[str]:
    return [each[name] for each in (await call("GET", path))["data"]]


async def test_lists_hold_what_is_within_reach_only(call: Bound) -> None:
    assert await _ids(call, "/keys", "key_id") == ["key_of_ten_a", "key_of_ten_child"]
    assert await _ids(call, "/keys?tenant_id=ten_b", "key_id") == []
    assert await _ids(call, "/tenants", "tenant_id") == ["ten_a", "ten_child"]
    assert await _ids(call, "/tenants?parent_id=ten_a", "tenant_id") == ["ten_child"]
    assert await _ids(call, "/tenants?parent_id=ten_b", "tenant_id") == []
    assert await _ids(call, "/streams", "stream_id") == ["req_1"]


async def test_tenants_within_reach_come_in_pages(call: Bound) -> None:
    first = await call("GET", "/tenants?limit=1")
    rest = await call("GET", f"/tenants?limit=1&cursor={first['next_cursor']}")
    assert [first["data"][0]["tenant_id"], rest["data"][0]["tenant_id"]] == ["ten_a", "ten_child"]
    assert (first["has_more"], rest["has_more"]) == (True, False)


@pytest.mark.parametrize("tenant_id", OUTSIDE)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/keys/key_of_{}", None),
        ("PATCH", "/keys/key_of_{}", {"name": "Mine"}),
        ("POST", "/keys/key_of_{}:suspend", {"reason": "x"}),
        ("POST", "/keys/key_of_{}:resume", {}),
        ("POST", "/keys/key_of_{}:revoke", {"reason": "x"}),
        ("GET", "/tenants/{}", None),
        ("PATCH", "/tenants/{}", {"name": "Mine"}),
        ("POST", "/tenants/{}:suspend", {"reason": "x"}),
        ("POST", "/tenants/{}:resume", {}),
        ("DELETE", "/tenants/{}", {"reason": "x", "revoke_keys": True, "delete_children": True}),
    ],
)
async def test_records_of_others_answer_as_if_they_did_not_exist(
    house: House, call: Bound, method: str, path: str, body: Any, tenant_id: str
) -> None:
    revision = await house.store.revision()
    known = await call(method, path.format(tenant_id), body, expect=404)
    unknown = await call(method, path.format("xxx"), body, expect=404)
    assert known["detail"].replace(tenant_id, "xxx") == unknown["detail"]
    assert known["code"] == unknown["code"] == "not_found"
    assert await house.store.revision() == revision


async def test_keys_are_made_within_reach_only(call: Bound) -> None:
    created = await call("POST", "/keys", {**CREATE, "tenant_id": "ten_child"}, expect=201)
    assert created["key"]["tenant_id"] == "ten_child"
    answers = [
        await call("POST", "/keys", {**CREATE, "tenant_id": each}, expect=422)
        for each in ("ten_b", "xxx")
    ]
    assert answers[0]["errors"] == [
        {"pointer": "/tenant_id", "detail": "there is no tenant 'ten_b'"}
    ]
    assert answers[1]["errors"][0]["detail"] == "there is no tenant 'xxx'"


async def test_a_key_acts_for_no_tenant_out_of_reach(call: Bound) -> None:
    body = {**CREATE, "kind": "multi_tenant", "tenants": ["ten_child", "ten_b"]}
    answer = await call("POST", "/keys", body, expect=422)
    assert answer["errors"][0]["pointer"] == "/tenants/1"
    answer = await call("PATCH", "/keys/key_of_ten_a", {"tenants": ["ten_b"]}, expect=422)
    assert answer["errors"][0]["pointer"] == "/tenants/0"


async def test_the_secret_of_a_key_of_others_is_unknown(house: House, call: Bound) -> None:
    created = await house.keyring.create_key(_wish("ten_b"), ORDER)
    mine = await house.keyring.create_key(_wish("ten_child"), ORDER)
    await call("POST", "/keys:lookup", {"secret": created.secret}, expect=404)
    found = await call("POST", "/keys:lookup", {"secret": mine.secret})
    assert found["key_id"] == mine.record.key_id
    lookups = [each for each in house.changes if each.type is ChangeType.KEY_LOOKED_UP]
    assert [(each.tenant_id, each.key_id) for each in lookups] == [
        ("ten_a", ""),
        ("ten_child", mine.record.key_id),
    ]


async def test_tenants_are_made_as_children_only(call: Bound) -> None:
    body = {"name": "New", "parent_id": "ten_a"}
    await call("POST", "/tenants", {**body, "parent_id": "ten_b"}, expect=403)
    await call("POST", "/tenants", {**body, "parent_id": ""}, expect=403)
    made = await call("POST", "/tenants", body, expect=201)
    assert made["tenant_id"] in await _ids(call, "/tenants", "tenant_id")


async def test_ids_that_are_taken_tell_nothing_of_the_tenants_of_others(call: Bound) -> None:
    answers = [
        await call(
            "POST",
            "/tenants",
            {"tenant_id": each, "name": "New", "parent_id": "ten_a"},
            expect=422,
        )
        for each in ("ten_b", "xxx")
    ]
    assert answers[0]["errors"] == answers[1]["errors"]


async def test_what_others_decided_about_its_tenant_a_token_cannot_undo(call: Bound) -> None:
    await call("PATCH", "/tenants/ten_a", {"ip_allowlist": ["10.0.0.0/8"]})
    await call("PATCH", "/tenants/ten_a", {"plan": "pro"}, expect=403)
    await call("POST", "/tenants/ten_a:resume", {}, expect=403)
    await call("PATCH", "/tenants/ten_child", {"plan": "pro"})
    await call("POST", "/tenants/ten_child:suspend", {"reason": "unpaid"})
    await call("POST", "/tenants/ten_child:resume", {})


async def test_the_plan_of_its_tenant_limits_all_keys_that_a_token_makes_there(call: Bound) -> None:
    body = {"tenant_id": "ten_a", "name": "x", "environment": "live", "scopes": []}
    await call("POST", "/keys", body | {"plan": "pro"}, expect=403)
    own = (await call("POST", "/keys", body | {"plan": ""}, expect=201))["key"]["key_id"]
    await call("PATCH", f"/keys/{own}", {"plan": "pro"}, expect=403)
    await call("PATCH", f"/keys/{own}", {"plan": None, "name": "y"})  # what it is already
    imported = {
        "key_id": "key_i",
        "tenant_id": "ten_a",
        "name": "i",
        "format": "tollhouse",
        "environment": "live",
        "digest": "ab" * 32,
        "pepper_id": "p1",
        "plan": "pro",
    }
    await call("POST", "/keys:import", {"keys": [imported]}, expect=403)
    child = body | {"tenant_id": "ten_child", "plan": "pro"}
    made = (await call("POST", "/keys", child, expect=201))["key"]
    await call("PATCH", f"/keys/{made['key_id']}", {"plan": None})


async def test_tokens_reach_no_further_than_the_one_that_made_them(
    house: House, call: Bound
) -> None:
    for tenant_id in ("", "ten_b"):
        body = {"name": "x", "role": "viewer", "tenant_id": tenant_id}
        await call("POST", "/admin-tokens", body, expect=422)
    body = {"name": "x", "role": "viewer", "tenant_id": "ten_child"}
    made = await call("POST", "/admin-tokens", body, expect=201)
    others = await house.keyring.admin_tokens.create("root", Role.ADMIN, ORDER)
    assert sorted(await _ids(call, "/admin-tokens", "name")) == ["partner", "x"]
    assert await _ids(call, "/admin-tokens?tenant_id=ten_child", "name") == ["x"]
    assert await _ids(call, "/admin-tokens?tenant_id=ten_b", "name") == []
    path = f"/admin-tokens/{others.record.token_id}"
    await call("GET", path, expect=404)
    await call("POST", f"{path}:revoke", {"reason": "x"}, expect=404)
    await call("POST", f"/admin-tokens/{made['token']['token_id']}:revoke", {"reason": "x"})


async def test_what_is_about_the_whole_gateway_is_not_for_it(house: House) -> None:
    async def overview() -> list[Any]:
        return []

    create = house.keyring.admin_tokens.create
    token = (await create("partner", Role.ADMIN, ORDER, tenant_id="ten_a")).secret
    async with serving(house, None, upstreams=overview) as call:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await call("GET", "/upstreams", expect=403, headers=headers)
    assert answer["detail"] == "This is not for tokens that are bound to a tenant."


def _wish(tenant_id: str) -> Any:
    return KeyWish(tenant_id=tenant_id, name="k", environment="live", scopes=("read",))
