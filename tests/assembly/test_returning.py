"""A gateway whose store is broken serves known keys by its snapshot, never lets in what was revoked, and goes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.assembly.gateway import Gateway
from gateway.assembly.restoring import restore
from gateway.domain.key_format import KeyFormat
from gateway.keyring.door import Minted
from gateway.ports import StoreUnavailable
from gateway.stores import sqlite_copies
from tests.assembly.serving import ROUTES, add_tenant, ask, mint, serving, written
from tests.key_samples import an_order
from tests.wire import until

WHY = an_order("leaked")


async def prepared(folder: Path) -> tuple[Minted, Minted, Minted, Minted]:
    """Leave a store and its snapshot behind: a good key, and one each that was revoked, suspended, and made later."""
    async with serving(folder) as gateway:
        await add_tenant(gateway)
        good, revoked, suspended = [await mint(gateway.keyring) for _ in range(3)]
        await written(gateway)
        late = await mint(gateway.keyring)
        await gateway.keyring.revoke_key(revoked.record.key_id, WHY)
        await gateway.keyring.suspend_key(suspended.record.key_id, WHY)
    return good, revoked, suspended, late


def is_there(folder: Path) -> bool:
    return (folder / "keys.snapshot").exists()


def store(folder: Path) -> Path:
    return folder / "keys.db"


def corrupted(folder: Path) -> None:
    for suffix in ("-wal", "-shm"):
        store(folder).with_name(f"keys.db{suffix}").unlink(missing_ok=True)
    store(folder).write_bytes(b"not a database" * 1000)


def removed(folder: Path) -> None:
    store(folder).unlink()


def emptied(folder: Path) -> None:
    store(folder).write_bytes(b"")


def a_folder_in_its_place(folder: Path) -> None:
    store(folder).unlink()
    store(folder).mkdir()


def with_damaged_pages(folder: Path) -> None:
    whole = store(folder).read_bytes()
    store(folder).write_bytes(whole[:4096] + b"?" * (len(whole) - 4096))


BREAKS = [corrupted, removed, emptied, a_folder_in_its_place, with_damaged_pages]


async def status(gateway: Gateway, minted: Minted) -> int:
    return (await ask(gateway.public_address, "/me", minted.secret)).status


@pytest.mark.parametrize("broken", BREAKS, ids=lambda each: each.__name__)
async def test_a_restart_with_a_broken_store_serves_known_keys_and_honours_what_was_acknowledged(
    tmp_path: Path, broken: Callable[[Path], None]
) -> None:
    good, revoked, suspended, late = await prepared(tmp_path)
    broken(tmp_path)
    async with serving(tmp_path) as gateway:
        assert await status(gateway, good) == 200
        assert await status(gateway, late) == 200
        for stopped in (revoked, suspended):
            assert await status(gateway, stopped) == 401
        unknown = await ask(gateway.public_address, "/me", _another(good.secret))
        assert unknown.status == 503
        assert b"store_unavailable" in unknown.body
        ready = await ask(gateway.metrics_address, "/readyz")
        assert ready.status == 200
        with pytest.raises(StoreUnavailable):
            await gateway.keyring.revoke_key(good.record.key_id, WHY)


def _another(secret: str) -> str:
    """Return a well-formed key that nobody has made."""
    made = KeyFormat(name="tollhouse", prefix="sk", environments=("live", "test"))
    return made.mint("live", "".join(reversed(secret.rpartition("_")[2][:43])))


async def test_a_gateway_goes_back_to_its_store_by_itself(tmp_path: Path) -> None:
    good, *_ = await prepared(tmp_path)
    kept = tmp_path / "kept"
    shutil.copy(store(tmp_path), kept)
    corrupted(tmp_path)
    async with serving(tmp_path) as gateway:
        assert await status(gateway, good) == 200
        shutil.copy(kept, store(tmp_path))
        await until(lambda: gateway.store.is_up and not gateway.reserve.fault)
        new = await mint(gateway.keyring)
        assert await status(gateway, new) == 200
        await gateway.keyring.revoke_key(good.record.key_id, WHY)
        assert await status(gateway, good) == 401


async def test_a_backup_is_restored_beneath_a_gateway_that_serves_by_the_snapshot(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        good, revoked = await mint(gateway.keyring), await mint(gateway.keyring)
        sqlite_copies.back_up(store(tmp_path), tmp_path / "backup")
        await gateway.keyring.revoke_key(revoked.record.key_id, WHY)
        late = await mint(gateway.keyring)
        await written(gateway)
    corrupted(tmp_path)
    async with serving(tmp_path) as gateway:
        assert [await status(gateway, each) for each in (good, late, revoked)] == [200, 200, 401]
        config, path = gateway.config, gateway.config_path
        restored = await restore(config, path, tmp_path / "backup", an_order("the disk died"))
        assert restored.is_by_snapshot
        assert restored.stopped is not None
        assert (restored.stopped.keys, restored.stopped.lost) == (1, 1)
        await until(lambda: gateway.store.is_up and not gateway.reserve.fault)
        assert await status(gateway, good) == 200
        assert await status(gateway, late) == 401  # the backup does not know it
        assert await status(gateway, revoked) == 401  # what was revoked stays revoked
        await written(gateway)
        assert is_there(tmp_path)


async def test_without_a_snapshot_a_broken_store_is_no_start(tmp_path: Path) -> None:
    await prepared(tmp_path)
    corrupted(tmp_path)
    (tmp_path / "keys.snapshot").unlink()
    with pytest.raises(StoreUnavailable, match="not a database"):
        async with serving(tmp_path):
            pass


async def test_a_first_start_makes_a_store(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        assert store(tmp_path).stat().st_size > 0


async def test_a_store_that_vanished_is_not_made_anew_beside_a_snapshot_that_cannot_be_used(
    tmp_path: Path,
) -> None:
    await prepared(tmp_path)
    removed(tmp_path)
    with (tmp_path / "keys.snapshot").open("r+b") as file:
        file.truncate(700)
    with pytest.raises(StoreUnavailable, match=r"is gone.*db restore.*cut off"):
        async with serving(tmp_path):
            pass
    assert not store(tmp_path).exists()


async def test_quotas_go_on_where_they_stood(tmp_path: Path) -> None:
    text = ROUTES + "plans: {p: {quota: {per_day: 5}}}\n"
    async with serving(tmp_path, text) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring, plan="p")
        await written(gateway)
        assert [await status(gateway, key) for _ in range(3)] == [200] * 3
    kept = tmp_path / "kept"
    shutil.copy(store(tmp_path), kept)
    corrupted(tmp_path)
    async with serving(tmp_path, text) as gateway:
        assert [await status(gateway, key) for _ in range(3)] == [200, 200, 429]
    async with serving(tmp_path, text) as gateway:
        assert await status(gateway, key) == 429
        shutil.copy(kept, store(tmp_path))
        await until(lambda: gateway.store.is_up and not gateway.reserve.fault)
        assert await status(gateway, key) == 429
    (tmp_path / "keys.snapshot.counts").write_bytes(b"?" * 600)
    async with serving(tmp_path, text) as gateway:
        assert await status(gateway, key) == 429  # the store has it
    corrupted(tmp_path)
    (tmp_path / "keys.snapshot.counts").write_bytes(b"?" * 600)
    async with serving(tmp_path, text) as gateway:
        assert await status(gateway, key) == 200  # nobody can tell any more
