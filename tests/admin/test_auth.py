"""Who may ask, and for what: admin tokens, roles, the throttle, and what the audit trail says of logins."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.admin.auth import FAILURES_MAX, TOLD_FAILURES_MAX
from gateway.domain.admin_tokens import Role, minted
from gateway.domain.change import Change, ChangeType
from gateway.ports import Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from tests.admin.caller import CREATE, TOKEN, Caller, serving
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import House

WRONG = minted("0" * 43)


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key())
    return house


@pytest.fixture
async def call(house: House) -> AsyncIterator[Caller]:
    """Whoever comes over TCP, to a listener without a token in the config."""
    async with serving(house, None) as call:
        yield call


async def _token(house: House, role: Role = Role.ADMIN, **values: Any) -> str:
    tokens = house.keyring.admin_tokens
    secret = (await tokens.create(f"a {role}", role, ORDER, **values)).secret
    house.forget()
    return secret


def _bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


# Roles


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {"read"}),
        (Role.AUDITOR, {"read"}),
        (Role.OPERATOR, {"read", "operate"}),
        (Role.ADMIN, {"read", "operate", "administer"}),
    ],
)
async def test_a_role_may_do_what_it_is_for_and_nothing_else(
    house: House, call: Caller, role: Role, allowed: set[str]
) -> None:
    bearer = _bearer(await _token(house, role))
    acts = {
        "read": ("GET", "/keys/key_a", None, 200),
        "operate": ("POST", "/keys", CREATE, 201),
        "administer": ("POST", "/tenants", {"name": "B"}, 201),
    }
    for name, (method, path, body, status) in acts.items():
        expect = status if name in allowed else 403
        answer = await call(method, path, body, expect=expect, **bearer)
        if expect == 403:
            assert "This needs the role" in answer["detail"]
            assert f"yours is {role}" in answer["detail"]


async def test_what_is_refused_names_the_roles_that_would_do(house: House, call: Caller) -> None:
    bearer = _bearer(await _token(house, Role.VIEWER))
    answer = await call("POST", "/keys/key_a:revoke", {"reason": "x"}, expect=403, **bearer)
    assert answer["detail"] == "This needs the role operator or admin; yours is viewer."
    assert answer["code"] == "forbidden"


async def test_a_key_for_several_tenants_is_made_by_administrators_only(
    house: House, call: Caller
) -> None:
    """IV-14."""
    body = {**CREATE, "kind": "multi_tenant", "tenants": ["ten_a"]}
    operator = _bearer(await _token(house, Role.OPERATOR))
    await call("POST", "/keys", body, expect=403, **operator)
    await call("POST", "/keys", {**CREATE, "kind": "multi_tenant"}, expect=403, **operator)
    await call("POST", "/keys", {**CREATE, "template": "ats"}, expect=403, **operator)
    await call("PATCH", "/keys/key_a", {"tenants": ["ten_a"]}, expect=403, **operator)
    created = await call("POST", "/keys", body, expect=201, **_bearer(await _token(house)))
    assert (created["key"]["kind"], created["key"]["tenants"]) == ("multi_tenant", ["ten_a"])


async def test_whoever_asks_is_told_as_whom(house: House, call: Caller, tmp_path: Path) -> None:
    token = await _token(house, Role.OPERATOR, tenant_id="ten_a")
    answer = await call("GET", "/whoami", **_bearer(token))
    assert answer == {
        "name": "a operator",
        "address": "127.0.0.1",
        "role": "operator",
        "rights": ["read", "audit", "operate"],
        "token_id": answer["token_id"],
        "tenant_id": "ten_a",
        "expires_at": None,
    }
    async with serving(house, tmp_path / "admin.sock") as over_socket:
        answer = await over_socket("GET", "/whoami")
    assert (answer["name"], answer["role"]) == (f"uid:{os.getuid()}", "admin")
    assert (answer["token_id"], answer["tenant_id"]) == (None, None)


# Credentials


async def test_a_stored_token_works_beside_the_one_of_the_config(house: House) -> None:
    token = await _token(house, Role.VIEWER)
    async with serving(house, None, TOKEN) as call:
        assert (await call("GET", "/whoami", **_bearer(token)))["role"] == "viewer"
        assert (await call("GET", "/whoami", **_bearer(TOKEN)))["name"] == "token"


async def test_a_token_on_a_unix_socket_counts_for_what_it_is(house: House, tmp_path: Path) -> None:
    token = await _token(house, Role.VIEWER)
    async with serving(house, tmp_path / "admin.sock") as call:
        await call("POST", "/keys", CREATE, expect=403, **_bearer(token))
        await call("GET", "/keys", expect=401, **_bearer(WRONG))
        await call("POST", "/keys", CREATE, expect=201)


async def test_a_revoked_token_opens_nothing_from_the_next_request_on(
    house: House, call: Caller
) -> None:
    token = await _token(house)
    mine = await call("GET", "/whoami", **_bearer(token))
    path = f"/admin-tokens/{mine['token_id']}:revoke"
    revoked = await call("POST", path, {"reason": "left"}, **_bearer(token))
    assert not revoked["is_usable"]
    await call("GET", "/whoami", expect=401, **_bearer(token))


async def test_an_expired_token_opens_nothing(house: House, call: Caller) -> None:
    token = await _token(house, expires_at=house.clock.now() + 60)
    await call("GET", "/whoami", **_bearer(token))
    house.clock.advance(60)
    await call("GET", "/whoami", expect=401, **_bearer(token))


async def test_changes_name_the_token_and_the_request(house: House, call: Caller) -> None:
    token = await _token(house)
    token_id = (await call("GET", "/whoami", **_bearer(token)))["token_id"]
    house.forget()
    await call("POST", "/keys", CREATE, expect=201, **_bearer(token))
    [change] = house.changes
    assert (change.actor.name, change.request_id) == (token_id, call.headers["X-Request-Id"])
    [record] = (await house.store.audit.audit_records())[-1:]
    assert record.content()["request_id"] == call.headers["X-Request-Id"]


async def test_the_last_use_of_a_token_is_shown(house: House, call: Caller) -> None:
    bearer = _bearer(await _token(house))
    await call("GET", "/whoami", **bearer)
    [shown] = (await call("GET", "/admin-tokens", **bearer))["data"]
    assert shown["last_used_at"] == "2023-11-14T22:13:20Z"
    assert "digest" not in shown


async def test_a_key_of_the_data_plane_opens_nothing(house: House, call: Caller) -> None:
    """IV-10."""
    created = await call("POST", "/keys", CREATE, expect=201, **_bearer(await _token(house)))
    await call("GET", "/keys", expect=401, **_bearer(created["secret"]))


# Making tokens


async def test_the_secret_of_a_token_is_in_the_answer_to_create_only(
    house: House, call: Caller
) -> None:
    bearer = _bearer(await _token(house))
    body = {"name": "CI", "role": "operator", "tenant_id": "ten_a", "expires_in": "30d"}
    created = await call("POST", "/admin-tokens", body, expect=201, **bearer)
    token_id = created["token"]["token_id"]
    assert call.headers["Location"] == f"/admin/v1/admin-tokens/{token_id}"
    assert created["token"]["expires_at"] == "2023-12-14T22:13:20Z"
    shown = await call("GET", f"/admin-tokens/{token_id}", **bearer)
    assert shown == created["token"]
    listed = await call("GET", "/admin-tokens?tenant_id=ten_a", **bearer)
    assert listed["data"] == [shown]
    assert created["secret"] not in repr((shown, listed, house.changes))


async def test_everything_wrong_with_a_token_is_told_with_pointers(
    house: House, call: Caller
) -> None:
    bearer = _bearer(await _token(house))
    body = {"name": "", "role": "viewer", "tenant_id": "ten_x"}
    answer = await call("POST", "/admin-tokens", body, expect=422, **bearer)
    assert {each["pointer"] for each in answer["errors"]} == {"/name", "/tenant_id"}
    answer = await call("POST", "/admin-tokens", {"name": "x", "role": "god"}, expect=422, **bearer)
    assert answer["errors"][0]["pointer"] == "/role"


# Failures


async def test_an_address_that_keeps_failing_has_to_wait(house: House, call: Caller) -> None:
    token = await _token(house)
    for _ in range(FAILURES_MAX):
        await call("GET", "/whoami", expect=401, **_bearer(WRONG))
    answer = await call("GET", "/whoami", expect=429, **_bearer(token))
    assert (answer["code"], call.headers["Retry-After"]) == ("throttled", "6")
    house.clock.advance(6)
    await call("GET", "/whoami", **_bearer(token))


async def test_a_socket_peer_without_a_token_is_never_throttled(
    house: House, tmp_path: Path
) -> None:
    async with serving(house, tmp_path / "admin.sock") as call:
        for _ in range(FAILURES_MAX + 1):
            await call("GET", "/whoami", expect=429 if _ == FAILURES_MAX else 401, **_bearer(WRONG))
        await call("GET", "/whoami")


async def test_a_request_without_a_token_is_no_failed_login(house: House, call: Caller) -> None:
    for _ in range(FAILURES_MAX + 1):
        await call("GET", "/whoami", expect=401)
    assert house.changes == []


async def test_failed_logins_are_audited_with_address_and_reason(
    house: House, call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = house.keyring.admin_tokens
    revoked = await tokens.create("old", Role.VIEWER, ORDER, tenant_id="ten_a")
    await tokens.revoke(revoked.record.token_id, an_order("left"))
    expired = await _token(house, expires_at=house.clock.now() + 1)
    house.clock.advance(1)
    for token in (WRONG, revoked.secret, expired):
        await call("GET", "/whoami", expect=401, **_bearer(token))
    assert {change.type for change in house.changes} == {ChangeType.ADMIN_LOGIN_FAILED}
    assert [change.reason for change in house.changes] == [
        "unknown token",
        "revoked token",
        "expired token",
    ]
    assert {change.actor.address for change in house.changes} == {"127.0.0.1"}
    assert house.changes[1].subject_id == revoked.record.token_id
    assert WRONG not in repr(house.changes) + caplog.text
    assert "admin login from 127.0.0.1 failed: revoked token" in caplog.text


async def test_failed_logins_from_many_addresses_cannot_flood_the_audit_trail(
    house: House, call: Caller
) -> None:
    for number in range(TOLD_FAILURES_MAX // FAILURES_MAX + 2):
        connector = aiohttp.TCPConnector(local_addr=(f"127.0.0.{number + 2}", 0))
        async with aiohttp.ClientSession(call.base, connector=connector) as session:
            for _ in range(FAILURES_MAX):
                await Caller(session)("GET", "/whoami", expect=401, **_bearer(WRONG))
    assert len(house.changes) == TOLD_FAILURES_MAX


async def test_a_login_is_audited_once_per_token_and_hour(house: House, call: Caller) -> None:
    one, other = await _token(house), await _token(house, Role.VIEWER)
    for token in (one, one, other, one):
        await call("GET", "/whoami", **_bearer(token))
    assert house.events == [ChangeType.ADMIN_LOGIN_SUCCEEDED] * 2
    house.clock.advance(3600)
    await call("GET", "/whoami", **_bearer(one))
    assert len(house.events) == 3


async def test_the_token_of_the_config_needs_no_store(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryStore):
        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            raise StoreUnavailable("locked")

    lost: list[str] = []
    async with serving(House(Down()), None, TOKEN, untold=lambda: lost.append("login")) as call:
        assert (await call("GET", "/whoami", **_bearer(TOKEN)))["role"] == "admin"
        await call("GET", "/whoami", expect=401, **_bearer(WRONG))
    assert "admin.login_succeeded is not audited: locked" in caplog.text
    assert "admin.login_failed is not audited: locked" in caplog.text
    assert lost == ["login", "login"]
