"""Whatever a bound token asks any list for: it is told of its tenants, all of that, and nothing else.

HT-9. Everything that belongs to others bears a mark, which may not stand in any answer.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.change import Actor, ChangeType
from gateway.domain.keys import KeyKind
from tests.admin.caller import serving
from tests.audit.trail import Trail
from tests.contracts.audit_trail import a_change
from tests.key_samples import ORDER, a_key, a_tenant, an_order
from tests.keyring.house import House, a_wish
from tests.telemetry.test_request_log import START, Disk, line

MARK: Final = "foreign"
OWN: Final = ("ten_a", "ten_child")
OTHERS: Final = ("ten_foreign", "ten_foreign_child")
PARENTS: Final = {
    "ten_a": "",
    "ten_child": "ten_a",
    "ten_foreign": "",
    "ten_foreign_child": "ten_foreign",
}

PARTNER: Final = "key_partner"
LOST: Final = "key_partner_lost"
"""Keys of ten_a that act for everybody: one that is rotated, and one that was compromised."""


@dataclass
class World:
    """One API, and the tokens of an auditor of everything and of administrators of one tenant."""

    session: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    async def get(
        self, path: str, query: Mapping[str, str], whose: str
    ) -> tuple[int, str, Mapping[str, str]]:
        headers = {"Authorization": f"Bearer {self.tokens[whose]}"}
        url = f"/admin/v1{path}"
        async with self.session.get(url, params=query, headers=headers) as response:
            return response.status, await response.text(), response.headers

    async def walk(
        self, path: str, query: Mapping[str, str], whose: str
    ) -> tuple[list[Any], list[str]]:
        """Return all rows, page by page, and everything that was answered."""
        rows: list[Any] = []
        texts: list[str] = []
        cursor = ""
        for _ in range(200):
            more = {"cursor": cursor} if cursor else {}
            status, text, headers = await self.get(path, {**query, **more}, whose)
            texts += [text, repr(dict(headers))]
            if status != 200:
                return rows, texts
            page = json.loads(text)
            rows += page["data"]
            cursor = page["next_cursor"] or ""
            if not cursor:
                return rows, texts
        raise AssertionError("a list without end")


def name_of(tenant_id: str) -> str:
    return tenant_id.removeprefix("ten_")


async def furnished(house: House) -> None:
    """Let every tenant have one of everything."""
    for tenant_id, parent_id in PARENTS.items():
        name = name_of(tenant_id)
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id, name=name))
        for number in range(3):
            key = a_key(f"key_{name}_{number}", tenant_id=tenant_id, name=f"{name} {number}",
                        tags=(name, "shared"), format="sk")  # fmt: skip
            await house.store.save_key(key)
        house.clock.advance(1)
    partner = {"kind": KeyKind.MULTI_TENANT, "format": "sk"}
    for key_id in (PARTNER, LOST):
        await house.store.save_key(a_key(key_id, **partner))


async def busy(house: House) -> None:
    """Let every tenant rotate a key, lose another, hand over a third, and have a token."""
    for tenant_id in PARENTS:
        name, order = name_of(tenant_id), an_order(f"as {name_of(tenant_id)} said")
        await house.keyring.rotations.start(f"key_{name}_0", order)
        await house.keyring.incidents.compromise(f"key_{name}_1", order, since=START)
        wish = a_wish(tenant_id=tenant_id, name=name)
        await house.keyring.create_key(wish, order, delivery_seconds=60)
        create = house.keyring.admin_tokens.create
        await create(f"token of {name}", Role.VIEWER, order, tenant_id=tenant_id)
        house.clock.advance(1)
    await house.keyring.rotations.start(PARTNER, ORDER)
    await house.keyring.incidents.compromise(LOST, an_order("lost"), since=START)


def logged(disk: Disk) -> None:
    """Log requests of everybody, and such as belong to nobody."""
    lines: list[bytes] = []
    for number in range(120):
        tenant_id = [*PARENTS][number % 4]
        name = name_of(tenant_id)
        mine: dict[str, Any] = {"key_id": f"key_{name}_{number % 3}", "tenant_id": tenant_id}
        if number % 5 < 2:
            mine["key_id"] = PARTNER if number % 5 else LOST
        elif number % 7 == 3:  # refused: nobody's, but it says which key it came with
            mine = {"key_id": None, "tenant_id": None, "detail": mine["key_id"],
                    "reason": "key_revoked", "status": 401}  # fmt: skip
        lines.append(
            line(START + number, request_id=f"req_{name}_{number}", user_agent=f"agent of {name}",
                 client_address=f"10.0.{[*PARENTS].index(tenant_id)}.{number}", target=f"/{name}",
                 shadow=["ip_not_allowed"] if number % 3 else [],
                 shadow_rules=["key_ip"] if number % 3 else [], route=f"r{number % 2}", **mine)
        )  # fmt: skip
    disk.clock.wall = START + 200
    disk.writer().write(lines)


async def told(trail: Trail) -> None:
    """Let the trail tell of everybody, and of what belongs to nobody."""
    types = (ChangeType.KEY_CREATED, ChangeType.KEY_REVOKED, ChangeType.TENANT_UPDATED)
    changes = []
    for number in range(60):
        tenant_id = (*PARENTS, "")[number % 5]
        name = name_of(tenant_id) or MARK
        actor = Actor(kind="admin", name=f"adm_{name}", user_agent=f"agent of {name}")
        about = {"key_id": f"key_{name}_{number % 3}", "tenant_id": tenant_id, "actor": actor,
                 "type": types[number % 3], "reason": f"as {name} said"}  # fmt: skip
        changes.append(a_change(number, **about))
    await trail.audit.append(changes)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    house, trail, disk = House(), Trail(tmp_path), Disk(tmp_path / "requests")
    await furnished(house)
    await busy(house)
    await told(trail)
    logged(disk)
    async with serving(house, None, audit=trail.room, request_log=disk.log) as call:
        world = World(call.session)
        for whose, tenant_id in (("all", ""), ("ten_a", "ten_a"), ("ten_child", "ten_child")):
            create = house.keyring.admin_tokens.create
            minted = await create(f"admin of {whose}", Role.ADMIN, ORDER, tenant_id=tenant_id)
            world.tokens[whose] = minted.secret
        yield world


TENANTS: Final = (*OWN, *OTHERS, "ten_nobody")
KEYS: Final = (
    "key_a_0",
    "key_child_1",
    "key_foreign_0",
    "key_foreign_child_1",
    "key_nobody",
    PARTNER,
)
LISTS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "/audit": {
        "tenant_id": TENANTS,
        "key_id": KEYS,
        "type": ("key.*", "key.revoked", "tenant.*"),
        "actor": ("adm_a", "adm_foreign"),
        "order": ("oldest",),
        "since": ("2023-11-14T22:13:50Z",),
        "until": ("2023-11-14T22:13:50Z",),
        "limit": ("7",),
    },
    "/requests": {
        "tenant_id": TENANTS,
        "key_id": KEYS,
        "route": ("r0",),
        "client_address": ("10.0.0.0", "10.0.2.2"),
        "request_id": ("req_a_0", "req_foreign_2"),
        "status": ("200", "4xx"),
        "reason": ("key_revoked",),
        "shadow": ("*", "ip_not_allowed"),
        "since": ("2023-11-14T22:13:50Z",),
        "limit": ("7",),
    },
    "/keys": {
        "tenant_id": TENANTS,
        "state": ("active", "revoked"),
        "tag": ("shared", "foreign"),
        "lineage_id": ("lin_key_a_0", "lin_key_foreign_0"),
        "q": ("foreign", "0", "key_foreign_0"),
        "sort": ("name", "-created_at", "-expires_at"),
        "limit": ("2",),
    },
    "/tenants": {
        "parent_id": TENANTS,
        "sort": ("name", "-name"),
        "limit": ("1",),
    },
    "/rotations": {
        "tenant_id": TENANTS,
        "state": ("pending",),
        "lineage_id": ("lin_key_foreign_0",),
        "sort": ("started_at", "-deadline"),
        "limit": ("1",),
    },
    "/incidents": {
        "tenant_id": TENANTS,
        "key_id": KEYS,
        "sort": ("-opened_at", "since"),
        "limit": ("1",),
    },
    "/deliveries": {"tenant_id": TENANTS, "key_id": KEYS, "sort": ("created_at",), "limit": ("1",)},
    "/admin-tokens": {"tenant_id": TENANTS, "sort": ("name", "-created_at"), "limit": ("1",)},
}
"""Every list, and what it may be asked for."""


def questions(asked: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Yield nothing, each parameter with each value, and each pair of them."""
    yield {}
    for name, values in asked.items():
        for value in values:
            yield {name: value}
    for (one, ones), (other, others) in combinations(asked.items(), 2):
        for value in ones:
            for further in others:
                yield {one: value, other: further}


