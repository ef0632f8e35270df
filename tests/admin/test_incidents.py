"""Incidents over the admin API."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.incidents import CSV_ROWS_MAX
from gateway.admin.wire import instant
from tests.admin.life import Api, ListedLog, serving
from tests.key_samples import a_tenant
from tests.keyring.house import House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
def log() -> ListedLog:
    return ListedLog()


@pytest.fixture
async def call(house: House, log: ListedLog, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(house, tmp_path, log) as call:
        yield call


async def compromised(call: Api, key_id: str, **values: Any) -> Any:
    body = {"reason": "seen in a repository", **values}
    return await call("POST", f"/keys/{key_id}:compromise", body, expect=201)


async def test_one_call_revokes_replaces_and_tells_what_was_done_with_the_key(
    call: Api, house: House, log: ListedLog
) -> None:
    """HP-12, D9."""
    key = (await call.create(tags=["ci"]))["key"]
    now = house.clock.now()
    log.add(key["key_id"], now - 7200, "10.0.0.1")
    log.add(key["key_id"], now - 60, "198.51.100.9", "python-requests", target="/api/v1/jobs")
    log.add("key_other", now - 30, "10.0.0.2")
    told = await compromised(call, key["key_id"], since=instant(now - 3600))
    incident = told["incident"]
    assert call.headers["Location"] == f"/admin/v1/incidents/{incident['incident_id']}"
    assert told["revoked_key"]["state"] == "revoked"
    assert told["revoked_key"]["state_reason"] == "seen in a repository"
    assert told["secret"].startswith("sk_live_")
    new = told["new_key"]
    assert incident["replacement_key_id"] == new["key_id"]
    same = ("lineage_id", "scopes", "tags", "name", "environment")
    assert {name: new[name] for name in same} == {name: key[name] for name in same}
    assert [row["client_address"] for row in told["requests"]["data"]] == ["198.51.100.9"]
    assert told["enforcement"]["acknowledged"] == 1
    shown = await call("GET", f"/incidents/{incident['incident_id']}")
    assert shown == {**incident, "revision": shown["revision"]}
    assert told["secret"][12:-4] not in repr(shown)


async def test_a_reason_is_mandatory_and_a_replacement_is_not(call: Api) -> None:
    key_id = (await call.create())["key"]["key_id"]
    refused = await call("POST", f"/keys/{key_id}:compromise", {}, expect=422)
    assert refused["errors"][0]["pointer"] == "/reason"
    assert (await call("GET", f"/keys/{key_id}"))["state"] == "active"
    told = await compromised(call, key_id, with_replacement=False)
    assert (told["new_key"], told["secret"]) == (None, None)
    assert len((await call("GET", "/keys"))["data"]) == 1


async def test_without_a_since_everything_since_the_creation_is_suspect(
    call: Api, log: ListedLog
) -> None:
    key = (await call.create())["key"]
    told = await compromised(call, key["key_id"])
    assert told["incident"]["since"] == key["created_at"]
    await call("POST", f"/keys/{key['key_id']}:compromise", {"since": "now"}, expect=422)
    future = {"reason": "x", "since": "2999-01-01T00:00:00Z"}
    await call("POST", f"/keys/{key['key_id']}:compromise", future, expect=422)


async def test_a_dry_run_revokes_nothing(call: Api) -> None:
    key_id = (await call.create())["key"]["key_id"]
    path = f"/keys/{key_id}:compromise?dry_run=true"
    told = await call("POST", path, {"reason": "x"})
    assert told["secret"] is None
    assert (await call("GET", f"/keys/{key_id}"))["state"] == "active"
    assert (await call("GET", "/incidents"))["data"] == []


async def test_incidents_are_listed_by_tenant_and_key(call: Api) -> None:
    one, two = [(await call.create())["key"]["key_id"] for _ in range(2)]
    for key_id in (one, two):
        await compromised(call, key_id)

    async def listed(**query: str) -> list[str]:
        page = await call("GET", "/incidents", params=query)
        return [each["key_id"] for each in page["data"]]

    assert set(await listed()) == {one, two}
    assert await listed(key_id=two) == [two]
    assert await listed(tenant_id="ten_b") == []
    await call("GET", "/incidents/inc_none", expect=404)


async def test_the_requests_of_an_incident_are_paged_and_filtered(
    call: Api, house: House, log: ListedLog
) -> None:
    """HP-13."""
    key_id = (await call.create())["key"]["key_id"]
    now = house.clock.now()
    for n in range(5):
        log.add(key_id, now + n, f"10.0.0.{n}", status=200 if n % 2 else 403)
    incident = (await compromised(call, key_id))["incident"]["incident_id"]
    path = f"/incidents/{incident}/requests"
    first = await call("GET", path, params={"limit": "2"})
    assert [row["client_address"] for row in first["data"]] == ["10.0.0.4", "10.0.0.3"]
    assert first["has_more"]
    rest = await call("GET", path, params={"cursor": first["next_cursor"]})
    assert len(rest["data"]) == 3
    assert not rest["has_more"]
    refused = await call("GET", path, params={"status": "403", "route": "jobs"})
    assert len(refused["data"]) == 3
    assert log.asked[-1].route == "jobs"
    await call("GET", path, params={"format": "xml"}, expect=400)
    await call("GET", path, params={"key_id": "key_other"}, expect=400)


async def test_the_requests_are_a_table_for_whoever_asks_for_one(
    call: Api, house: House, log: ListedLog
) -> None:
    key_id = (await call.create())["key"]["key_id"]
    now = house.clock.now()
    log.add(key_id, now, "10.0.0.1", '=HYPERLINK("http://evil","x")', target='/a,"b"')
    incident = (await compromised(call, key_id))["incident"]["incident_id"]
    path = f"/admin/v1/incidents/{incident}/requests"
    for options in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        status, headers, text = await call.raw("GET", path, **options)
        assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Disposition"] == f'attachment; filename="{incident}-requests.csv"'
        [row] = csv.DictReader(io.StringIO(text))
        assert (row["client_address"], row["target"]) == ("10.0.0.1", '/a,"b"')
        assert row["user_agent"].startswith("'=HYPERLINK")  # no spreadsheet runs it
        assert row["reason"] == ""


async def test_a_table_is_bounded_and_tells_how_to_go_on(
    call: Api, house: House, log: ListedLog
) -> None:
    key_id = (await call.create())["key"]["key_id"]
    now = house.clock.now()
    for n in range(CSV_ROWS_MAX + 5):
        log.add(key_id, now + n, "10.0.0.1")
    incident = (await compromised(call, key_id))["incident"]["incident_id"]
    path = f"/admin/v1/incidents/{incident}/requests"
    _, headers, text = await call.raw("GET", path, params={"format": "csv"})
    assert text.count("\n") == CSV_ROWS_MAX + 1
    further = {"format": "csv", "cursor": headers["X-Next-Cursor"]}
    _, headers, text = await call.raw("GET", path, params=further)
    assert text.count("\n") == 5 + 1
    assert "X-Next-Cursor" not in headers


async def test_without_a_request_log_a_key_is_stopped_all_the_same(
    house: House, tmp_path: Path
) -> None:
    async with serving(house, tmp_path, None) as call:
        key_id = (await call.create())["key"]["key_id"]
        told = await compromised(call, key_id)
        assert told["requests"] is None
        incident = told["incident"]["incident_id"]
        await call("GET", f"/incidents/{incident}/requests", expect=409)
