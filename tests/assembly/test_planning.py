"""A plan says what a reload would do to routes, limits and upstreams, and to which keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.planning import Comparison, plan_between, survey
from gateway.config.load import load
from gateway.config.planned import Callers, Planned
from gateway.config.reloading import ReloadRefused
from gateway.domain.access import Shift
from gateway.domain.keys import KeyState
from gateway.stores import sqlite
from gateway.stores.memory import MemoryStore
from tests.assembly.serving import EDGE
from tests.assembly.test_reload import serving
from tests.config.sample import HEAD, UPSTREAM, loaded, write
from tests.key_samples import a_key, a_tenant

NOW = 1_700_000_000.0
COMMON = "scopes: {atoms: [jobs:read, jobs:write], bundles: {reader: {add: ['*:read']}}}\n"
READ = "  - {name: read, match: {methods: [GET], path: '/jobs/{id}'}, scopes: [jobs:read], handler: introspect}\n"
WRITE = "  - {name: write, match: {methods: [POST], path: /jobs}, scopes: [jobs:write], handler: introspect}\n"
PLANS = "plans: {pro: {rate: {per_minute: 300}}, free: {rate: {per_minute: 60}}}\n"
BEFORE = COMMON + PLANS + "routes:\n" + READ + WRITE


def key(name: str, *scopes: str, **values: Any) -> Any:
    return a_key(f"key_{name}", scopes=scopes, **values)


async def a_store(*keys: Any, **tenant: Any) -> MemoryStore:
    store = MemoryStore()
    await store.save_tenant(a_tenant(**tenant))
    for each in keys:
        await store.save_key(each)
    return store


async def surveyed(folder: Path, store: MemoryStore, after: str, **options: Any) -> Callers:
    comparison = Comparison(loaded(folder, BEFORE), loaded(folder, after))
    return await survey(comparison, store, NOW, **({"first": 20} | options))


async def test_who_loses_a_route_or_lacks_a_scope_now_is_named(tmp_path: Path) -> None:
    store = await a_store(key("a", "reader"), key("b", "jobs:write"), key("c", "*"))
    stricter = BEFORE.replace(WRITE, "").replace("scopes: [jobs:read]", "scopes: [jobs:write]")
    found = await surveyed(tmp_path, store, stricter)
    assert (found.keys, found.losing, found.gaining) == (3, 3, 1)
    losses = {each.key_id: each.difference.losses for each in found.first_losing}
    assert losses == {
        "key_a": (Shift("read", "read", "insufficient_scope", ("jobs:write",)),),
        "key_b": (Shift("write", "", "no_route"),),
        "key_c": (Shift("write", "", "no_route"),),
    }
    [gaining] = found.first_gaining
    assert gaining.key_id == "key_b"
    assert gaining.difference.gains == (
        Shift("read", "read", "insufficient_scope", ("jobs:read",)),
    )
    assert found.unseen == ""


async def test_a_bundle_that_grants_less_takes_from_whoever_has_it(tmp_path: Path) -> None:
    store = await a_store(key("a", "reader"), key("b", "jobs:read"))
    after = BEFORE.replace("{add: ['*:read']}", "{add: [jobs:write]}")
    found = await surveyed(tmp_path, store, after)
    assert [each.key_id for each in found.first_losing] == ["key_a"]
    assert [each.key_id for each in found.first_gaining] == ["key_a"]


async def test_keys_on_a_plan_or_in_an_environment_that_leaves_are_told_as_unusable(
    tmp_path: Path,
) -> None:
    store = await a_store(
        key("a", "jobs:read", plan="pro"), key("b", "jobs:read"), plan="free", tenant_id="ten_a"
    )
    after = BEFORE.replace("pro: {rate: {per_minute: 300}}, ", "")
    found = await surveyed(tmp_path, store, after)
    [lost] = found.first_losing
    assert (lost.key_id, lost.difference.losses) == ("key_a", (Shift("read", "read", "unusable"),))
    store = await a_store(key("a", "jobs:read", environment="test"))
    after = (
        BEFORE
        + "environments: {live: {}}\n"
        + "key_formats: {f: {prefix: sk, environments: [live]}}\n"
    )
    found = await surveyed(tmp_path, store, after)
    assert [each.difference.losses for each in found.first_losing] == [
        (Shift("read", "read", "unusable"),)
    ]


async def test_how_many_keys_a_limit_is_about_is_counted(tmp_path: Path) -> None:
    store = await a_store(
        key("a", plan="pro"), key("b", plan="pro"), key("c"), plan="free", tenant_id="ten_a"
    )
    after = BEFORE.replace("per_minute: 300", "per_minute: 100")
    comparison = Comparison(loaded(tmp_path, BEFORE), loaded(tmp_path, after))
    [limit] = comparison.limits
    assert (limit.policy, limit.effect) == ("pro/minute", "shrinks")
    found = await survey(comparison, store, NOW, first=5)
    assert found.limited == {"pro/minute": 2}
    assert (found.losing, found.gaining) == (0, 0)


async def test_keys_that_have_ended_are_left_out_and_suspended_ones_are_not(tmp_path: Path) -> None:
    store = await a_store(
        key("a", "jobs:read", state=KeyState.REVOKED),
        key("b", "jobs:read", expires_at=NOW - 1),
        key("c", "jobs:read", state=KeyState.SUSPENDED),
    )
    found = await surveyed(tmp_path, store, BEFORE.replace(READ, ""))
    assert (found.keys, [each.key_id for each in found.first_losing]) == (1, ["key_c"])


async def test_what_the_bootstrap_section_changes_about_a_key_is_part_of_it(tmp_path: Path) -> None:
    store = await a_store(key("a", "jobs:read"), key("b", "jobs:read"))
    declared = (
        "bootstrap:\n  tenants: [{id: ten_a, name: A}]\n  keys:\n"
        "    - {id: key_a, tenant: ten_a, name: A, format: tollhouse, environment: live, pepper: p1,\n"
        f"       hash: '{'0' * 64}', scopes: [jobs:write]}}\n"
    )
    found = await surveyed(tmp_path, store, BEFORE + declared)
    assert [each.key_id for each in found.first_losing] == ["key_a"]
    assert [each.key_id for each in found.first_gaining] == ["key_a"]
    assert found.keys == 2


async def test_of_many_keys_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    store = await a_store(*(key(f"{n:04}", "jobs:read") for n in range(1200)))
    after = BEFORE.replace(READ, "")
    found = await surveyed(tmp_path, store, after, first=3)
    assert (found.keys, found.losing, len(found.first_losing)) == (1200, 1200, 3)
    found = await surveyed(tmp_path, store, after, first=3, keys_max=700)
    assert (found.keys, found.losing) == (700, 700)
    assert "first 700" in found.unseen


async def test_a_public_route_is_told_as_open_to_whoever_has_no_key(tmp_path: Path) -> None:
    before = (
        COMMON
        + UPSTREAM
        + "routes: [{name: read, match: {path: /jobs}, scopes: [jobs:read], upstream: u}]\n"
    )
    after = before.replace("scopes: [jobs:read], upstream", "auth: none, upstream")
    comparison = Comparison(loaded(tmp_path, before), loaded(tmp_path, after))
    assert comparison.anyone.gains == (Shift("read", "read", "missing_credentials"),)
    assert [(each.name, each.opens) for each in comparison.routes] == [("read", True)]


# ---- of a running gateway


async def planned(folder: Path, after: str) -> Planned:
    async with serving(folder, BEFORE, EDGE.replace("scopes: {atoms: ['jobs:read']}\n", "")) as one:
        await one.store.save_tenant(a_tenant())
        await one.store.save_key(key("a", "jobs:read", format="tollhouse"))
        write(folder, HEAD + EDGE.replace("scopes: {atoms: ['jobs:read']}\n", "") + after)
        found = await one.reloads.plan(10)
        assert one.number == 1
        return found


async def test_a_running_gateway_plans_what_its_files_hold_and_takes_nothing(
    tmp_path: Path,
) -> None:
    found = await planned(tmp_path, BEFORE.replace(READ, "") + "workers: 3\n")
    assert [change.path for change in found.reloaded.changes] == ["routes[read]"]
    assert found.reloaded.restart == ["workers"]
    assert [each.name for each in found.routes] == ["read"]
    assert [each.key_id for each in found.callers.first_losing] == ["key_a"]


async def test_what_would_be_refused_is_refused_as_a_plan(tmp_path: Path) -> None:
    with pytest.raises(ReloadRefused):
        await planned(tmp_path, BEFORE + "rutes: []\n")


# ---- of two files


async def test_two_files_are_compared_with_the_keys_of_the_store_that_the_first_names(
    tmp_path: Path,
) -> None:
    old = load(write(tmp_path, HEAD + "store: {path: keys.db}\n" + BEFORE, "old.yaml"), {})
    new = load(write(tmp_path, HEAD + "store: {path: other.db}\n" + BEFORE.replace(READ, "")), {})
    path = tmp_path / "old.yaml"
    found = await plan_between(old, new, path, first=10)
    assert "no store" in found.callers.unseen
    assert found.reloaded.restart == ["store.path"]
    async with sqlite.opened(tmp_path / "keys.db") as store:
        await store.save_tenant(a_tenant())
        await store.save_key(replace(key("a", "jobs:read"), format="tollhouse"))
    found = await plan_between(old, new, path, first=10)
    assert [each.key_id for each in found.callers.first_losing] == ["key_a"]
    assert found.callers.unseen == ""
