"""Lists in the order that is asked for, page by page."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.admin.caller import Caller, serving
from tests.key_samples import a_key, a_tenant, an_order
from tests.keyring.house import House, a_wish


@pytest.fixture
async def house() -> House:
    house = House()
    for number, name in enumerate(("b", "c", "a")):
        await house.store.save_tenant(a_tenant(f"ten_{number}", name=name))
        ends = (None, 4_000_000_000.0, 3_900_000_000.0)[number]
        key = a_key(f"key_{number}", tenant_id=f"ten_{number}", name=name, expires_at=ends)
        await house.store.save_key(key)
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Caller]:
    async with serving(house, tmp_path / "admin.sock") as call:
        yield call


async def names(call: Caller, path: str, name: str, limit: int = 1) -> str:
    """Return the last letters of what a list holds, page by page."""
    seen: list[Any] = []
    cursor = ""
    for _ in range(10):
        page = await call("GET", f"{path}&limit={limit}&cursor={cursor}")
        seen += [each[name] for each in page["data"]]
        cursor = page["next_cursor"] or ""
        assert page["has_more"] is bool(cursor)
        if not cursor:
            return "".join(each[-1] for each in seen)
    raise AssertionError("a list without end")


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/keys?sort=name", "key_id", "201"),
        ("/keys?sort=-name", "key_id", "102"),
        ("/keys?sort=expires_at", "key_id", "210"),
        ("/keys?sort=-expires_at", "key_id", "120"),
        ("/keys?sort=-last_used_at", "key_id", "210"),
        ("/keys?sort=name&tenant_id=ten_1", "key_id", "1"),
        ("/tenants?sort=name", "tenant_id", "201"),
        ("/tenants?sort=-created_at", "tenant_id", "210"),
    ],
)
async def test_a_list_comes_in_the_order_that_is_asked_for(
    call: Caller, path: str, name: str, expected: str
) -> None:
    for limit in (1, 2, 100):
        assert await names(call, path, name, limit) == expected


async def test_what_is_newest_is_found_without_reading_everything(
    call: Caller, house: House
) -> None:
    for path, name in (
        ("/rotations?sort=-started_at", "old_key_id"),
        ("/incidents?sort=-opened_at", "key_id"),
        ("/deliveries?sort=-created_at", "key_id"),
        ("/admin-tokens?sort=-created_at", "name"),
    ):
        made: list[str] = []
        for number in range(3):
            house.clock.advance(10)
            wish = a_wish(tenant_id="ten_0", name=f"Key {number}")
            linked = 60.0 if path.startswith("/deliveries") else None
            minted = await house.keyring.create_key(wish, an_order(), delivery_seconds=linked)
            key_id = minted.record.key_id
            if path.startswith("/rotations"):
                await house.keyring.rotations.start(key_id, an_order())
            elif path.startswith("/incidents"):
                await house.keyring.incidents.compromise(key_id, an_order("x"), since=0.0)
            elif path.startswith("/admin-tokens"):
                await call("POST", "/admin-tokens", {"name": key_id, "role": "viewer"}, expect=201)
            made.insert(0, key_id)
        page = await call("GET", f"{path}&limit=2")
        assert [each[name] for each in page["data"]] == made[:2]


async def test_a_way_that_a_list_has_not_is_refused_with_those_that_it_has(call: Caller) -> None:
    for way in ("", "secret", "-", "--name", "digest", "name,created_at"):
        answer = await call("GET", f"/keys?sort={way}", expect=400)
        assert "name, -name, created_at" in answer["detail"]
    await call("GET", "/rotations?sort=name", expect=400)


@pytest.mark.parametrize(
    "place",
    [
        b"x", b"[]", b"{}", b"[1]", b"[1, 2]", b'[true, ""]', b'[NaN, "key_0"]',
        b'["text", "key_0"]', b'[1e999, "key_0"]', b'["\\ud800", "key_0"]', b'[1, "\\ud800"]',
        b"[1%s, \"key_0\"]" % (b"0" * 400), b'[[1], "key_0"]',
    ],
)  # fmt: skip
async def test_an_invented_cursor_of_a_sorted_list_is_refused(call: Caller, place: bytes) -> None:
    cursor = urlsafe_b64encode(place).decode().rstrip("=")
    for sort in ("name", "expires_at"):
        if sort == "name" and place == b'["text", "key_0"]':
            continue
        answer = await call("GET", f"/keys?sort={sort}&cursor={cursor}", expect=422)
        assert [each["pointer"] for each in answer["errors"]] == ["/cursor"]
    await call("GET", "/keys?sort=name&cursor=%21", expect=422)


async def test_a_cursor_holds_nothing_but_the_place_of_a_record_in_the_list(call: Caller) -> None:
    page = await call("GET", "/keys?sort=name&limit=1")
    place = json.loads(urlsafe_b64decode(page["next_cursor"] + "=="))
    assert place == ["a", "key_2"]
