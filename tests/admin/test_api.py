"""The admin API over real sockets: a unix socket unless a test says otherwise."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.admin.app import BODY_BYTES_MAX
from gateway.domain.keys import KeyState
from gateway.ports import R, StoreUnavailable
from gateway.stores.memory import MemoryStore
from tests.admin.caller import CREATE, TOKEN, Caller
from tests.admin.caller import serving as _serving
from tests.key_samples import a_key, a_tenant
from tests.keyring.house import House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Caller]:
    async with _serving(house, tmp_path / "admin.sock") as call:
        yield call


# Keys


async def test_the_secret_is_in_the_answer_to_create_and_in_no_other(
    call: Caller, house: House
) -> None:
    """HP-4, IV-9."""
    created = await call("POST", "/keys", CREATE, expect=201)
    key_id, secret = created["key"]["key_id"], created["secret"]
    assert call.headers["Location"] == f"/admin/v1/keys/{key_id}"
    assert secret.startswith("sk_live_")
    others = [
        await call("GET", f"/keys/{key_id}"),
        await call("GET", "/keys"),
        await call("PATCH", f"/keys/{key_id}", {"name": "New"}),
        await call("POST", "/keys:lookup", {"secret": secret}),
        await call("POST", f"/keys/{key_id}:suspend", {"reason": "x"}),
        await call("POST", f"/keys/{key_id}:resume", {}),
        await call("POST", f"/keys/{key_id}:revoke", {"reason": "x"}),
    ]
    assert secret[12:-4] not in repr(others)
    assert "digest" not in repr(others)
    assert all(name != "secret" for answer in others for name in answer)


async def test_a_key_is_shown_with_everything_but_its_digest(call: Caller) -> None:
    body = {
        **CREATE,
        "plan": "pro",
        "ip_allowlist": ["203.0.113.7 # office", "10.0.0.0/8"],
        "ip_allowlist_mode": "shadow",
        "expires_in": "30d",
        "tags": ["ci"],
        "metadata": {"team": "a"},
    }
    created = await call("POST", "/keys", body, expect=201)
    key = created["key"]
    assert created["warnings"] == []
    assert created["export_name"] == "SK_API_KEY"
    assert key == await call("GET", f"/keys/{key['key_id']}")
    generated = ("key_id", "lineage_id", "display", "revision")
    assert {name: value for name, value in key.items() if name not in generated} == {
        "tenant_id": "ten_a",
        "name": "CI",
        "format": "sk",
        "environment": "live",
        "state": "active",
        "state_reason": "",
        "scopes": ["read"],
        "ip_allowlist": ["203.0.113.7 # office", "10.0.0.0/8"],
        "ip_allowlist_mode": "shadow",
        "plan": "pro",
        "template": "",
        "kind": "regular",
        "tenants": [],
        "tags": ["ci"],
        "metadata": {"team": "a"},
        "pepper_id": "p2",
        "is_hidden": False,
        "created_at": "2023-11-14T22:13:20Z",
        "expires_at": "2023-12-14T22:13:20Z",
        "resume_at": None,
        "retires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "rotation_due_at": None,
        "is_rotation_overdue": False,
    }


async def test_a_key_lives_its_life_by_verbs(call: Caller, house: House) -> None:
    """IV-21, IV-22."""
    key_id = (await call("POST", "/keys", CREATE, expect=201))["key"]["key_id"]
    suspended = await call("POST", f"/keys/{key_id}:suspend", {"reason": "maintenance"})
    assert (suspended["state"], suspended["state_reason"]) == ("suspended", "maintenance")
    assert (await call("POST", f"/keys/{key_id}:resume", {}))["state"] == "active"
    assert (await call("POST", f"/keys/{key_id}:revoke", {"reason": "leak"}))["state"] == "revoked"
    refused = await call("POST", f"/keys/{key_id}:resume", {}, expect=409)
    assert refused["code"] == "conflict"
    assert {change.actor.name for change in house.changes} == {f"uid:{os.getuid()}"}
    assert {change.actor.kind for change in house.changes} == {"admin"}


async def test_a_reason_is_mandatory(call: Caller) -> None:
    """IV-28."""
    key_id = (await call("POST", "/keys", CREATE, expect=201))["key"]["key_id"]
    for verb in ("suspend", "revoke"):
        answer = await call("POST", f"/keys/{key_id}:{verb}", {}, expect=422)
        assert answer["errors"] == [{"pointer": "/reason", "detail": "must not be empty"}]


async def test_a_merge_patch_sets_what_it_names_and_null_removes(call: Caller) -> None:
    body = {**CREATE, "plan": "pro", "expires_in": "P1D", "tags": ["a"], "metadata": {"a": 1}}
    key_id = (await call("POST", "/keys", body, expect=201))["key"]["key_id"]
    patch = {"metadata": {"b": 2}, "ip_allowlist": ["10.0.0.0/8"]}
    key = await call("PATCH", f"/keys/{key_id}", patch)
    assert (key["metadata"], key["plan"], key["tags"]) == ({"a": 1, "b": 2}, "pro", ["a"])
    later = {"expires_at": "2030-01-01T00:00:00+01:00"}
    assert (await call("PATCH", f"/keys/{key_id}", later))["expires_at"] == "2029-12-31T23:00:00Z"
    names = ("expires_at", "plan", "tags", "metadata", "ip_allowlist", "scopes")
    key = await call(
        "PATCH",
        f"/keys/{key_id}",
        dict.fromkeys(names),
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert [key[name] for name in names] == [None, "", [], {}, [], []]
    answer = await call("PATCH", f"/keys/{key_id}", {"name": None}, expect=422)
    assert answer["errors"][0]["pointer"] == "/name"


async def test_keys_are_listed_in_pages(call: Caller, house: House) -> None:
    for number in range(5):
        await house.store.save_key(a_key(f"key_{number}"))
    await house.store.save_key(a_key("key_9", state=KeyState.REVOKED))
    seen: list[str] = []
    query = {"tenant_id": "ten_a", "limit": "2", "state": "active"}
    while True:
        page = await call("GET", "/keys", params=query)
        seen += [key["key_id"] for key in page["data"]]
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [f"key_{number}" for number in range(5)]
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=-1", "state=gone", "sate=x", "limit=1&limit=2"],
)
async def test_a_query_that_is_not_understood_is_refused(call: Caller, query: str) -> None:
    assert (await call("GET", f"/keys?{query}", expect=400))["code"] == "invalid_request"


async def test_an_expired_key_is_shown_as_expired(call: Caller, house: House) -> None:
    await house.store.save_key(a_key(expires_at=house.clock.now()))
    assert (await call("GET", "/keys/key_a"))["state"] == "expired"


async def test_a_lookup_tells_the_key_and_never_the_secret(call: Caller) -> None:
    created = await call("POST", "/keys", CREATE, expect=201)
    found = await call("POST", "/keys:lookup", {"secret": created["secret"]})
    assert found == created["key"]
    unknown = await call("POST", "/keys:lookup", {"secret": "some-secret"}, expect=404)
    too_long = await call("POST", "/keys:lookup", {"secret": "some-secret" * 99}, expect=422)
    assert "some-secret" not in repr((unknown, too_long))


# What is refused


async def test_everything_wrong_with_a_body_is_told_with_pointers(call: Caller) -> None:
    body = {**CREATE, "name": "", "scopes": ["raed"], "tenant_id": "x", "ip_allowlist": ["y"]}
    answer = await call("POST", "/keys", body, expect=422)
    assert (answer["title"], answer["code"]) == ("Values break a rule", "validation_failed")
    assert answer["type"] == "urn:tollhouse:problem:validation_failed"
    pointers = {error["pointer"] for error in answer["errors"]}
    assert pointers == {"/name", "/scopes/0", "/tenant_id", "/ip_allowlist/0"}
    assert any("did you mean 'read'" in error["detail"] for error in answer["errors"])


async def test_unknown_fields_are_refused_with_a_pointer(call: Caller) -> None:
    answer = await call("POST", "/keys", {**CREATE, "na~me/x": 1, "expires_in": 5}, expect=422)
    assert {"pointer": "/na~0me~1x", "detail": "unknown field"} in answer["errors"]
    assert "/expires_in" in {error["pointer"] for error in answer["errors"]}


@pytest.mark.parametrize("expires_in", ["0d", "999999999w", "tomorrow", "999999w"])
async def test_a_lifetime_that_cannot_be_is_refused(call: Caller, expires_in: str) -> None:
    answer = await call("POST", "/keys", {**CREATE, "expires_in": expires_in}, expect=422)
    assert {error["pointer"] for error in answer["errors"]} == {"/expires_in"}


async def test_a_refusal_points_to_the_field_by_which_a_time_was_given(
    call: Caller, house: House
) -> None:
    await house.store.save_key(a_key(expires_at=house.clock.now()))
    body = {"reason": "x"}
    for method, path, how in (
        ("PATCH", "/keys/key_a", {"expires_in": "1d"}),
        ("PATCH", "/keys/key_a", {"expires_at": "2999-01-01T00:00:00Z"}),
        ("POST", "/keys/key_a:extend", {**body, "expires_in": "999999w"}),
        ("POST", "/keys/key_a:suspend", {**body, "resume_in": "999999w"}),
        ("POST", "/admin-tokens", {"name": "x", "role": "viewer", "expires_in": "999999w"}),
    ):
        answer = await call(method, path, how, expect=422)
        assert [error["pointer"] for error in answer["errors"]] == [f"/{[*how][-1]}"], path


async def test_two_expiries_are_refused(call: Caller) -> None:
    body = {**CREATE, "expires_in": "1d", "expires_at": "2030-01-01T00:00:00Z"}
    answer = await call("POST", "/keys", body, expect=422)
    assert answer["errors"][0]["detail"] == "give expires_at or expires_in, not both"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"name": "\\ud800"}'])
async def test_a_body_that_is_not_json_is_refused(call: Caller, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await call("POST", "/keys", data=data, headers=headers, expect=400)
    assert answer["detail"] == "The body is not JSON."


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (
            '{"tenant_id": "t1", "tenant_id": "ten_a", "name": "k", "template": "partner"}',
            "/tenant_id",
        ),
        ('{"tenant_id": "t1", "tenant_\\u0069d": "ten_a", "name": "k"}', "/tenant_id"),
        ('{"name": 1, "metadata": {"a/b": [{}, {"c": 1, "c": 1}]}}', "/metadata/a~1b/1/c"),
    ],
)
async def test_a_body_that_says_something_twice_is_refused(
    call: Caller, data: str, pointer: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await call("POST", "/keys", data=data.encode(), headers=headers, expect=400)
    assert answer["detail"] == "A member of the body comes twice."
    assert answer["errors"] == [{"pointer": pointer, "detail": "comes twice: say it once"}]
    assert (await call("GET", "/keys"))["data"] == []


async def test_a_merge_patch_that_says_something_twice_is_refused(
    call: Caller, house: House
) -> None:
    await house.store.save_key(a_key())
    headers = {"Content-Type": "application/merge-patch+json"}
    data = b'{"name": "one", "name": "other"}'
    answer = await call("PATCH", "/keys/key_a", data=data, headers=headers, expect=400)
    assert [error["pointer"] for error in answer["errors"]] == ["/name"]


@pytest.mark.parametrize(("depth", "status"), [(150, 422), (5_000, 400)])
async def test_a_deep_body_is_refused(call: Caller, depth: int, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    data = b'{"metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    await call("POST", "/keys", data=data, headers=headers, expect=status)


async def test_a_body_of_another_type_is_refused(call: Caller) -> None:
    await call("POST", "/keys", data={"name": "x"}, expect=415)


async def test_a_body_that_is_too_long_is_refused(call: Caller) -> None:
    body = {**CREATE, "metadata": {"a": "x" * BODY_BYTES_MAX}}
    assert (await call("POST", "/keys", body, expect=413))["code"] == "body_too_large"


async def test_what_does_not_exist_is_a_problem_too(call: Caller) -> None:
    await call("GET", "/nothing", expect=404)
    await call("DELETE", "/keys", expect=405)
    assert call.headers["Allow"] == "GET,POST"
    answer = await call("GET", "/keys/key_x", expect=404)
    assert answer["detail"] == "there is no key 'key_x'."
    await call("GET", "/keys/bad%3Aid", expect=404)


async def test_an_outage_says_nothing_about_the_store_but_the_log_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Down(MemoryStore):
        async def get(self, kind: type[R], record_id: str) -> R | None:
            raise StoreUnavailable("/secret/path.db is locked")

    async with _serving(House(Down()), tmp_path / "admin.sock") as call:
        answer = await call("GET", "/keys/key_a", expect=503)
        assert call.headers["Retry-After"] == "1"
    assert "path.db" not in repr(answer)
    assert f"{answer['request_id']}: /secret/path.db is locked" in caplog.text


async def test_a_crash_is_told_to_the_log_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryStore):
        async def get(self, kind: type[R], record_id: str) -> R | None:
            raise ZeroDivisionError("inner detail")

    with caplog.at_level(logging.ERROR):
        async with _serving(House(Broken()), tmp_path / "admin.sock") as call:
            answer = await call("GET", "/keys/key_a", expect=500)
    assert (answer["code"], "inner detail" in repr(answer)) == ("internal", False)
    assert answer["request_id"] in caplog.text
    assert "inner detail" in caplog.text


# Tenants


async def test_a_tenant_lives_its_life(call: Caller) -> None:
    body = {"name": "Acme", "plan": "pro", "metadata": {"n": 1}}
    tenant = await call("POST", "/tenants", body, expect=201)
    path = f"/tenants/{tenant['tenant_id']}"
    assert call.headers["Location"] == f"/admin/v1{path}"
    assert tenant == {
        "tenant_id": tenant["tenant_id"],
        "name": "Acme",
        "parent_id": "",
        "state": "active",
        "state_reason": "",
        "ip_allowlist": [],
        "ip_allowlist_enabled": False,
        "ip_allowlist_mode": "enforce",
        "plan": "pro",
        "default_template": "",
        "export_name": "",
        "alerts": {},
        "metadata": {"n": 1},
        "created_at": "2023-11-14T22:13:20Z",
        "deleted_at": None,
        "revision": 2,
    }
    assert await call("GET", path) == tenant
    patch = {"ip_allowlist": ["10.0.0.0/8"], "ip_allowlist_enabled": True, "plan": None}
    changed = await call("PATCH", path, patch)
    assert (changed["ip_allowlist"], changed["plan"]) == (["10.0.0.0/8"], "")
    assert (await call("POST", f"{path}:suspend", {"reason": "unpaid"}))["state"] == "suspended"
    await call("POST", f"{path}:suspend", {}, expect=422)
    assert (await call("POST", f"{path}:resume", {"reason": "paid"}))["state"] == "active"


async def test_tenants_are_listed_in_pages(call: Caller) -> None:
    await call("POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, expect=201)
    await call("POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, expect=409)
    first = await call("GET", "/tenants?limit=1")
    assert ([each["tenant_id"] for each in first["data"]], first["has_more"]) == (["acme"], True)
    rest = await call("GET", "/tenants", params={"cursor": first["next_cursor"]})
    assert ([each["tenant_id"] for each in rest["data"]], rest["has_more"]) == (["ten_a"], False)
    await call("GET", "/tenants?state=nosuch", expect=400)
    await call("GET", "/tenants?plan=pro", expect=400)


# Who may ask


async def test_tcp_without_a_token_serves_nobody(house: House) -> None:
    async with _serving(house, None) as call:
        answer = await call("GET", "/keys", expect=401)
    assert "tollhouse admin bootstrap" in answer["detail"]


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer", "Bearer \xe9"],
)
async def test_a_wrong_token_is_refused_with_a_challenge(
    house: House, authorization: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with _serving(house, None, TOKEN) as call:
        answer = await call("GET", "/keys", headers=headers, expect=401)
        assert call.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert TOKEN not in repr(answer) + caplog.text


async def test_the_token_lets_in_and_its_holder_is_recorded(house: House) -> None:
    async with _serving(house, None, TOKEN) as call:
        headers = {"Authorization": f"bearer  {TOKEN}", "User-Agent": "x" * 300}
        await call("POST", "/keys", CREATE, headers=headers, expect=201)
    actor = house.changes[0].actor
    assert (actor.kind, actor.name, actor.address) == ("admin", "token", "127.0.0.1")
    assert actor.user_agent == "x" * 200


async def test_two_credentials_are_none(house: House) -> None:
    async with _serving(house, None, TOKEN) as call:
        twice = [("Authorization", f"Bearer {TOKEN}")] * 2
        await call("GET", "/keys", headers=twice, expect=401)


async def test_a_token_that_is_set_counts_on_a_unix_socket_too(
    house: House, tmp_path: Path
) -> None:
    async with _serving(house, tmp_path / "admin.sock", TOKEN) as call:
        await call("GET", "/keys", expect=401)
        await call("GET", "/keys", headers={"Authorization": f"Bearer {TOKEN}"})
