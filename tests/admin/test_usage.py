from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.admin import usage as routes
from gateway.admin.usage_wire import MEASURED
from gateway.domain.admin_tokens import Role
from gateway.domain.usage import FacetKind
from gateway.ports import KeptUsage
from gateway.stores.memory_usage import MemoryUsage
from tests.admin.caller import Caller, serving
from tests.key_samples import ORDER, a_tenant
from tests.keyring.house import House
from tests.usage_samples import DAY, HOUR, KEPT, MINUTE, NOON, a_cell, a_facet, dimensions


class Served:
    """The admin API over usage in memory; it is ten minutes after noon."""

    def __init__(self, house: House, store: MemoryUsage, call: Caller) -> None:
        self.house = house
        self.store = store
        self._call = call
        self.token = ""

    async def __call__(self, path: str, expect: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self._call("GET", f"/usage{path}", expect=expect, headers=headers)

    async def table(self, query: str) -> list[dict[str, str]]:
        url = f"/admin/v1/usage?format=csv{query}"
        async with self._call.session.get(url) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
            assert 'filename="usage.csv"' in response.headers["Content-Disposition"]
            return [*csv.DictReader(io.StringIO(await response.text()))]


@pytest.fixture
async def usage(tmp_path: Any) -> AsyncIterator[Served]:
    house, store = House(), MemoryUsage()
    house.clock.wall = NOON + 600.5
    for tenant_id, parent_id in (("ten_a", ""), ("ten_child", "ten_a"), ("ten_b", "")):
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
    path = tmp_path / "admin.sock"
    async with serving(house, path, usage=KeptUsage(store, lambda: KEPT)) as call:
        yield Served(house, store, call)


async def test_without_groups_usage_is_summed_up(usage: Served) -> None:
    await usage.store.add(
        [
            a_cell(NOON, 3, denied=1, reasons={"rate_limited": 1}, durations={20: 2, 28: 1}),
            a_cell(NOON + MINUTE, 1, of=dimensions("key_b"), upstream_5xx=1, limit_used_max=0.9),
        ],
        [],
    )
    answer = await usage("?since=1h")
    assert answer["interval"] == "minute"
    assert (answer["since"], answer["until"]) == ("2023-11-15T11:10:00Z", "2023-11-15T12:11:00Z")
    assert (answer["next_cursor"], answer["has_more"]) == (None, False)
    [row] = answer["data"]
    durations = row.pop("duration_ms")
    assert set(durations) == {"mean", "p50", "p90", "p95", "p99"}
    assert durations["mean"] == 250.0
    assert row == {
        "requests": 4,
        "errors": 2,
        "error_ratio": 0.5,
        "denied": 1,
        "failed": 0,
        "upstream_4xx": 0,
        "upstream_5xx": 1,
        "request_bytes": 0,
        "response_bytes": 400,
        "from_browser": 0,
        "limit_used_max": 0.9,
        "quota_used_max": 0.0,
        "reasons": {"rate_limited": 1},
    }


async def test_nothing_is_an_empty_list(usage: Served) -> None:
    assert (await usage(""))["data"] == []
    assert (await usage("/facets"))["data"] == []


async def test_rows_have_only_the_groups_that_were_asked_for(usage: Served) -> None:
    await usage.store.add([a_cell(), a_cell(of=dimensions("key_b", is_billable=False))], [])
    [first, second] = (await usage("?group_by=key,billable"))["data"]
    assert (first["key_id"], first["is_billable"]) == ("key_a", True)
    assert (second["key_id"], second["is_billable"]) == ("key_b", False)
    assert not {"start", "route", "reason", "tenant_id"} & set(first)


async def test_an_interval_gives_one_row_each(usage: Served) -> None:
    await usage.store.add([a_cell(NOON), a_cell(NOON + MINUTE), a_cell(NOON - HOUR)], [])
    answer = await usage("?interval=hour&since=6h")
    assert [row["start"] for row in answer["data"]] == [
        "2023-11-15T11:00:00Z",
        "2023-11-15T12:00:00Z",
    ]
    answer = await usage("?group_by=time&since=6h")
    assert (answer["interval"], len(answer["data"])) == ("minute", 3)
    answer = await usage("?interval=total&since=6h")
    assert [row["requests"] for row in answer["data"]] == [3]


async def test_minutes_that_are_gone_are_answered_from_hours_which_is_said(usage: Served) -> None:
    await usage.store.add([a_cell(NOON - 5 * DAY)], [])
    answer = await usage("?interval=minute&since=10d")
    assert answer["interval"] == "hour"
    assert answer["data"][0]["start"] == "2023-11-10T12:00:00Z"
    answer = await usage("?interval=minute&since=100d")
    assert answer["interval"] == "day"


async def test_top_endpoints_are_ranked_hp_27(usage: Served) -> None:
    await usage.store.add(
        [a_cell(requests=n, of=dimensions(route=f"r{n}"), failed=5 - n) for n in range(1, 5)], []
    )
    answer = await usage("?group_by=route&sort=-requests&limit=2")
    assert [row["route"] for row in answer["data"]] == ["r4", "r3"]
    assert (answer["has_more"], answer["next_cursor"]) == (True, None)
    answer = await usage("?group_by=route&sort=-error_ratio&limit=1")
    assert answer["data"][0]["route"] == "r1"


async def test_pages_follow_each_other_in_one_range(usage: Served) -> None:
    cells = [a_cell(NOON + n * MINUTE, of=dimensions(f"key_{n}")) for n in range(5)]
    await usage.store.add(cells, [])
    page = await usage("?group_by=time,key&since=1h&limit=2")
    found = page["data"]
    while page["next_cursor"]:
        usage.house.clock.wall += 3_600  # a page later is not a range later
        page = await usage(f"?group_by=time,key&limit=2&cursor={page['next_cursor']}")
        assert page["since"] == "2023-11-15T11:10:00Z"
        found += page["data"]
    assert [row["key_id"] for row in found] == [f"key_{n}" for n in range(5)]


def cursor(*place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "since=x", "until=never", "since=1h&until=2h", "interval=week", "group_by=key,key",
        "group_by=nothing", "group_by=key,", "sort=requests", "sort=-", "sort=-nothing", "limit=0",
        "limit=1001", "format=xml", "nothing=1", "interval=total&group_by=time",
        "format=csv&limit=5", "format=csv&sort=-requests", "format=csv&cursor=x", "cursor=invented",
        f"cursor={cursor('hour', 0, 3600, 'key_a')}", f"group_by=key&cursor={cursor('hour', 0, 3600)}",
        f"group_by=time&cursor={cursor('hour', 0, 3600, 'x')}", f"cursor={cursor('week', 0, 1)}",
        f"cursor={cursor('hour', 0, 1 << 70)}", f"cursor={cursor('hour', None, 1)}",
        f"group_by=time&cursor={cursor('hour', 0, 3600, 1 << 70)}", "cursor=MQ", "cursor=%C3%A4",
        f"sort=-requests&cursor={cursor('hour', 0, 3600)}",
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(usage: Served, query: str) -> None:
    await usage(f"?{query}", expect=400)


@pytest.mark.parametrize("query", ["kind=x", "group_by=route", "since=1h&until=2h", "nothing=1"])
async def test_what_is_not_understood_of_facets_is_refused(usage: Served, query: str) -> None:
    await usage(f"/facets?{query}", expect=400)


async def test_the_ends_of_time_are_cut_off(usage: Served) -> None:
    await usage.store.add([a_cell()], [])
    answer = await usage("?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z")
    assert (answer["since"], answer["interval"]) == ("1970-01-01T00:00:00Z", "day")
    assert answer["data"][0]["requests"] == 1


async def test_a_csv_holds_everything_and_no_formula(usage: Served) -> None:
    await usage.store.add(
        [
            a_cell(of=dimensions("key_a", environment="=cmd()", route="jobs"), requests=2),
            a_cell(NOON + MINUTE, denied=1, reasons={"no_route": 1, "rate_limited": 2}),
        ],
        [],
    )
    rows = await usage.table("&group_by=time,environment&since=1h")
    assert tuple(rows[0]) == ("start", "environment", *MEASURED)
    assert rows[0]["environment"] == "'=cmd()"
    assert (rows[0]["requests"], rows[0]["duration_ms_mean"]) == ("2", "250.0")
    assert rows[1]["reasons"] == "no_route=1 rate_limited=2"
    assert (await usage.table("&since=1h"))[0]["requests"] == "3"
    assert await usage.table("&since=1m&group_by=key") == []


async def test_a_csv_goes_on_beyond_a_page(usage: Served) -> None:
    count = 2 * routes._ROWS_PER_PAGE + 1_500
    await usage.store.add([a_cell(of=dimensions(f"key_{n:06}")) for n in range(count)], [])
    rows = await usage.table("&group_by=key")
    assert [row["key_id"] for row in rows] == [f"key_{n:06}" for n in range(count)]


async def test_facets_tell_where_a_key_was_used_hp_27(usage: Served) -> None:
    await usage.store.add(
        [],
        [
            a_facet("NZ", kind=FacetKind.COUNTRY, requests=3),
            a_facet("", kind=FacetKind.COUNTRY, key_id="key_b"),
            a_facet("192.0.2.0/24"),
        ],
    )
    answer = await usage("/facets?kind=country&since=30d")
    assert answer["kind"] == "country"
    assert [(row["value"], row["requests"]) for row in answer["data"]] == [("NZ", 3), ("", 1)]
    assert answer["data"][0]["first_at"] == "2023-11-15T12:00:01Z"
    assert "key_id" not in answer["data"][0]
    answer = await usage("/facets?kind=country&group_by=key&limit=1")
    assert (answer["data"][0]["key_id"], answer["has_more"]) == ("key_a", True)
    answer = await usage("/facets?key_id=key_a")
    assert [row["value"] for row in answer["data"]] == ["192.0.2.0/24"]


async def test_a_viewer_may_read_usage(usage: Served) -> None:
    create = usage.house.keyring.admin_tokens.create
    usage.token = (await create("v", Role.VIEWER, ORDER)).secret
    await usage("")
    await usage("/facets")


async def test_a_bound_token_sees_the_usage_of_its_tenants_only_ht_9(usage: Served) -> None:
    await usage.store.add(
        [
            a_cell(requests=1),
            a_cell(requests=2, of=dimensions("key_c", tenant_id="ten_child")),
            a_cell(requests=4, of=dimensions("key_b", tenant_id="ten_b", owner_id="ten_a")),
            a_cell(requests=8, of=dimensions("", tenant_id="")),
        ],
        [a_facet(), a_facet(tenant_id="ten_b", requests=5), a_facet(tenant_id="", requests=7)],
    )
    create = usage.house.keyring.admin_tokens.create
    usage.token = (await create("p", Role.VIEWER, ORDER, tenant_id="ten_a")).secret
    assert [row["requests"] for row in (await usage(""))["data"]] == [3]
    assert (await usage("?tenant_id=ten_b"))["data"] == []
    assert (await usage("?key_id=key_b"))["data"] == []
    assert [row["requests"] for row in (await usage("/facets"))["data"]] == [1]
