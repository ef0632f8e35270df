"""What a gateway keeps over a restart, and what it learns of changes that others made to its store."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.gateway import opened
from gateway.assembly.keys import open_keyring
from gateway.config.load import load
from gateway.ports import StoreUnavailable
from gateway.stores.sqlite import opened as opened_store
from tests.assembly.serving import (
    EDGE,
    ROUTES,
    Response,
    add_tenant,
    ask,
    configured,
    mint,
    serving,
)
from tests.config.sample import PEPPER, write
from tests.key_samples import a_key, a_tenant, an_order

PLANS = "plans: {month: {quota: {per_month: 5}}, fast: {rate: {per_minute: 600}}}\n"


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    """Wait for what another process or thread does."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.005)


# ---- what survives, and what others change


async def used(gateway_address: str, secret: str) -> int:
    answer = await ask(gateway_address, "/me", secret)
    assert answer.status == 200
    line = next(line for line in answer.json["limits"] if line["policy"] == "month/monthly")
    return int(line["limit"]) - int(line["remaining"])


async def test_quota_counters_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES + PLANS) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring, "month")
        assert [await used(gateway.public_address, minted.secret) for _ in range(3)] == [1, 2, 3]
    async with serving(tmp_path, ROUTES + PLANS) as gateway:
        assert await used(gateway.public_address, minted.secret) == 4
    async with serving(tmp_path, ROUTES + PLANS) as gateway:
        assert await used(gateway.public_address, minted.secret) == 5
        refused = await ask(gateway.public_address, "/me", minted.secret)
        assert (refused.status, refused.json["code"]) == (429, "quota_exceeded")


async def test_the_last_use_of_a_key_is_written(tmp_path: Path) -> None:
    before = time.time()
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted, unused = await mint(gateway.keyring), await mint(gateway.keyring)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
    async with open_keyring(configured(tmp_path), tmp_path / "config.yaml") as keyring:
        last_used_at = (await keyring.get_key(minted.record.key_id)).last_used_at
        assert last_used_at is not None
        assert before <= last_used_at <= time.time()
        assert (await keyring.get_key(unused.record.key_id)).last_used_at is None


class FailingStore:
    """A store in which the named acts fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.counts: dict[str, tuple[int, int]] = {}
        self.touched: dict[str, float] = {}

    async def save_counts(self, counts: dict[str, tuple[int, int]]) -> None:
        if "save_counts" in self.failing:
            raise StoreUnavailable("full disk")
        self.counts |= counts

    async def touch(self, last_used: dict[str, float]) -> None:
        if "touch" in self.failing:
            raise StoreUnavailable("full disk")
        self.touched |= last_used


@pytest.mark.parametrize("failing", [["save_counts"], ["touch"], ["save_counts", "touch"]])
async def test_nothing_that_was_counted_is_dropped_when_the_store_fails(
    failing: list[str], tmp_path: Path
) -> None:
    async with serving(tmp_path, ROUTES + PLANS) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring, "month")
        broken: Any = FailingStore(*failing)
        for _ in range(2):
            assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
            with pytest.raises(StoreUnavailable):
                await gateway.save(broken)
        broken.failing.clear()
        await gateway.save(broken)
        assert [count for _, count in broken.counts.values()] == [2]
        assert list(broken.touched) == [minted.record.key_id]


async def test_a_revocation_by_another_process_takes_effect_within_the_poll(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
        async with open_keyring(gateway.config, gateway.config_path) as elsewhere:
            await elsewhere.revoke_key(minted.record.key_id, an_order("leaked"))
        started = time.monotonic()

        async def is_refused() -> bool:
            return (await ask(gateway.public_address, "/me", minted.secret)).status == 401

        await until(is_refused)
        assert time.monotonic() - started < 1  # the poll is 50 ms; the rest is a busy machine


async def test_a_tenant_that_another_process_suspends_stops(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
        async with open_keyring(gateway.config, gateway.config_path) as elsewhere:
            await elsewhere.tenants.suspend("ten_a", an_order("unpaid"))

        async def is_refused() -> bool:
            return (await ask(gateway.public_address, "/me", minted.secret)).status == 403

        await until(is_refused)


async def test_a_key_that_another_process_made_works_though_it_was_unknown_before(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        async with open_keyring(gateway.config, gateway.config_path) as elsewhere:
            minted = await mint(elsewhere)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


# ---- peppers


def peppered(folder: Path, **peppers: str) -> Any:
    """Return a configuration with these peppers; the last is the current one."""
    current = list(peppers)[-1]
    inside = ", ".join(f"{name}: {value}" for name, value in peppers.items())
    text = f"version: 1\npeppers: {{current: {current}, {inside}}}\n{EDGE}{ROUTES}"
    return load(write(folder, text), {})


async def test_a_key_found_under_an_old_pepper_is_moved_and_works_under_the_new_one_alone(
    tmp_path: Path,
) -> None:
    path, new = tmp_path / "config.yaml", "n" * 32
    async with opened(peppered(tmp_path, p1=PEPPER), path) as gateway:
        await add_tenant(gateway)
        moved, unused = await mint(gateway.keyring), await mint(gateway.keyring)
    async with opened(peppered(tmp_path, p1=PEPPER, p2=new), path) as gateway:
        for _ in range(2):
            assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
        await gateway.rekeying.settle()
        record = await gateway.keyring.get_key(moved.record.key_id)
        assert record.pepper_id == "p2"
        assert record.digest != moved.record.digest
        assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
    async with opened(peppered(tmp_path, p2=new), path) as gateway:
        assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
        answer = await ask(gateway.public_address, "/me", unused.secret)
        assert (answer.status, answer.json["code"]) == (401, "unknown_key")


async def test_a_key_that_waits_to_be_moved_when_the_gateway_stops_is_not_lost(
    tmp_path: Path,
) -> None:
    path, new = tmp_path / "config.yaml", "n" * 32
    async with opened(peppered(tmp_path, p1=PEPPER), path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
    for _ in range(2):
        async with opened(peppered(tmp_path, p1=PEPPER, p2=new), path) as gateway:
            assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


async def test_a_store_written_past_the_keyring_makes_no_header_of_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
    with sqlite3.connect(tmp_path / "keys.db") as file:
        file.execute("UPDATE keys SET lineage_id = 'lin_a' || char(13, 10) || 'X-Evil: 1'")
    file.close()
    async with serving(tmp_path) as gateway:
        answer: Response = await ask(gateway.public_address, "/me", minted.secret)
        assert answer.status == 500


async def test_a_store_that_a_newer_program_wrote_is_left_alone(tmp_path: Path) -> None:
    async with opened_store(tmp_path / "keys.db") as store:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key())
    with sqlite3.connect(tmp_path / "keys.db") as file:
        file.execute("PRAGMA user_version = 9999")
    file.close()
    with pytest.raises(StoreUnavailable, match=r"keys\.db"):
        async with serving(tmp_path):
            pass
