from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.audit.export import verify_export
from gateway.audit.keeper import Pace
from gateway.domain.change import ChangeType
from tests.audit.trail import Trail
from tests.keyring.house import House

TOKEN = "t" * 40


@pytest.fixture
async def trail(tmp_path: Path) -> Trail:
    trail = Trail(tmp_path, Pace(records=2))
    for number, event in enumerate(
        (ChangeType.KEY_CREATED, ChangeType.KEY_REVOKED, ChangeType.TENANT_CREATED)
    ):
        trail.clock.advance(10)
        await trail.append(1, type=event, key_id=f"key_{number}", at=trail.clock.now())
        await trail.keeper.keep()
    return trail


@pytest.fixture
async def client(trail: Trail, aiohttp_client: Any) -> Any:
    app: web.Application = create_admin_app(
        lambda: House().keyring, token=lambda: TOKEN, audit=trail.room
    )
    return await aiohttp_client(app, headers={"Authorization": f"Bearer {TOKEN}"})


async def asked(client: Any, query: str = "", status: int = 200) -> Any:
    async with client.get(f"/admin/v1/audit{query}") as response:
        answer = await response.json(content_type=None)
        assert response.status == status, answer
        return answer


async def test_records_are_listed_the_newest_first_with_everything_they_hold(client: Any) -> None:
    records = (await asked(client))["data"]
    assert [record["seq"] for record in records] == [3, 2, 1]
    first = records[-1]
    assert (first["id"], first["type"], first["ts"]) == (
        "aud_0000000000000001",
        "key.created",
        "2023-11-14T22:13:30Z",
    )
    assert first["actor"]["name"] == "ann"
    assert first["after"] == {"scopes": ["jobs:read"]}
    assert records[0]["prev_hash"] == records[1]["hash"]


async def test_records_are_found_by_each_filter(client: Any) -> None:
    for query, found in (
        ("?key_id=key_1", [2]),
        ("?tenant_id=ten_a", [3, 2, 1]),
        ("?tenant_id=ten_x", []),
        ("?type=key.revoked", [2]),
        ("?type=key.*", [2, 1]),
        ("?actor=ann&order=oldest", [1, 2, 3]),
        ("?since=2023-11-14T22:13:40Z", [3, 2]),
        ("?until=2023-11-14T23:13:40%2B01:00", [1]),
        ("?until=2023-11-14T23:13:40+01:00", [1]),
    ):
        assert [record["seq"] for record in (await asked(client, query))["data"]] == found, query


async def test_pages_follow_each_other_in_both_orders(client: Any) -> None:
    for order, expected in (("newest", [3, 2, 1]), ("oldest", [1, 2, 3])):
        seen: list[int] = []
        cursor = ""
        for _ in range(3):
            page = await asked(client, f"?limit=1&order={order}&cursor={cursor}")
            seen += [record["seq"] for record in page["data"]]
            cursor = page["next_cursor"] or ""
        assert (seen, page["has_more"]) == (expected, False)


@pytest.mark.parametrize(
    "query",
    [
        "?type=key.invented", "?order=sideways", "?since=yesterday", "?until=2023-11-14T22:13:40",
        "?cursor=x", "?cursor=aud_0000000000000000", "?limit=0", "?who=ann", "?since=9999999999",
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(client: Any, query: str) -> None:
    assert (await asked(client, query, status=400))["code"] == "invalid_request"


async def test_more_records_than_a_page_has_follow_each_other(client: Any, trail: Trail) -> None:
    await trail.append(2_297)
    for order, expected in (("newest", range(2_300, 0, -1)), ("oldest", range(1, 2_301))):
        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await asked(client, f"?limit=1000&order={order}&cursor={cursor}")
            seen += [record["seq"] for record in page["data"]]
            cursor = page["next_cursor"]
        assert seen == [*expected]


async def test_a_check_says_whether_and_where_the_trail_was_changed(
    client: Any, trail: Trail
) -> None:
    async with client.post("/admin/v1/audit:verify") as response:
        answer = await response.json()
    assert (answer["result"], answer["records"], answer["signed_seq"]) == ("intact", 3, 3)
    assert answer["fingerprints"] == trail.room.fingerprints
    assert answer["fault"] is None
    trail.audit.rows[1] = replace(trail.audit.rows[1], actor="bob")
    async with client.post("/admin/v1/audit:verify") as response:
        answer = await response.json()
    assert answer["result"] == "changed"
    assert (answer["fault"]["kind"], answer["fault"]["id"]) == ("edited", "aud_0000000000000002")


async def test_an_export_can_be_verified_and_names_who_took_it(client: Any, trail: Trail) -> None:
    async with client.get("/admin/v1/audit/export?reason=yearly") as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert response.headers["Cache-Control"] == "no-store"
        lines = (await response.read()).splitlines(keepends=True)
    report, _ = verify_export(lines, trail.files.verifier())
    assert (report.records, report.fault) == (4, None)
    told = json.loads(lines[-3])["record"]
    assert (told["type"], told["reason"], told["actor"]["name"]) == (
        "audit.exported",
        "yearly",
        "token",
    )


async def test_an_export_of_a_trail_that_was_changed_is_refused(client: Any, trail: Trail) -> None:
    trail.audit.rows.pop()
    assert (await asked(client, "/export", status=409))["code"] == "conflict"


async def test_pruning_says_what_left(client: Any, trail: Trail) -> None:
    body = {"before": "2023-11-14T22:13:45Z", "reason": "a year"}
    dry = {"dry_run": True}
    for query, left, more in (("?dry_run=true", 3, dry), ("", 2, {})):
        async with client.post(f"/admin/v1/audit:prune{query}", json=body) as response:
            assert await response.json() == {"records": 2, "through_seq": 2, **more}
        assert len([row for row in trail.audit.rows if row.seq <= 3]) == (3 if left == 3 else 1)
    assert (await trail.check()).fault is None


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("?dry_run=perhaps", {"before": "2023-11-14T22:13:45Z", "reason": "x"}, 400),
        ("", {"before": "2023-11-14T22:13:45", "reason": "x"}, 422),
        ("", {"before": "2023-11-14T22:13:45Z"}, 422),
        ("", {"before": "2023-11-14T22:13:45Z", "reason": "x", "after": 1}, 422),
    ],
)
async def test_pruning_needs_a_time_and_a_reason(
    client: Any, query: str, body: Any, status: int
) -> None:
    async with client.post(f"/admin/v1/audit:prune{query}", json=body) as response:
        assert response.status == status