def unmarked(text: str, query: Mapping[str, str]) -> str:
    """Return an answer without what was asked for: who knows a word is told nothing by it."""
    for value in query.values():
        text = text.replace(f"'{value}'", "''")
    return text


@pytest.mark.parametrize("path", LISTS)
async def test_nothing_of_others_is_in_any_list(world: World, path: str) -> None:
    """Also with pairs of filters, sorted, and page by page."""
    for query in questions(LISTS[path]):
        rows, texts = await world.walk(path, query, "ten_a")
        for text in texts:
            assert MARK not in unmarked(text, query), query
        assert {row.get("tenant_id") for row in rows} <= {*OWN, None}, query


@pytest.mark.parametrize("whose", ["ten_a", "ten_child"])
@pytest.mark.parametrize("path", LISTS)
async def test_all_of_its_own_is_in_every_list_in_the_same_order(
    world: World, path: str, whose: str
) -> None:
    within = OWN if whose == "ten_a" else ("ten_child",)
    for query in questions(LISTS[path]):
        if query.get("tenant_id") in OTHERS or query.get("key_id") is not None:
            continue  # answered 404 or by nothing; keys: below
        everything, _ = await world.walk(path, query, "all")
        mine, _ = await world.walk(path, query, whose)
        expected = [row for row in everything if row["tenant_id"] in within]
        assert [*map(stable, mine)] == [*map(stable, expected)], query


