"""What a request may ask besides what it wants: a condition, a dry run, a part of a list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.admin.config import ConfigRoutes
from gateway.config.reloading import Reloaded
from gateway.domain.change import Actor
from gateway.domain.keys import KeyKind, KeyState
from gateway.domain.policies import PolicyRules, RotationRule
from tests.admin.caller import CREATE, Caller, serving
from tests.key_samples import a_key, a_tenant
from tests.keyring.house import House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    await house.store.save_tenant(a_tenant("ten_b"))
    await house.store.save_key(a_key())
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Caller]:
    async with serving(house, tmp_path / "admin.sock") as call:
        yield call


# Conditions


@pytest.mark.parametrize("path", ["/keys/key_a", "/tenants/ten_a"])
async def test_a_record_carries_its_revision_as_a_tag(call: Caller, path: str) -> None:
    shown = await call("GET", path)
    assert call.headers["ETag"] == f'"{shown["revision"]}"'
    changed = await call("PATCH", path, {"name": "New"})
    assert call.headers["ETag"] == f'"{changed["revision"]}"' != f'"{shown["revision"]}"'


CHANGES = [
    ("PATCH", "/keys/key_a", {"name": "New"}),
    ("POST", "/keys/key_a:suspend", {"reason": "x"}),
    ("POST", "/keys/key_a:revoke", {"reason": "x"}),
    ("PATCH", "/tenants/ten_a", {"name": "New"}),
    ("POST", "/tenants/ten_a:suspend", {"reason": "x"}),
    ("DELETE", "/tenants/ten_b", {"reason": "x"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_change_of_a_record_that_changed_since_is_refused(
    house: House, call: Caller, method: str, path: str, body: Any
) -> None:
    await call("GET", path.partition(":")[0])
    seen = call.headers["ETag"]
    await call(method, path, body, headers={"If-Match": '"999"'}, expect=412)
    assert house.changes == []
    await call(method, path, body, headers={"If-Match": seen})
    assert len(house.changes) == 1
    answer = await call(method, path, body, headers={"If-Match": seen}, expect=412)
    assert (answer["code"], "read it again" in answer["detail"]) == ("stale", True)
    await call(method, path, body, headers={"If-Match": "*"})


@pytest.mark.parametrize("tag", ["1", "x", 'W/"1"', '"1", "2"', '"x"', '""', '"' + "1" * 16 + '"'])
async def test_a_condition_that_is_not_understood_is_refused(call: Caller, tag: str) -> None:
    headers = {"If-Match": tag}
    await call("PATCH", "/keys/key_a", {"name": "New"}, headers=headers, expect=400)


async def test_nothing_exists_that_the_condition_of_a_creation_could_be_about(
    call: Caller,
) -> None:
    await call("POST", "/keys", CREATE, headers={"If-Match": "*"}, expect=400)
    await call("POST", "/tenants", {"name": "B"}, headers={"If-Match": '"1"'}, expect=400)


# Dry runs


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *CHANGES,
        ("POST", "/keys", CREATE),
        ("POST", "/tenants", {"name": "B"}),
        ("POST", "/admin-tokens", {"name": "CI", "role": "viewer"}),
    ],
)
async def test_a_dry_run_shows_what_would_be_and_changes_nothing(
    house: House, call: Caller, method: str, path: str, body: Any
) -> None:
    revision = await house.store.revision()
    answer = await call(method, f"{path}?dry_run=true", body)
    assert answer["dry_run"] is True
    assert "enforcement" not in answer
    assert answer.get("secret") is None
    assert "Location" not in call.headers
    assert "ETag" not in call.headers
    assert (await house.store.revision(), house.changes, house.invalidated) == (revision, [], [])
    done = await call(
        method, f"{path}?dry_run=false", body, expect=201 if path.count("/") == 1 else 200
    )
    assert "dry_run" not in done
    assert house.changes != []


async def test_a_dry_run_is_refused_like_the_act(call: Caller) -> None:
    await call("POST", "/keys?dry_run=true", {**CREATE, "scopes": ["x"]}, expect=422)
    await call("POST", "/keys/key_x:revoke?dry_run=true", {"reason": "x"}, expect=404)
    await call("POST", "/keys/key_a:revoke", {"reason": "x"})
    await call("POST", "/keys/key_a:resume?dry_run=true", {}, expect=409)
    body = {"tenant_id": "ten_a", "name": "Again"}
    await call("POST", "/tenants?dry_run=true", body, expect=409)


@pytest.mark.parametrize(
    "query", ["dry_run=1", "dry_run=", "dryrun=true", "dry_run=true&dry_run=true", "x=1"]
)
async def test_an_act_with_a_query_that_is_not_understood_is_refused(
    house: House, call: Caller, query: str
) -> None:
    await call("POST", f"/keys/key_a:revoke?{query}", {"reason": "x"}, expect=400)
    await call("POST", f"/keys?{query}", CREATE, expect=400)
    assert house.changes == []


async def test_a_dry_run_keeps_numbers_of_any_length(call: Caller) -> None:
    body = {**CREATE, "metadata": {"n": 2**80}}
    answer = await call("POST", "/keys?dry_run=true", body)
    assert answer["key"]["metadata"] == {"n": 2**80}


async def test_a_dry_run_of_a_reload_is_a_check(house: House, tmp_path: Path) -> None:
    asked: list[str] = []

    async def reload(_: Actor) -> Reloaded:
        asked.append("reload")
        return Reloaded(generation=2)

    async def check() -> Reloaded:
        asked.append("check")
        return Reloaded(generation=2)

    async def never(_: object) -> NoReturn:
        raise AssertionError

    config = ConfigRoutes(reload, check, roll_back=never, plan=never)
    async with serving(house, tmp_path / "admin.sock", config=config) as call:
        answer = await call("POST", "/config:reload?dry_run=true")
        assert (answer["result"], answer["dry_run"], asked) == ("checked", True, ["check"])
        assert (await call("POST", "/config:reload"))["result"] == "applied"


# Lists


async def test_keys_are_found_by_what_they_are(house: House, call: Caller) -> None:
    await house.store.save_tenant(a_tenant("ten_b"))
    for key in (
        a_key("key_b", tenant_id="ten_b"),
        a_key("key_c", environment="test", tags=("ci", "web"), name="Candidate portal"),
        a_key("key_d", template="ci", lineage_id="lin_x", pepper_id="p2"),
        a_key("key_e", kind=KeyKind.MULTI_TENANT, display="sk_live_zzzz…0000"),
        a_key("key_f", is_hidden=True, state=KeyState.REVOKED),
    ):
        await house.store.save_key(key)

    async def found(query: str) -> str:
        keys = (await call("GET", f"/keys?{query}"))["data"]
        return "".join(key["key_id"].removeprefix("key_") for key in keys)

    assert await found("") == "abcde"
    assert await found("tenant_id=ten_b") == "b"
    assert await found("environment=test") == "c"
    assert await found("template=ci") == "d"
    assert await found("kind=multi_tenant") == "e"
    assert await found("tag=web") == "c"
    assert await found("lineage_id=lin_x") == "d"
    assert await found("pepper_id=p2") == "d"
    assert await found("q=portal") == "c"
    assert await found("q=key_d") == "d"
    assert await found("q=sk_live_zzzz%E2%80%A60000") == "e"
    assert await found("with_hidden=true") == "abcdef"
    assert await found("with_hidden=true&state=revoked") == "f"
    assert await found("tenant_id=ten_a&environment=live&kind=regular") == "ad"


@pytest.mark.parametrize("query", ["kind=big", "kind=", "with_hidden=yes", "state=", "id=x"])
async def test_a_filter_that_is_not_understood_is_refused(call: Caller, query: str) -> None:
    await call("GET", f"/keys?{query}", expect=400)


async def test_the_children_of_a_tenant_are_listed(call: Caller) -> None:
    child = {
        "tenant_id": "ten_child",
        "name": "Customer",
        "parent_id": "ten_a",
        "ip_allowlist_mode": "shadow",
        "export_name": "ACME_KEY",
        "alerts": {"time_zone": "Europe/Berlin", "rules": {"ApiKeyUnusualVolume": {"factor": 2}}},
    }
    made = await call("POST", "/tenants", child, expect=201)
    assert {name: made[name] for name in child} == child
    listed = await call("GET", "/tenants?parent_id=ten_a")
    assert [each["tenant_id"] for each in listed["data"]] == ["ten_child"]
    own = {"ApiKeyUnusualVolume": {"factor": None, "requests_min": 5}}
    patch = {"alerts": {"time_zone": None, "rules": own}, "export_name": None}
    changed = await call("PATCH", "/tenants/ten_child", patch)
    merged = {"rules": {"ApiKeyUnusualVolume": {"requests_min": 5}}}
    assert (changed["alerts"], changed["export_name"]) == (merged, "")
    answer = await call("PATCH", "/tenants/ten_child", {"parent_id": ""}, expect=422)
    assert answer["errors"] == [{"pointer": "/parent_id", "detail": "unknown field"}]


async def test_a_secret_can_be_handed_over_with_a_link_instead_of_the_answer(
    house: House, call: Caller
) -> None:
    """HT-3."""
    created = await call("POST", "/keys", {**CREATE, "deliver_in": "2d"}, expect=201)
    assert (created["secret"], created["delivery_url"][:14]) == (None, "/delivery/thd_")
    assert "the link leads to the admin listener" in created["warnings"][0]
    token = created["delivery_url"].removeprefix("/delivery/")
    redeemed = await house.keyring.deliveries.redeem(token, "192.0.2.1")
    assert redeemed.record.key_id == created["key"]["key_id"]
    without = await call("POST", "/keys", {**CREATE, "name": "other"}, expect=201)
    assert (without["delivery_url"], without["warnings"]) == (None, [])
    trial = await call("POST", "/keys?dry_run=true", {**CREATE, "deliver_in": "2d"})
    assert (trial["secret"], trial["delivery_url"]) == (None, None)
    answer = await call("POST", "/keys", {**CREATE, "deliver_in": "31d"}, expect=422)
    assert answer["errors"] == [{"pointer": "/deliver_in", "detail": "must be at most 30 days"}]


async def test_a_key_says_when_it_has_to_be_rotated(tmp_path: Path) -> None:
    """HP-10."""
    rules = PolicyRules(rotation=(RotationRule(every_seconds=90 * 86_400.0),))
    house = House(policies=rules)
    await house.store.save_tenant(a_tenant())
    async with serving(house, tmp_path / "other.sock") as call:
        key = (await call("POST", "/keys", CREATE, expect=201))["key"]
        assert (key["rotation_due_at"], key["is_rotation_overdue"]) == (
            "2024-02-12T22:13:20Z",
            False,
        )
        house.clock.advance(90 * 86_400)
        assert (await call("GET", f"/keys/{key['key_id']}"))["is_rotation_overdue"]


async def test_a_new_key_comes_with_the_variable_that_its_tenant_keeps_keys_in(
    call: Caller,
) -> None:
    """HP-18."""
    await call("PATCH", "/tenants/ten_a", {"export_name": "HIREPANDA_API_KEY"})
    created = await call("POST", "/keys", CREATE, expect=201)
    assert created["export_name"] == "HIREPANDA_API_KEY"
