"""Leaks over the admin API: which keys were found, what is done about them, and that no token goes anywhere (D9)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.admin.leaks import REPORTS_MAX
from gateway.audit.room import AuditRoom
from gateway.config.model import Config
from gateway.domain.admin_tokens import Role
from gateway.domain.change import ChangeType
from gateway.domain.keys import KeyState
from gateway.domain.queries import AuditQuery
from tests.admin.bound import PARENTS, As
from tests.admin.caller import serving
from tests.config.sample import PEPPER
from tests.key_samples import ORDER, a_tenant
from tests.keyring.house import House


class Pages:
    """Shows the trail of a store."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def page(self, query: AuditQuery, *, after: int = 0, limit: int = 100) -> Any:
        return await self._house.store.audit.audit_records(query, after=after, limit=limit)


class Policy:
    """The configuration in force."""

    leaks = "report"

    def __call__(self) -> Config:
        return Config.model_validate(
            {
                "version": 1,
                "peppers": {"current": "p1", "p1": PEPPER},
                "policies": {"leaks": self.leaks},
            }
        )


@pytest.fixture
async def house() -> House:
    house = House()
    for tenant_id, parent_id in PARENTS.items():
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
    return house


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
async def call(house: House, policy: Policy) -> AsyncIterator[As]:
    audit = cast("AuditRoom", Pages(house))
    async with serving(house, None, caller=As, audit=audit, settings=policy) as call:
        assert isinstance(call, As)
        await call.become(house.keyring, Role.OPERATOR)
        yield call


async def reported(call: As, *tokens: str, **where: Any) -> list[Any]:
    leaks = [{"token": token, **where} for token in tokens]
    answer = await call("POST", "/leaks", {"leaks": leaks})
    assert all(token not in json.dumps(answer) for token in tokens)
    found: list[Any] = answer["leaks"]
    return found


async def listed(call: As, query: str = "") -> list[Any]:
    found: list[Any] = (await call("GET", f"/leaks{query}"))["data"]
    return found


async def test_a_report_says_which_key_a_token_is_and_leaves_it_by_default(
    call: As, house: House
) -> None:
    minted = await house.minted()
    url = "https://git.example/o/r/blob/0123456789012345678901234567890123456789/a.py#L3"
    key, unknown = await reported(call, minted.secret, "sk_live_nothing", url=url, source="github")
    assert (key["result"], key["key_id"], key["done"]) == ("key", minted.record.key_id, "none")
    assert (key["state"], key["display"]) == ("active", minted.record.display)
    assert (unknown["result"], unknown["key_id"], unknown["tenant_id"]) == ("unknown", None, None)
    assert (await house.key(minted.record.key_id)).state is KeyState.ACTIVE
    [leak] = await listed(call)
    assert (leak["key_id"], leak["url"], leak["source"]) == (minted.record.key_id, url, "github")
    assert (leak["policy"], leak["state"]) == ("report", "active")
    assert leak["reported_by"].startswith("adm_")
    assert house.events[-2:] == [ChangeType.KEY_LEAK_REPORTED, ChangeType.KEY_LOOKED_UP]


@pytest.mark.parametrize(
    ("leaks", "done", "state"),
    [("suspend", "suspended", KeyState.SUSPENDED), ("revoke", "revoked", KeyState.REVOKED)],
)
async def test_the_policy_stops_what_was_reported(
    call: As, house: House, policy: Policy, leaks: str, done: str, state: KeyState
) -> None:
    policy.leaks = leaks
    minted = await house.minted()
    first, again = await reported(call, minted.secret, minted.secret)
    assert (first["done"], first["state"], first["is_everywhere"]) == (done, "active", True)
    assert (again["done"], again["state"]) == ("none", str(state))
    assert (await house.key(minted.record.key_id)).state is state
    assert (first["incident_id"] is not None) == (leaks == "revoke")
    if leaks == "revoke":
        incident = await call("GET", f"/incidents/{first['incident_id']}")
        assert (incident["key_id"], incident["replacement_key_id"]) == (minted.record.key_id, "")
        assert incident["reason"] == "reported as leaked"


async def test_an_incident_begins_when_the_token_was_there(
    call: As, house: House, policy: Policy
) -> None:
    policy.leaks = "revoke"
    minted = await house.minted()
    house.clock.advance(3600)
    [found] = await reported(call, minted.secret, since="2023-11-14T22:30:00Z")
    incident = await call("GET", f"/incidents/{found['incident_id']}")
    assert incident["since"] == "2023-11-14T22:30:00Z"
    body = {"leaks": [{"token": minted.secret, "since": "2099-01-01T00:00:00Z"}]}
    refused = await call("POST", "/leaks", body, expect=422)
    assert refused["errors"][0]["pointer"] == "/leaks/0/since"