def stable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what the questions themselves change."""
    return {name: value for name, value in row.items() if name not in ("last_used_at", "revision")}


async def test_what_is_asked_of_a_key_within_reach_is_answered_whole(world: World) -> None:
    for key_id, tenant_id in (("key_a_1", "ten_a"), ("key_child_2", "ten_child")):
        everything, _ = await world.walk("/requests", {"key_id": key_id}, "all")
        mine, _ = await world.walk(f"/keys/{key_id}/requests", {}, "ten_a")
        assert mine == everything
        assert {row["tenant_id"] for row in mine} == {tenant_id, None}
    partner, texts = await world.walk("/requests", {"key_id": PARTNER, "limit": "1"}, "ten_a")
    assert {row["tenant_id"] for row in partner if row["tenant_id"]} == {*OWN}
    assert MARK not in "".join(texts)


@pytest.mark.parametrize("path", LISTS)
async def test_cursors_of_others_lead_to_nothing_of_theirs(world: World, path: str) -> None:
    """Those that an operator was given, and those that name records of others."""
    for sort in LISTS[path].get("sort", ("",)):
        query = {"limit": "1"} | ({"sort": sort} if sort else {})
        cursor = ""
        for _ in range(12):
            more = {"cursor": cursor} if cursor else {}
            _, text, _ = await world.get(path, {**query, **more}, "all")
            cursor = json.loads(text)["next_cursor"] or ""
            if not cursor:
                break
            _, text, headers = await world.get(path, {**query, "cursor": cursor}, "ten_a")
            following = json.loads(text)
            following.pop("next_cursor", None)
            assert MARK not in repr(following) + repr(dict(headers))
        for cursor in ("key_foreign_0", "ten_foreign", "aud_0000000000000003"):
            _, text, _ = await world.get(path, {"cursor": cursor}, "ten_a")
            assert MARK not in text


async def test_a_table_follows_the_same_rule(world: World) -> None:
    for path in ("/requests", f"/keys/{PARTNER}/requests"):
        status, text, _ = await world.get(path, {"format": "csv"}, "ten_a")
        rows = [*csv.DictReader(io.StringIO(text))]
        assert (status, bool(rows)) == (200, True)
        assert {row["tenant_id"] for row in rows} <= {*OWN, ""}
        whole = await world.walk(path, {}, "ten_a")
        assert [row["request_id"] for row in rows] == [row["request_id"] for row in whole[0]]


async def test_what_hangs_on_a_record_follows_the_same_rule(world: World) -> None:
    for path, name, inner in (
        ("/incidents", "incident_id", "requests"),
        ("/rotations", "rotation_id", "clients"),
    ):
        everything, _ = await world.walk(path, {}, "all")
        for row in everything:
            one = f"{path}/{row[name]}"
            answers = [
                await world.get(each, query, "ten_a")
                for each, query in (
                    (one, {}),
                    (f"{one}/{inner}", {}),
                    *([(f"{one}/{inner}", {"format": "csv"})] if inner == "requests" else []),
                )
            ]
            is_mine = row["tenant_id"] in OWN
            assert {status for status, _, _ in answers} == {200 if is_mine else 404}
            for _, text, _ in answers:
                assert MARK not in text
            if not is_mine:
                unknown = await world.get(f"{path}/unknown", {}, "ten_a")
                assert _same(answers[0][1], row[name]) == _same(unknown[1], "unknown")


def _same(text: str, record_id: str) -> str:
    return re.sub(r"req_[0-9a-f]+", "", text).replace(record_id, "")


async def test_a_report_follows_the_same_rule(world: World) -> None:
    path = "/reports/would-block"
    for query in ({}, {"tenant_id": "ten_foreign"}, {"route": "r1"}, {"key_id": PARTNER}):
        status, text, _ = await world.get(path, {"since": "3650d", **query}, "ten_a")
        assert status == 200
        assert MARK not in text
        groups = json.loads(text)["data"]
        assert {group["tenant_id"] for group in groups} <= {*OWN, None}
        assert bool(groups) is ("tenant_id" not in query)
    for key_id in ("key_foreign_0", "key_nobody"):
        status, _, _ = await world.get(path, {"key_id": key_id}, "ten_a")
        assert status == 404


async def test_the_trail_as_a_whole_is_not_for_it(world: World) -> None:
    status, text, _ = await world.get("/audit/export", {}, "ten_a")
    assert (status, MARK in text) == (403, False)
