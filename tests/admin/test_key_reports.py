"""Reports over keys: a synthetic month of traffic gives exactly the expected report (D13)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from gateway.domain.tenants import Tenant
from gateway.domain.usage import Dimensions
from gateway.ports import KeptUsage
from gateway.stores.memory_usage import MemoryUsage
from tests.admin.caller import Caller, serving
from tests.key_samples import ORDER, a_key, a_tenant
from tests.keyring.house import House
from tests.usage_samples import DAY, HOUR, KEPT, NOON, a_cell, a_facet

NOW = NOON + 30 * DAY
SCOPES: Mapping[str, tuple[str, ...]] = {
    "jobs.list": ("jobs:read",),
    "jobs.write": ("jobs:write",),
    "jobs.delete": ("jobs:delete",),
    "candidates.list": ("candidates:read",),
    "me": (),
}


class Facts:
    """Implements `admin.key_reports.KeyFacts`: keys on a plan are limited."""

    def is_limited(self, key: KeyRecord, tenant: Tenant) -> bool:
        return bool(key.plan or tenant.plan)

    def scopes_of_routes(self) -> Mapping[str, tuple[str, ...]]:
        return SCOPES


def of(key_id: str, route: str, **changes: Any) -> Dimensions:
    values: dict[str, Any] = {
        "tenant_id": "ten_a",
        "owner_id": "ten_a",
        "lineage_id": f"lin_{key_id}",
        "environment": "live",
        "is_billable": True,
    }
    return Dimensions(key_id=key_id, route=route, **(values | changes))


class Month:
    """Thirty days of traffic, an hour at a time."""

    def __init__(self) -> None:
        self.store = MemoryUsage()

    async def daily(
        self,
        key_id: str,
        route: str,
        *,
        hour: int = 9,
        requests: int = 10,
        networks: tuple[str, ...] = ("203.0.113.0/24",),
        days: range = range(30),
        tenant_id: str = "ten_a",
        **counted: int,
    ) -> None:
        """Let the key be used on each of `days`, in the hour of the day that begins at `hour`."""
        for day in days:
            start = NOON - 12 * HOUR + day * DAY + hour * HOUR
            cell = a_cell(start, requests, of=of(key_id, route, tenant_id=tenant_id), **counted)
            facets = [
                a_facet(
                    network,
                    start=start,
                    key_id=key_id,
                    tenant_id=tenant_id,
                    requests=requests,
                    first_at=start + 1.0,
                    last_at=start + 59.0,
                )
                for network in networks
            ]
            await self.store.add([cell], facets)


GOOD: dict[str, Any] = {
    "created_at": NOW - 40.0 * DAY,
    "last_used_at": NOW - 3 * HOUR,
    "expires_at": NOW + 50.0 * DAY,
    "plan": "pro",
    "pepper_id": "p2",
    "scopes": ("jobs:read",),
}


class Served:
    """The admin API over a month of traffic."""

    def __init__(self, house: House, month: Month, call: Caller) -> None:
        self.house = house
        self.month = month
        self.call = call
        self.token = ""

    async def __call__(self, path: str, expect: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.call("GET", f"/reports/{path}", expect=expect, headers=headers)

    async def key(self, key_id: str, **changes: Any) -> None:
        values = {"display": f"sk_live_{key_id}", **GOOD, **changes}
        await self.house.store.save_key(a_key(key_id, **values))

    async def flaws(self, query: str = "") -> dict[str, list[tuple[Any, ...]]]:
        return {
            key["key_id"]: [(f["finding"], f["since"], f["count"]) for f in key["findings"]]
            for key in (await self(f"hygiene{query}"))["data"]
        }


@pytest.fixture
async def report(tmp_path: Any) -> AsyncIterator[Served]:
    rotation = RotationRule(match=KeyMatch(tags=("rotated",)), every_seconds=30.0 * DAY)
    house, month = House(policies=PolicyRules(rotation=(rotation,))), Month()
    house.clock.wall = float(NOW)
    for tenant_id, parent_id in (("ten_a", ""), ("ten_child", "ten_a"), ("ten_b", "")):
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
    usage = KeptUsage(month.store, lambda: KEPT)
    async with serving(house, tmp_path / "a.sock", usage=usage, facts=Facts()) as call:
        yield Served(house, month, call)


# ---- hygiene


async def test_a_month_of_traffic_gives_exactly_the_flaws_that_there_are(report: Served) -> None:
    """D13, HP-10, HP-19, HP-23."""
    many = tuple(f"198.51.{n}.0/24" for n in range(12))
    await report.key("key_clean")
    await report.key("key_idle", last_used_at=NOW - 31.0 * DAY)
    await report.key("key_unused", last_used_at=None)
    await report.key("key_eternal", expires_at=None)
    await report.key("key_unlimited", plan="")
    await report.key("key_overdue", tags=("rotated",))
    await report.key("key_shared")
    await report.key("key_browser")
    await report.key("key_pepper", pepper_id="p1")
    await report.key("key_revoked", state=KeyState.REVOKED, pepper_id="p1", plan="")
    await report.key("key_expired", expires_at=NOW - 1.0, plan="")
    for key_id in ("key_clean", "key_eternal", "key_unlimited", "key_overdue", "key_pepper"):
        await report.month.daily(key_id, "jobs.list")
    await report.month.daily("key_shared", "jobs.list", networks=many)
    await report.month.daily("key_browser", "jobs.list", from_browser=2)
    assert await report.flaws() == {
        "key_browser": [("client_side_use", None, 58)],  # the first morning was longer ago
        "key_eternal": [("never_expires", None, None)],
        "key_idle": [("idle", "2023-11-14T12:00:00Z", None)],
        "key_overdue": [("rotation_overdue", "2023-12-05T12:00:00Z", None)],
        "key_pepper": [("old_pepper", None, None)],
        "key_shared": [("many_networks", None, 12)],
        "key_unlimited": [("unlimited", None, None)],
        "key_unused": [("idle", "2023-11-05T12:00:00Z", None)],
    }


async def test_a_key_is_shown_as_everybody_may_see_it(report: Served) -> None:
    await report.key("key_a", plan="")
    [key] = (await report("hygiene"))["data"]
    assert {**key, "findings": None} == {
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "name": "Key key_a",
        "display": "sk_live_key_a",
        "environment": "live",
        "state": "active",
        "created_at": "2023-11-05T12:00:00Z",
        "last_used_at": "2023-12-15T09:00:00Z",
        "expires_at": "2024-02-03T12:00:00Z",
        "findings": None,
    }


async def test_what_is_a_flaw_can_be_said(report: Served) -> None:
    await report.key("key_a", last_used_at=NOW - 8.0 * DAY)
    await report.month.daily("key_a", "jobs.list", networks=("192.0.2.0/24", "203.0.113.0/24"))
    assert await report.flaws() == {}
    assert set(await report.flaws("?idle=7d")) == {"key_a"}
    assert await report.flaws("?networks=1") == {"key_a": [("many_networks", None, 2)]}
    assert await report.flaws("?networks=1&since=2023-12-15T10:00:00Z") == {}


async def test_a_page_of_a_flaw_that_records_tell_is_filled_though_it_is_rare(
    report: Served,
) -> None:
    many = tuple(f"198.51.{n}.0/24" for n in range(12))
    for n in range(30):
        await report.key(f"key_{n:02}", plan="" if n % 10 == 9 else "pro")
    await report.month.daily("key_19", "jobs.list", networks=many)
    page = await report("hygiene?finding=unlimited&limit=2")
    assert [key["key_id"] for key in page["data"]] == ["key_09", "key_19"]
    assert [each["finding"] for each in page["data"][1]["findings"]] == [
        "unlimited",
        "many_networks",
    ]
    page = await report(f"hygiene?finding=unlimited&limit=2&cursor={page['next_cursor']}")
    assert ([key["key_id"] for key in page["data"]], page["next_cursor"]) == (["key_29"], None)


async def test_a_report_can_be_about_some_keys(report: Served) -> None:
    await report.key("key_a", plan="")
    await report.key("key_b", plan="", tenant_id="ten_b")
    await report.key("key_t", plan="", environment="test", expires_at=None)
    assert set(await report.flaws("?tenant_id=ten_b")) == {"key_b"}
    assert set(await report.flaws("?environment=test")) == {"key_t"}
    assert set(await report.flaws("?finding=never_expires")) == {"key_t"}
    assert set(await report.flaws("?finding=idle")) == set()


async def test_pages_go_through_all_keys_whether_or_not_anything_is_wrong(report: Served) -> None:
    for number in range(5):
        await report.key(f"key_{number}", plan="" if number == 3 else "pro")
    found, query = [], "hygiene?limit=2"
    pages = 0
    while query:
        page = await report(query)
        found += [key["key_id"] for key in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
        query = f"hygiene?limit=2&cursor={cursor}" if cursor else ""
        pages += 1
    assert (found, pages) == (["key_3"], 3)


async def test_without_usage_the_records_are_judged_alone(tmp_path: Any) -> None:
    house = House()
    house.clock.wall = float(NOW)
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key(**{**GOOD, "plan": ""}))
    async with serving(house, tmp_path / "a.sock", facts=Facts()) as call:
        [key] = (await call("GET", "/reports/hygiene"))["data"]
        assert [each["finding"] for each in key["findings"]] == ["unlimited"]
        problem = await call("GET", "/reports/least-privilege", expect=409)
        assert "Usage is not counted here" in problem["detail"]


# ---- least privilege


async def test_a_month_of_traffic_gives_exactly_the_tighter_key(report: Served) -> None:
    """D13: scopes, routes, addresses, hours, and what `:rotate` would take."""
    await report.key("key_a", scopes=("write", "jobs:delete"))
    await report.month.daily("key_a", "jobs.list", hour=9, requests=10)
    await report.month.daily("key_a", "jobs.write", hour=17, requests=2, networks=("192.0.2.0/24",))
    await report.month.daily("key_a", "jobs.delete", hour=3, requests=1, denied=1, networks=())
    await report.month.daily("key_a", "__unmatched__", hour=3, requests=1, denied=1, networks=())
    await report.month.daily("key_other", "candidates.list")
    [found] = (await report("least-privilege?key_id=key_a&since=2023-11-15T00:00:00Z"))["data"]
    hours = [0] * 24
    hours[9], hours[17], hours[3] = 300, 60, 60
    assert found == {
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "name": "Key key_a",
        "environment": "live",
        "since": "2023-11-15T00:00:00Z",
        "requests": 420,
        "scopes": {
            "names": ["write", "jobs:delete"],
            "granted": [
                *("candidates:read", "candidates:write"),
                *("jobs:delete", "jobs:read", "jobs:write"),
            ],
            "used": ["jobs:read", "jobs:write"],
            "unused": ["candidates:read", "candidates:write", "jobs:delete"],
        },
        "routes": [
            {"route": "jobs.list", "requests": 300, "denied": 0, "scopes": ["jobs:read"]},
            {"route": "jobs.write", "requests": 60, "denied": 0, "scopes": ["jobs:write"]},
            {"route": "__unmatched__", "requests": 30, "denied": 30, "scopes": None},
            {"route": "jobs.delete", "requests": 30, "denied": 30, "scopes": ["jobs:delete"]},
        ],
        "networks": [
            {"network": "203.0.113.0/24", "requests": 300, "last_at": "2023-12-14T09:00:59Z"},
            {"network": "192.0.2.0/24", "requests": 60, "last_at": "2023-12-14T17:00:59Z"},
        ],
        "has_more_networks": False,
        "ip_allowlist": [],
        "hours_utc": hours,
        "proposal": {
            "scopes": ["jobs:read", "jobs:write"],
            "ip_allowlist": ["192.0.2.0/24", "203.0.113.0/24"],
        },
    }


async def test_the_proposal_is_what_a_rotation_takes(report: Served) -> None:
    minted = await report.house.minted(scopes=("read", "jobs:write"), plan="pro")
    key_id = minted.record.key_id
    await report.month.daily(key_id, "jobs.list")
    [found] = (await report(f"least-privilege?key_id={key_id}"))["data"]
    body = {"reason": "least privilege", **found["proposal"]}
    begun = await report.call("POST", f"/keys/{key_id}:rotate", body, expect=201)
    assert begun["new_key"]["scopes"] == ["jobs:read"]
    assert begun["new_key"]["ip_allowlist"] == ["203.0.113.0/24"]
    new_id = begun["new_key"]["key_id"]
    await report.month.daily(new_id, "jobs.list")
    [found] = (await report(f"least-privilege?key_id={new_id}"))["data"]
    assert found["proposal"] is None


async def test_a_key_that_nobody_used_is_not_made_tighter(report: Served) -> None:
    await report.key("key_a", scopes=("admin",))
    [found] = (await report("least-privilege"))["data"]
    assert (found["requests"], found["proposal"]) == (0, None)
    assert found["hours_utc"] == [0] * 24


async def test_keys_that_do_not_work_any_more_are_left_out(report: Served) -> None:
    await report.key("key_a")
    await report.key("key_r", state=KeyState.REVOKED)
    await report.key("key_e", expires_at=NOW - 1.0)
    assert [key["key_id"] for key in (await report("least-privilege"))["data"]] == ["key_a"]
    assert (await report("least-privilege?key_id=key_r"))["data"] == []


async def test_of_very_many_networks_the_most_used_are_told_and_no_list_is_proposed(
    report: Served,
) -> None:
    await report.key("key_a")
    for part in range(3):
        networks = tuple(f"10.{part}.{n}.0/24" for n in range(50))
        await report.month.daily(
            "key_a", "jobs.list", networks=networks, days=range(part + 1, part + 2)
        )
    [found] = (await report("least-privilege"))["data"]
    assert (len(found["networks"]), found["has_more_networks"]) == (100, True)
    assert found["proposal"] is None


async def test_hours_are_not_told_of_a_time_of_which_only_days_are_kept(report: Served) -> None:
    await report.key("key_a")
    await report.month.daily("key_a", "jobs.list")
    [found] = (await report("least-privilege?since=200d"))["data"]
    assert (found["requests"], found["hours_utc"]) == (300, None)


# ---- who may see what


async def test_a_bound_token_sees_its_own_keys_and_their_use_for_tenants_in_reach(
    report: Served,
) -> None:
    """HT-9."""
    await report.key("key_a", plan="", scopes=("read",), kind=KeyKind.MULTI_TENANT)
    await report.key("key_b", plan="", tenant_id="ten_b")
    await report.month.daily("key_a", "jobs.list", tenant_id="ten_child")
    await report.month.daily("key_a", "candidates.list", tenant_id="ten_b", from_browser=1)
    create = report.house.keyring.admin_tokens.create
    report.token = (await create("p", Role.ADMIN, ORDER, tenant_id="ten_a")).secret
    assert await report.flaws() == {"key_a": [("unlimited", None, None)]}
    [found] = (await report("least-privilege"))["data"]
    assert [each["route"] for each in found["routes"]] == ["jobs.list"]
    await report("least-privilege?key_id=key_b", expect=404)
    await report("least-privilege?key_id=key_none", expect=404)
    assert await report.flaws("?tenant_id=ten_b") == {}


async def test_who_may_not_read_the_request_log_is_told_of_flaws_and_not_of_addresses(
    report: Served,
) -> None:
    await report.key("key_a", plan="")
    create = report.house.keyring.admin_tokens.create
    report.token = (await create("v", Role.VIEWER, ORDER)).secret
    assert set(await report.flaws()) == {"key_a"}
    await report("least-privilege", expect=403)


@pytest.mark.parametrize(
    "query",
    [
        "hygiene?networks=0",
        "hygiene?networks=1001",
        "hygiene?networks=many",
        "hygiene?networks=" + "1" * 5000,
        "hygiene?idle=long",
        "hygiene?since=2999-01-01T00:00:00Z",
        "hygiene?finding=ugly",
        "hygiene?limit=0",
        "hygiene?key_id=key_a",
        "least-privilege?since=never",
        "least-privilege?networks=3",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(report: Served, query: str) -> None:
    await report(query, expect=400)