async def test_a_dry_run_tells_and_does_nothing(call: As, house: House, policy: Policy) -> None:
    policy.leaks = "revoke"
    minted = await house.minted()
    body = {"leaks": [{"token": minted.secret}, {"token": "nothing"}]}
    answer = await call("POST", "/leaks?dry_run=true", body)
    assert (answer["dry_run"], answer["leaks"][0]["done"]) == (True, "revoked")
    assert answer["leaks"][0]["incident_id"] is None
    assert (await house.key(minted.record.key_id)).state is KeyState.ACTIVE
    assert await listed(call) == []
    assert {*house.events} <= {ChangeType.ADMIN_LOGIN_SUCCEEDED}


async def test_places_are_kept_without_what_could_be_a_secret(call: As, house: House) -> None:
    minted, other = await house.minted(), await house.minted()
    url = f"https://me:hunter2@x.example/{other.secret}?token=abc&k={minted.secret}#{minted.secret}"
    await reported(call, minted.secret, url=url, source=minted.secret)
    trail = json.dumps([each.body for each in await house.store.audit.audit_records(limit=100)])
    shown = json.dumps(await listed(call)) + trail
    for secret in (minted.secret, other.secret, "hunter2", "abc&"):
        assert secret not in shown
    assert "https://x.example/" in shown


async def test_an_admin_token_is_told_apart_and_left_to_people(
    call: As, house: House, policy: Policy
) -> None:
    policy.leaks = "revoke"
    minted = await house.keyring.admin_tokens.create("ci", Role.VIEWER, ORDER)
    house.forget()
    [found] = await reported(call, minted.secret)
    assert (found["result"], found["done"]) == ("admin_token", "none")
    assert found["token_id"] == minted.record.token_id
    [leak] = await listed(call)
    assert (leak["key_id"], leak["token_id"]) == (None, minted.record.token_id)


async def test_a_token_bound_to_a_tenant_reports_and_sees_its_own_only(
    call: As, house: House, policy: Policy
) -> None:
    """HT-9."""
    policy.leaks = "revoke"
    own, child = await house.minted(), await house.minted(tenant_id="ten_child")
    foreign = await house.minted(tenant_id="ten_b")
    operator = await house.keyring.admin_tokens.create("x", Role.OPERATOR, ORDER)
    await reported(call, foreign.secret)
    second = await house.minted(tenant_id="ten_b")
    await call.become(house.keyring, Role.OPERATOR, "ten_a")
    found = await reported(call, *(m.secret for m in (own, child, second, operator)))
    assert [each["result"] for each in found] == ["key", "key", "unknown", "unknown"]
    assert (await house.key(second.record.key_id)).state is KeyState.ACTIVE
    assert {leak["tenant_id"] for leak in await listed(call)} == {"ten_a", "ten_child"}
    assert await listed(call, "?tenant_id=ten_child&limit=1")
    await call("GET", "/leaks?tenant_id=ten_b", expect=404)


async def test_lists_go_on_where_they_ended(call: As, house: House) -> None:
    keys = [(await house.minted()).secret for _ in range(3)]
    await reported(call, *keys)
    first = await call("GET", "/leaks?limit=2")
    second = await call("GET", f"/leaks?limit=2&cursor={first['next_cursor']}")
    assert (len(first["data"]), len(second["data"]), second["has_more"]) == (2, 1, False)
    [one] = await listed(call, f"?key_id={first['data'][0]['key_id']}")
    assert one == first["data"][0]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
async def test_who_only_reads_reports_nothing(call: As, house: House, role: Role) -> None:
    await call.become(house.keyring, role)
    assert await listed(call) == []
    await call("POST", "/leaks", {"leaks": [{"token": "x"}]}, expect=403)


@pytest.mark.parametrize(
    "body",
    [
        {"leaks": []},
        {"leaks": [{"token": "x"}] * 101},
        {"leaks": [{"token": ""}]},
        {"leaks": [{"token": "x", "url": "javascript:x"}]},
        {"leaks": [{"token": "x", "more": 1}]},
        {"leaks": [{"token": "x"}], "reason": "x" * 501},
    ],
)
async def test_what_is_no_report_is_refused(call: As, body: dict[str, Any]) -> None:
    await call("POST", "/leaks", body, expect=422)


async def test_nobody_reports_without_end(call: As, house: House) -> None:
    body = {"leaks": [{"token": "x"}]}
    for _ in range(REPORTS_MAX):
        await call("POST", "/leaks", body)
    answer = await call("POST", "/leaks", body, expect=429)
    assert (answer["code"], call.headers["Retry-After"]) == ("throttled", "1")
    house.clock.advance(1)
    await call("POST", "/leaks", body)


async def test_a_condition_is_refused(call: As) -> None:
    body = {"leaks": [{"token": "x"}]}
    await call("POST", "/leaks", body, expect=400, headers={"If-Match": '"3"'})
