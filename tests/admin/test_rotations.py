"""Rotations over the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

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


async def rotated(call: Api, **values: Any) -> Any:
    key = (await call.create())["key"]
    body = {"grace": "1d", "reason": "quarterly", **values}
    return await call("POST", f"/keys/{key['key_id']}:rotate", body, expect=201)


async def test_a_rotation_answers_with_both_keys_and_the_secret_once(call: Api) -> None:
    """HP-11, IV-17, D3."""
    created = await call.create(tags=["ci"], metadata={"team": "a"}, ip_allowlist=["10.0.0.0/8"])
    old = created["key"]
    body = {"grace": "7d", "idle": "12h", "reason": "quarterly"}
    begun = await call("POST", f"/keys/{old['key_id']}:rotate", body, expect=201)
    rotation, new = begun["rotation"], begun["new_key"]
    assert call.headers["Location"] == f"/admin/v1/rotations/{rotation['rotation_id']}"
    assert begun["secret"].startswith("sk_live_")
    assert begun["secret"] != created["secret"]
    assert begun["delivery_url"] is None
    assert (begun["old_key"]["state"], new["state"]) == ("rotating", "active")
    copied = ("lineage_id", "name", "scopes", "tags", "metadata", "ip_allowlist", "environment")
    assert {name: new[name] for name in copied} == {name: old[name] for name in copied}
    assert (rotation["state"], rotation["reason"]) == ("pending", "quarterly")
    assert rotation["idle_seconds"] == 12 * 3600
    assert begun["enforcement"]["acknowledged"] == begun["enforcement"]["of"]
    shown = await call("GET", f"/rotations/{rotation['rotation_id']}")
    assert shown["seconds_left"] == 7 * 86400
    assert begun["secret"][12:-4] not in repr(shown)


async def test_a_rotation_without_grace_stops_the_old_key_at_once(call: Api) -> None:
    begun = await rotated(call, grace="0s")
    assert begun["old_key"]["state"] == "revoked"
    assert begun["rotation"]["state"] == "completed"


async def test_a_rotation_with_delivery_answers_with_a_link_instead_of_a_secret(call: Api) -> None:
    """HT-3."""
    begun = await rotated(call, deliver_in="1h")
    assert begun["secret"] is None
    assert begun["delivery_url"].startswith("https://keys.test/delivery/")
    assert begun["warnings"] == []


async def test_who_has_not_moved_is_told_by_address_and_user_agent(
    call: Api, house: House, log: ListedLog
) -> None:
    """JH-11, D3."""
    now = house.clock.now()
    begun = await rotated(call)
    old, new = begun["old_key"]["key_id"], begun["new_key"]["key_id"]
    log.add(old, now - 2 * 86_400, "10.9.9.9", "weekly")
    log.add(old, now - 60, "10.9.9.9", "hourly")  # has not come since, and has not moved
    log.add(old, now + 1, "10.0.0.1", "nightly")
    log.add(old, now + 2, "10.0.0.1", "dashboard")
    log.add(old, now + 3, "10.0.0.2", "nightly")
    log.add(new, now + 4, "10.0.0.1", "nightly")
    log.add(new, now + 5, "10.0.0.2", "nightly")
    log.add(old, now + 6, "10.0.0.2", "nightly")  # went back: has not moved
    path = f"/rotations/{begun['rotation']['rotation_id']}/clients"
    told = (await call("GET", path))["data"]
    assert [(each["client_address"], each["user_agent"], each["has_moved"]) for each in told] == [
        ("10.0.0.2", "nightly", False),
        ("10.0.0.1", "dashboard", False),
        ("10.0.0.1", "nightly", True),
        ("10.9.9.9", "hourly", False),
    ]
    assert (told[0]["requests"], told[2]["requests"]) == (2, 1)
    assert told[1]["new_key_last_at"] is None
    assert told[2]["new_key_last_at"] > told[2]["last_at"]
    waiting = (await call("GET", path, params={"has_moved": "false"}))["data"]
    assert waiting == [*told[:2], told[3]]
    assert (await call("GET", path, params={"has_moved": "true"}))["data"] == [told[2]]
    week = (await call("GET", path, params={"since": "7d"}))["data"]
    assert [each["user_agent"] for each in week[3:]] == ["hourly", "weekly"]
    assert (await call("GET", path, params={"since": "1s"}))["data"] == told[:3]
    await call("GET", path, params={"since": "soon"}, expect=400)
    await call("GET", path, params={"has_moved": "maybe"}, expect=400)


async def test_without_a_request_log_nobody_knows_who_has_not_moved(
    house: House, tmp_path: Path
) -> None:
    async with serving(house, tmp_path, None) as call:
        begun = await rotated(call)
        path = f"/rotations/{begun['rotation']['rotation_id']}/clients"
        answer = await call("GET", path, expect=409)
        assert "request log" in answer["detail"]


async def test_a_rotation_shows_whether_the_new_key_has_worked(call: Api, house: House) -> None:
    """HP-15."""
    begun = await rotated(call)
    path = f"/rotations/{begun['rotation']['rotation_id']}"
    assert not (await call("GET", path))["has_new_key_worked"]
    used = house.clock.now() + 10
    await house.store.touch({begun["new_key"]["key_id"]: used})
    shown = await call("GET", path)
    assert shown["has_new_key_worked"]
    assert shown["new_key_last_used_at"] is not None
    assert shown["old_key_last_used_at"] is None


@pytest.mark.parametrize(
    ("verb", "state", "old", "new"),
    [("complete", "completed", "revoked", "active"), ("abort", "aborted", "active", "revoked")],
)
async def test_a_rotation_is_ended_by_hand(
    call: Api, verb: str, state: str, old: str, new: str
) -> None:
    begun = await rotated(call)
    path = f"/rotations/{begun['rotation']['rotation_id']}"
    ended = await call("POST", f"{path}:{verb}", {"reason": "done"})
    assert (ended["state"], ended["ended_by"]) == (state, "operator")
    assert (await call("GET", f"/keys/{begun['old_key']['key_id']}"))["state"] == old
    assert (await call("GET", f"/keys/{begun['new_key']['key_id']}"))["state"] == new
    assert (await call("GET", path))["seconds_left"] == 0
    other = "abort" if verb == "complete" else "complete"
    await call("POST", f"{path}:{other}", {}, expect=409)


async def test_rotations_are_listed_by_tenant_state_and_lineage(call: Api) -> None:
    one = (await rotated(call))["rotation"]
    two = (await rotated(call))["rotation"]
    await call("POST", f"/rotations/{two['rotation_id']}:abort", {})

    async def listed(**query: str) -> list[str]:
        page = await call("GET", "/rotations", params=query)
        return [each["rotation_id"] for each in page["data"]]

    assert set(await listed()) == {one["rotation_id"], two["rotation_id"]}
    assert await listed(state="pending") == [one["rotation_id"]]
    assert await listed(lineage_id=two["lineage_id"]) == [two["rotation_id"]]
    assert await listed(tenant_id="ten_b") == []
    assert len(await listed(limit="1")) == 1
    await call("GET", "/rotations", params={"state": "done"}, expect=400)
    await call("GET", "/rotations", params={"color": "red"}, expect=400)


async def test_a_dry_run_of_a_rotation_changes_nothing_and_makes_no_secret(call: Api) -> None:
    key = (await call.create())["key"]
    path = f"/keys/{key['key_id']}:rotate?dry_run=true"
    told = await call("POST", path, {"grace": "1d"})
    assert told["secret"] is None
    assert (await call("GET", "/rotations"))["data"] == []
    assert (await call("GET", f"/keys/{key['key_id']}"))["state"] == "active"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"grace": "soon"}, "/grace"),
        ({"grace": "10000d"}, "/grace"),
        ({"idle": "0s"}, "/idle"),
        ({"deliver_in": "1000d"}, "/deliver_in"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_what_is_wrong_with_a_rotation_is_told_where_it_stands(
    call: Api, body: dict[str, str], pointer: str
) -> None:
    key = (await call.create())["key"]
    answer = await call("POST", f"/keys/{key['key_id']}:rotate", body, expect=422)
    assert [each["pointer"] for each in answer["errors"]] == [pointer]


async def test_what_is_not_there_is_not_found(call: Api) -> None:
    await call("GET", "/rotations/rot_none", expect=404)
    await call("GET", "/rotations/rot_none/clients", expect=404)
    await call("POST", "/rotations/rot_none:complete", {}, expect=404)
    await call("POST", "/keys/key_none:rotate", {}, expect=404)


async def test_a_stale_condition_stops_a_rotation(call: Api, house: House) -> None:
    key = (await call.create())["key"]
    path = f"/keys/{key['key_id']}:rotate"
    stale = {"If-Match": f'"{key["revision"] + 1}"'}
    await call("POST", path, {}, headers=stale, expect=412)
    fresh = {"If-Match": f'"{key["revision"]}"'}
    await call("POST", path, {}, headers=fresh, expect=201)


async def test_a_rotation_may_leave_the_new_key_less(call: Api) -> None:
    """D13: what the least-privilege report proposes is taken as it stands."""
    key = (await call.create(scopes=["read", "jobs:write"]))["key"]
    body = {"reason": "least privilege", "scopes": ["jobs:read"], "ip_allowlist": ["10.0.0.0/8"]}
    tried = await call("POST", f"/keys/{key['key_id']}:rotate?dry_run=true", body)
    assert tried["new_key"]["scopes"] == ["jobs:read"]
    begun = await call("POST", f"/keys/{key['key_id']}:rotate", body, expect=201)
    assert begun["new_key"]["scopes"] == ["jobs:read"]
    assert begun["new_key"]["ip_allowlist"] == ["10.0.0.0/8"]
    assert begun["old_key"]["scopes"] == ["read", "jobs:write"]


async def test_a_rotation_gives_nothing_that_the_key_does_not_have(call: Api) -> None:
    key = (await call.create(scopes=["jobs:read"], ip_allowlist=["10.0.0.0/8"]))["key"]
    body = {"scopes": ["jobs:write"], "ip_allowlist": ["192.0.2.1"]}
    problem = await call("POST", f"/keys/{key['key_id']}:rotate", body, expect=422)
    assert [each["pointer"] for each in problem["errors"]] == ["/scopes/0", "/ip_allowlist/0"]
    assert (await call("GET", f"/keys/{key['key_id']}"))["state"] == "active"
