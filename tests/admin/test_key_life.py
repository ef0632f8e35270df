"""Further acts on keys, and templates, over the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.life_wire import IMPORT_KEYS_MAX
from gateway.admin.wire import instant
from tests.admin.life import Api, serving
from tests.key_samples import a_tenant
from tests.keyring.house import PEPPERS, House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(house, tmp_path, None) as call:
        yield call


def foreign(n: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "key_id": f"legacy-{n}",
        "tenant_id": "ten_a",
        "name": f"Legacy {n}",
        "format": "imported",
        "environment": "live",
        "digest": PEPPERS.digest(f"old-secret-{n}".encode()).hex(),
        "pepper_id": PEPPERS.current,
        "display": "old-…t-0",
        "scopes": ["read"],
        **values,
    }


# extend, suspend, delete


async def test_extending_brings_an_expired_key_back_on_purpose(call: Api, house: House) -> None:
    """JH-19."""
    key = (await call.create(expires_in="1h"))["key"]
    house.clock.advance(3601)
    path = f"/keys/{key['key_id']}"
    assert (await call("GET", path))["state"] == "expired"
    told = await call("POST", f"{path}:extend", {"expires_in": "30d", "reason": "renewed"})
    assert told["state"] == "active"
    assert told["expires_at"] == instant(house.clock.now() + 30 * 86400)
    until = instant(house.clock.now() + 60 * 86400)
    assert (await call("POST", f"{path}:extend", {"expires_at": until}))["expires_at"] == until


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/expires_at"),
        ({"expires_in": "1d", "expires_at": "2999-01-01T00:00:00Z"}, "/expires_in"),
        ({"expires_in": "soon"}, "/expires_in"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_an_extension_names_one_end_in_the_future(
    call: Api, body: dict[str, str], pointer: str
) -> None:
    key_id = (await call.create())["key"]["key_id"]
    refused = await call("POST", f"/keys/{key_id}:extend", body, expect=422)
    assert [each["pointer"] for each in refused["errors"]] == [pointer]


async def test_a_key_is_suspended_for_a_while(call: Api, house: House) -> None:
    """IV-21."""
    key_id = (await call.create())["key"]["key_id"]
    path = f"/keys/{key_id}"
    told = await call("POST", f"{path}:suspend", {"reason": "maintenance", "resume_in": "8h"})
    assert told["state"] == "suspended"
    house.clock.advance(8 * 3600 + 1)
    assert (await call("GET", path))["state"] == "active"
    until = instant(house.clock.now() + 60)
    await call("POST", f"{path}:suspend", {"reason": "again", "resume_at": until})
    both = {"reason": "x", "resume_at": until, "resume_in": "1h"}
    refused = await call("POST", f"{path}:suspend", both, expect=422)
    assert refused["errors"][0]["pointer"] == "/resume_in"
    await call("POST", f"{path}:suspend", {"resume_in": "1h"}, expect=422)  # IV-28: a reason


async def test_a_suspension_without_an_end_lasts(call: Api, house: House) -> None:
    key_id = (await call.create())["key"]["key_id"]
    await call("POST", f"/keys/{key_id}:suspend", {"reason": "x"})
    house.clock.advance(10**7)
    assert (await call("GET", f"/keys/{key_id}"))["state"] == "suspended"


async def test_a_deleted_key_is_revoked_and_left_out_of_lists(call: Api) -> None:
    """JH-11: history is kept."""
    key_id = (await call.create())["key"]["key_id"]
    told = await call("DELETE", f"/keys/{key_id}", {"reason": "tidying up"})
    assert told["state"] == "revoked"
    assert (await call("GET", "/keys"))["data"] == []
    assert (await call("GET", f"/keys/{key_id}"))["state"] == "revoked"


# import


async def test_imported_keys_work_with_the_secrets_that_nobody_here_knows(
    call: Api, house: House
) -> None:
    """JH-6."""
    body = {"keys": [foreign(0), foreign(1, expires_at="2999-01-01T00:00:00Z")]}
    told = await call("POST", "/keys:import", body)
    assert [key["key_id"] for key in told["data"]] == ["legacy-0", "legacy-1"]
    assert told["data"][0]["created_at"] == instant(house.clock.now())
    found = await house.keyring.find_key(b"old-secret-1")
    assert found is not None
    assert found.key_id == "legacy-1"
    assert "digest" not in repr(told)
    again = {"keys": [foreign(0, name="Renamed"), foreign(1)]}
    told = await call("POST", "/keys:import", again)
    assert told["data"][0]["name"] == "Renamed"


async def test_an_import_takes_all_keys_or_none_and_names_every_mistake(call: Api) -> None:
    wrong = [
        foreign(0),
        foreign(1, tenant_id="ten_none"),
        foreign(2, scopes=["raed"]),
        foreign(0),
        foreign(4, pepper_id="p9"),
    ]
    refused = await call("POST", "/keys:import", {"keys": wrong}, expect=422)
    assert [each["pointer"] for each in refused["errors"]] == [
        "/keys/1/tenant_id",
        "/keys/2/scopes/0",
        "/keys/3/key_id",
        "/keys/3/digest",
        "/keys/4/pepper_id",
    ]
    assert (await call("GET", "/keys"))["data"] == []


async def test_another_secret_needs_another_id(call: Api) -> None:
    await call("POST", "/keys:import", {"keys": [foreign(0)]})
    other = foreign(0, digest=PEPPERS.digest(b"another").hex())
    refused = await call("POST", "/keys:import", {"keys": [other]}, expect=422)
    assert "use another id" in refused["errors"][0]["detail"]


async def test_a_dry_run_of_an_import_stores_nothing(call: Api) -> None:
    path = "/keys:import?dry_run=true"
    told = await call("POST", path, {"keys": [foreign(0)]})
    assert [key["key_id"] for key in told["data"]] == ["legacy-0"]
    assert (await call("GET", "/keys"))["data"] == []


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ([], "/keys"),
        ([foreign(n) for n in range(IMPORT_KEYS_MAX + 1)], "/keys"),
        ([foreign(0, digest="zz")], "/keys/0/digest"),
        ([foreign(0, key_id="a/b")], "/keys/0/key_id"),
        ([foreign(0, secret="s3cret")], "/keys/0/secret"),
    ],
)
async def test_what_is_no_import_is_refused_without_repeating_it(
    call: Api, keys: list[Any], pointer: str
) -> None:
    refused = await call("POST", "/keys:import", {"keys": keys}, expect=422)
    assert refused["errors"][0]["pointer"] == pointer
    assert "s3cret" not in repr(refused)


# templates


async def test_templates_are_listed_with_the_atoms_that_they_stand_for(call: Api) -> None:
    """HP-16, IV-12."""
    data = (await call("GET", "/templates"))["data"]
    [ci] = [each for each in data if each["name"] == "ci"]
    assert (ci["name"], ci["scopes"], ci["environment"]) == ("ci", ["read"], "test")
    assert ci["granted_scopes"] == ["candidates:read", "jobs:read"]
    assert not ci["is_default"]
    await call("GET", "/templates?limit=1", expect=400)
