"""Alerts over the admin API, by role, by reach, and tried without doing anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.alert_messages import MESSAGE_DEAD
from gateway.domain.alert_rules.catalogue import RuleName
from tests.admin.caller import TOKEN, Caller, serving
from tests.alert_samples import NOW, an_alert
from tests.alerts.desk_samples import Room
from tests.contracts.alert_store import a_message
from tests.key_samples import ORDER, a_tenant
from tests.keyring.house import House

ALERTS = [
    an_alert("alr_a"),
    an_alert("alr_child", tenant_id="ten_child", key_id="key_child", resolved_at=NOW + 60),
    an_alert("alr_b", tenant_id="ten_b", key_id="key_b"),
    an_alert("alr_gateway", rule="UpstreamDown", tenant_id="", key_id="", subject="jobs"),
]


class Authorized(Caller):
    """Calls with `token`."""

    token = TOKEN

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        options.setdefault("headers", {})
        options["headers"] = {"Authorization": f"Bearer {self.token}", **options["headers"]}
        return await super().__call__(method, path, body, **options)


@pytest.fixture
def room() -> Room:
    return Room(UpstreamDown={"channels": ["mail", "broken"]}, ApiKeyClientSideUse={"channels": []})


@pytest.fixture
async def house() -> House:
    house = House()
    for tenant_id, parent_id in (("ten_a", ""), ("ten_child", "ten_a"), ("ten_b", "")):
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
    return house


@pytest.fixture
async def call(house: House, room: Room) -> AsyncIterator[Authorized]:
    await room.kept.commit(ALERTS)
    async with serving(house, None, TOKEN, caller=Authorized, alerts=room.desk) as call:
        assert isinstance(call, Authorized)
        yield call


async def _ids(call: Caller, query: str = "") -> list[str]:
    return sorted(each["alert_id"] for each in (await call("GET", f"/alerts{query}"))["data"])


# ---- looking


async def test_an_alert_is_shown_in_the_agreed_shape(call: Authorized) -> None:
    assert await call("GET", "/alerts/alr_a") == {
        "alert_id": "alr_a",
        "rule": "ApiKeyHighErrorRate",
        "state": "firing",
        "severity": "warning",
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "subject": "denied",
        "summary": 'Key "CI" (key_a) of ten_a has errors',
        "details": {"errors": 7},
        "began_at": "2023-11-14T22:13:20Z",
        "fired_at": "2023-11-14T22:13:20Z",
        "last_seen_at": "2023-11-14T22:13:20Z",
        "resolved_at": None,
        "acknowledged_at": None,
        "acknowledged_by": "",
        "acknowledged_reason": "",
        "occurrences": 1,
        "runbook_url": "https://w/r/ApiKeyHighErrorRate.md",
    }
    await call("GET", "/alerts/alr_none", expect=404)


async def test_alerts_are_found_by_each_filter(call: Authorized) -> None:
    for query, found in (
        ("", ["alr_a", "alr_b", "alr_child", "alr_gateway"]),
        ("?state=resolved", ["alr_child"]),
        ("?state=firing", ["alr_a", "alr_b", "alr_gateway"]),
        ("?state=pending", []),
        ("?rule=UpstreamDown", ["alr_gateway"]),
        ("?tenant_id=ten_b", ["alr_b"]),
        ("?key_id=key_a", ["alr_a"]),
        ("?tenant_id=ten_b&state=resolved", []),
    ):
        assert await _ids(call, query) == found, query


async def test_pages_follow_each_other(call: Authorized) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = await call("GET", f"/alerts?limit=3{cursor}")
        seen += [each["alert_id"] for each in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == ["alr_a", "alr_b", "alr_child", "alr_gateway"]


@pytest.mark.parametrize(
    "query",
    ["?state=loud", "?rule=Unheard", "?cursor=x", "?cursor=0", "?cursor=" + "9" * 30, "?limit=0"],
)
async def test_what_cannot_be_asked_is_refused(call: Authorized, query: str) -> None:
    await call("GET", f"/alerts{query}", expect=400)


# ---- acknowledging


async def test_an_alert_is_acknowledged_with_a_reason_and_audited(
    call: Authorized, room: Room
) -> None:
    shown = await call("POST", "/alerts/alr_a:acknowledge", {"reason": "on it"})
    assert (shown["state"], shown["acknowledged_reason"]) == ("acknowledged", "on it")
    assert shown["acknowledged_by"] == "token"
    assert await _ids(call, "?state=acknowledged") == ["alr_a"]
    [record] = await room.kept.audit.audit_records()
    assert (record.type, record.content()["reason"]) == ("alert.acknowledged", "on it")


async def test_a_dry_run_acknowledges_nothing(call: Authorized) -> None:
    shown = await call("POST", "/alerts/alr_a:acknowledge?dry_run=true", {})
    assert (shown["state"], shown["dry_run"]) == ("acknowledged", True)
    assert (await call("GET", "/alerts/alr_a"))["state"] == "firing"


async def test_what_does_not_fire_cannot_be_acknowledged(call: Authorized) -> None:
    answer = await call("POST", "/alerts/alr_child:acknowledge", {}, expect=409)
    assert answer["detail"] == "alert 'alr_child' does not fire: it is resolved."
    await call("POST", "/alerts/alr_none:acknowledge", {}, expect=404)
    await call("POST", "/alerts/alr_a:acknowledge", {"reason": "x\n"}, expect=422)
    await call("POST", "/alerts/alr_a:acknowledge", {"reason": "x" * 501}, expect=422)
    headers = {"If-Match": '"1"'}
    await call("POST", "/alerts/alr_a:acknowledge", {}, expect=400, headers=headers)


# ---- rules and channels


async def test_rules_are_listed_as_they_are_set(call: Authorized, house: House) -> None:
    rules = {each["rule"]: each for each in (await call("GET", "/alerts/rules"))["data"]}
    assert [*rules] == [name.value for name in RuleName]
    assert rules["UpstreamDown"]["channels"] == ["mail", "broken"]
    assert rules["ApiKeyUnusualVolume"]["thresholds"] == {
        "factor": 3.0,
        "requests_min": 200.0,
        "history_min_seconds": 86400.0,
    }
    own = {"rules": {"ApiKeyUnusualVolume": {"enabled": False}}}
    await house.store.save_tenant(a_tenant("ten_b", alerts=own))
    of_tenant = (await call("GET", "/alerts/rules?tenant_id=ten_b"))["data"]
    assert {each["rule"]: each["enabled"] for each in of_tenant}["ApiKeyUnusualVolume"] is False
    assert "UpstreamDown" not in {each["rule"] for each in of_tenant}
    await call("GET", "/alerts/rules?tenant_id=ten_none", expect=404)


async def test_a_test_says_for_each_channel_what_came_of_it(call: Authorized, room: Room) -> None:
    answer = await call("POST", "/alerts:test", {"rule": "UpstreamDown"})
    assert answer["channels"] == [
        {"channel": "mail", "delivered": True, "error": None},
        {"channel": "broken", "delivered": False, "error": "the receiver answered 500"},
    ]
    assert (await call("POST", "/alerts:test", {"channel": "ops"}))["channels"][0]["delivered"]
    assert [name for name, _ in room.postmen.sent] == ["mail", "ops"]
    assert (await call("POST", "/alerts:test", {"rule": "ApiKeyClientSideUse"}))["channels"] == []


async def test_a_dry_run_of_a_test_sends_nothing(call: Authorized, room: Room) -> None:
    answer = await call("POST", "/alerts:test?dry_run=true", {"channel": "ops"})
    assert answer["channels"][0]["error"] == "not sent: a dry run"
    assert room.postmen.sent == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"channel": "ops", "rule": "UpstreamDown"}, ""),
        ({"channel": "gone"}, "/channel"),
        ({"rule": "Unheard"}, "/rule"),
        ({"to": "ops"}, "/to"),
    ],
)
async def test_a_test_names_what_it_tries(
    call: Authorized, body: dict[str, str], pointer: str
) -> None:
    answer = await call("POST", "/alerts:test", body, expect=422)
    assert answer["errors"][0]["pointer"] == pointer


# ---- dead letters


async def test_messages_that_are_not_delivered_are_listed_and_sent_again(
    call: Authorized, room: Room
) -> None:
    await room.kept.pack(a_message("msg_1", state=MESSAGE_DEAD, attempts=10, error="no"), 0)
    await room.kept.pack(a_message("msg_2", channel="mail"), 0)
    [dead] = (await call("GET", "/alerts/deliveries?state=dead"))["data"]
    assert (dead["delivery_id"], dead["attempts"], dead["last_error"]) == ("msg_1", 10, "no")
    page = await call("GET", "/alerts/deliveries?limit=1")
    assert page["next_cursor"] == "msg_1"
    rest = await call("GET", "/alerts/deliveries?limit=1&cursor=msg_1")
    assert [each["delivery_id"] for each in rest["data"]] == ["msg_2"]
    assert [
        each["channel"] for each in (await call("GET", "/alerts/deliveries?channel=mail"))["data"]
    ]
    tried = await call("POST", "/alerts/deliveries/msg_1:retry?dry_run=true")
    assert (tried["state"], room.postmen.woken) == ("waiting", [])
    again = await call("POST", "/alerts/deliveries/msg_1:retry")
    assert (again["state"], again["attempts"], room.postmen.woken) == ("waiting", 0, ["ops"])
    await call("POST", "/alerts/deliveries/msg_none:retry", expect=404)
    await call("GET", "/alerts/deliveries?state=lost", expect=400)


# ---- who may


async def token(house: House, role: Role, tenant_id: str = "") -> str:
    created = await house.keyring.admin_tokens.create("x", role, ORDER, tenant_id=tenant_id)
    return created.secret


async def test_viewers_look_and_operators_act(call: Authorized, house: House) -> None:
    call.token = await token(house, Role.VIEWER)
    await call("GET", "/alerts")
    await call("GET", "/alerts/alr_gateway")
    await call("GET", "/alerts/rules")
    for method, path, body in (
        ("POST", "/alerts/alr_a:acknowledge", {}),
        ("POST", "/alerts:test", {"channel": "ops"}),
        ("GET", "/alerts/deliveries", None),
        ("POST", "/alerts/deliveries/msg_1:retry", None),
    ):
        await call(method, path, body, expect=403)
    call.token = await token(house, Role.OPERATOR)
    await call("POST", "/alerts/alr_a:acknowledge", {})
    await call("GET", "/alerts/deliveries")


async def test_a_bound_token_sees_its_tenants_and_nothing_of_the_gateway(
    call: Authorized, house: House
) -> None:
    call.token = await token(house, Role.OPERATOR, "ten_a")
    assert await _ids(call) == ["alr_a", "alr_child"]
    assert await _ids(call, "?tenant_id=ten_child") == ["alr_child"]
    await call("GET", "/alerts?tenant_id=ten_b", expect=404)
    assert await _ids(call, "?key_id=key_b") == []
    for alert_id in ("alr_b", "alr_gateway", "alr_none"):
        answer = await call("GET", f"/alerts/{alert_id}", expect=404)
        assert answer["detail"] == f"there is no alert '{alert_id}'."
        await call("POST", f"/alerts/{alert_id}:acknowledge", {}, expect=404)
    await call("POST", "/alerts/alr_a:acknowledge", {"reason": "mine"})
    rules = (await call("GET", "/alerts/rules"))["data"]
    assert all(each["is_of_tenant"] and each["channels"] == [] for each in rules)
    for method, path, body in (
        ("POST", "/alerts:test", {"channel": "ops"}),
        ("GET", "/alerts/deliveries", None),
        ("POST", "/alerts/deliveries/msg_1:retry", None),
    ):
        await call(method, path, body, expect=403)


async def test_what_a_tenant_says_about_its_alerts_is_judged_with_its_place(
    call: Authorized,
) -> None:
    alerts = {"time_zone": "Europe/Berlino", "rules": {"ApiKeyUnusualVolume": {"factor": "x"}}}
    answer = await call("PATCH", "/tenants/ten_a", {"alerts": alerts}, expect=422)
    assert [each["pointer"] for each in answer["errors"]] == [
        "/alerts/time_zone",
        "/alerts/rules/ApiKeyUnusualVolume/factor",
    ]
    good = {"time_zone": "Europe/Berlin", "business_hours": {"opens": "08:00", "closes": "18:00"}}
    shown = await call("PATCH", "/tenants/ten_a", {"alerts": good})
    assert shown["alerts"] == good
