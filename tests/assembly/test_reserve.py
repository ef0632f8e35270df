"""While a gateway runs: what is acknowledged is in its snapshot, and nothing is believed for longer than it may be."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.gateway import Gateway
from gateway.assembly.keys import open_keyring
from gateway.assembly.restoring import restore
from gateway.domain.key_snapshots import Moment
from gateway.domain.keys import KeyState
from gateway.ports import StoreUnavailable
from gateway.stores import sqlite, sqlite_copies
from gateway.stores.snapshots.reading import Snapshot
from tests.assembly.serving import EDGE, ROUTES, add_tenant, ask, configured, mint, serving, written
from tests.assembly.test_returning import WHY, corrupted, is_there, prepared, status, store
from tests.key_samples import an_order
from tests.wire import until


def in_snapshot(gateway: Gateway) -> Snapshot:
    snapshot, _ = gateway.reserve.found()
    return snapshot


def state_in_snapshot(gateway: Gateway, digest: bytes) -> KeyState | None:
    found = in_snapshot(gateway).key([digest])
    return None if found is None else found[0].state


class Down:
    """Stands in the place of the store's parts: nothing answers."""

    def __getattr__(self, name: str) -> Any:
        async def refuse(*_: object, **__: object) -> Any:
            raise StoreUnavailable("the disk is gone")

        return refuse


def break_store(gateway: Gateway) -> None:
    gateway.store._store = gateway.store._finder = Down()


def let_pass(gateway: Gateway, seconds: float) -> None:
    """Let so much time pass since the store was reached."""
    since, stamp = gateway.reserve.since, gateway.reserve.moment
    gateway.reserve.since = Moment(since.at - seconds, since.uptime - seconds, since.boot)

    def later() -> Moment:
        now = stamp()
        return Moment(now.at + seconds, now.uptime + seconds, now.boot)

    assert gateway.reserve.known is not None
    gateway.reserve.known._moment = later


async def test_a_revocation_is_in_the_snapshot_when_it_returns(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        changed = await gateway.keyring.revoke_key(key.record.key_id, WHY)
        assert changed.enforced is not None
        assert changed.enforced.silent == ()
        assert state_in_snapshot(gateway, key.record.digest) is KeyState.REVOKED


class Overtaken:
    """A store in which `key_id` is revoked between the reading of records and the end of that reading."""

    def __init__(self, gateway: Gateway, key_id: str) -> None:
        self._gateway = gateway
        self._key_id = key_id

    async def get_keys(self, ids: Any) -> Any:
        found = await self._gateway.store.get_keys(ids)
        await self._gateway.keyring.revoke_key(self._key_id, WHY)
        return found


async def test_whoever_follows_the_store_takes_no_revocation_back_that_overtook_them(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        overtaken: Any = Overtaken(gateway, key.record.key_id)
        await gateway.reserve.note_ids([key.record.key_id], overtaken)
        assert state_in_snapshot(gateway, key.record.digest) is KeyState.REVOKED


async def test_a_snapshot_that_misses_a_change_and_cannot_go_is_named_in_the_answer(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        into = gateway.reserve.keeper._files  # type: ignore[union-attr]

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        into.note = into.drop = full  # type: ignore[method-assign]
        changed = await gateway.keyring.revoke_key(key.record.key_id, WHY)
        enforced = changed.enforced
        assert enforced is not None
        assert enforced.silent == (f"the snapshot of the keys {tmp_path / 'keys.snapshot'}",)
        assert enforced.acknowledged == enforced.of - 1
        assert gateway.pending() == 1
        del into.note, into.drop
        await gateway.reserve.tend(gateway.store)
        assert gateway.pending() == 0
        assert not is_there(tmp_path)


async def test_known_keys_work_without_the_store_for_as_long_as_is_said_and_no_longer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = ROUTES + "on_failure: {keys: {max_age: 10m}}\n"
    async with serving(tmp_path, text) as gateway:
        await add_tenant(gateway)
        used, unused = await mint(gateway.keyring), await mint(gateway.keyring)
        assert await status(gateway, used) == 200
        await written(gateway)
        break_store(gateway)
        await gateway.reserve.tend(gateway.store)
        assert "known keys go on working for 600 s" in caplog.text
        assert await status(gateway, used) == 200
        assert await status(gateway, unused) == 200
        await gateway.degradation.look()
        ready = await ask(gateway.metrics_address, "/readyz")
        assert ready.status == 200
        assert ready.json["degraded"] == {"keys": "last_known_good"}
        let_pass(gateway, 601)
        await gateway.reserve.tend(gateway.store)
        assert "no key is believed any more" in caplog.text
        for key in (used, unused):
            assert await status(gateway, key) == 503


async def test_who_denies_believes_nothing_and_keeps_no_snapshot(tmp_path: Path) -> None:
    await prepared(tmp_path)
    assert (tmp_path / "keys.snapshot").exists()
    async with serving(tmp_path, ROUTES + "on_failure: {keys: deny}\n") as gateway:
        assert not is_there(tmp_path)
        assert gateway.reserve.age() == 0.0
        assert gateway.reserve.silent == ()
        key = await mint(gateway.keyring)
        assert await status(gateway, key) == 200
        break_store(gateway)
        await gateway.reserve.tend(gateway.store)
        assert await status(gateway, key) == 503
    assert not is_there(tmp_path)
    corrupted(tmp_path)
    with pytest.raises(StoreUnavailable):
        async with serving(tmp_path, ROUTES + "on_failure: {keys: deny}\n"):
            pass


async def test_a_change_elsewhere_is_noted_when_it_is_learnt(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        async with sqlite_opened(gateway) as elsewhere:
            record = await elsewhere.get_key(key.record.key_id)
            await elsewhere.save_key(_revoked(record))
        await until(lambda: state_in_snapshot(gateway, key.record.digest) is KeyState.REVOKED)


async def test_what_was_noted_here_is_not_noted_again(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, EDGE.replace("50ms", "1h")) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        await gateway.keyring.revoke_key(key.record.key_id, WHY)
        before = in_snapshot(gateway).journal.entries
        await gateway.reserve.note_ids([key.record.key_id, "ten_gone"], gateway.store)
        assert in_snapshot(gateway).journal.entries == before + 2  # of what is gone


async def test_a_change_without_the_gateway_takes_the_snapshot_with_it(tmp_path: Path) -> None:
    good, *_ = await prepared(tmp_path)
    config = configured(tmp_path)
    async with open_keyring(config, tmp_path / "config.yaml") as keyring:
        await keyring.get_key(good.record.key_id)
        assert (tmp_path / "keys.snapshot").exists()
        await keyring.revoke_key(good.record.key_id, WHY)
        assert not is_there(tmp_path)


async def test_a_change_without_the_gateway_says_when_the_snapshot_stays(tmp_path: Path) -> None:
    good, *_ = await prepared(tmp_path)
    (tmp_path / "keys.snapshot").unlink()
    (tmp_path / "keys.snapshot").mkdir()
    async with open_keyring(configured(tmp_path), tmp_path / "config.yaml") as keyring:
        changed = await keyring.revoke_key(good.record.key_id, WHY)
    assert changed.enforced is not None
    assert "keys.snapshot" in changed.enforced.silent[0]


async def test_a_restore_takes_the_snapshot_with_it(tmp_path: Path) -> None:
    await prepared(tmp_path)
    sqlite_copies.back_up(store(tmp_path), tmp_path / "backup")
    await restore(
        configured(tmp_path), tmp_path / "config.yaml", tmp_path / "backup", an_order("moved")
    )
    assert not is_there(tmp_path)


async def test_a_restart_goes_on_with_its_snapshot_and_learns_what_was_changed(
    tmp_path: Path,
) -> None:
    good, *_ = await prepared(tmp_path)
    async with sqlite_file(tmp_path) as elsewhere:
        record = await elsewhere.get_key(good.record.key_id)
        await elsewhere.save_key(_revoked(record))
    async with serving(tmp_path) as gateway:
        assert state_in_snapshot(gateway, good.record.digest) is KeyState.REVOKED


async def test_an_older_store_in_the_place_of_ours_is_told_and_its_snapshot_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
    older = tmp_path / "older"
    shutil.copy(store(tmp_path), older)
    async with serving(tmp_path) as gateway:
        await mint(gateway.keyring)
        await written(gateway)
    shutil.copy(older, store(tmp_path))
    async with serving(tmp_path):
        assert "an older one is in its place" in caplog.text


async def test_a_snapshot_that_cannot_be_gone_by_is_removed_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await prepared(tmp_path)
    os.truncate(tmp_path / "keys.snapshot", 700)
    async with serving(tmp_path):
        assert "is not gone by: it is cut off" in caplog.text


async def test_a_store_that_is_removed_while_it_runs_takes_no_more_changes(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        await written(gateway)
        store(tmp_path).rename(tmp_path / "elsewhere")
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await gateway.keyring.revoke_key(key.record.key_id, WHY)
        assert await status(gateway, key) == 200
        (tmp_path / "elsewhere").rename(store(tmp_path))
        await gateway.keyring.revoke_key(key.record.key_id, WHY)
        assert await status(gateway, key) == 401


async def test_another_pepper_signs_the_next_pages(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        await written(gateway)
        keeper = gateway.reserve.keeper
        assert keeper is not None
        assert not keeper.wants_pages
        gateway.reserve.follow(gateway.config)
        assert not keeper.wants_pages
        other = gateway.config.model_copy(update={"peppers": None})
        gateway.reserve._config = other
        gateway.reserve.follow(gateway.config)
        assert keeper.wants_pages


async def test_pages_that_failed_are_tried_again_after_a_while(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        await written(gateway)
        reserve, keeper = gateway.reserve, gateway.reserve.keeper
        assert keeper is not None
        keeper.fault, keeper.wants_pages = "the disk is full", True
        await reserve.write()
        assert keeper.wants_pages
        reserve._pages_at = 0.0
        await reserve.write()
        assert not keeper.wants_pages
        await reserve.renew()
        assert reserve.age() == float("inf")


def _revoked(record: Any) -> Any:
    return replace(record, state=KeyState.REVOKED)


def sqlite_opened(gateway: Gateway) -> Any:
    return sqlite_file(gateway.config_path.parent)


def sqlite_file(folder: Path) -> Any:
    return sqlite.opened(store(folder))


async def test_counters_that_take_long_to_write_are_written_less_often(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        reserve, keeper = gateway.reserve, gateway.reserve.keeper
        assert keeper is not None
        day = int(gateway.clock.now()) - 60
        reserve.count({"a": (day, 1), "ended": (day - 40 * 86_400, 9)})
        await reserve.write_counts()
        assert await keeper.counts() == {"a": (day, 1)}
        reserve.count({"a": (day, 2)})
        reserve._counts_at = float("inf")
        await reserve.write_counts()
        assert await keeper.counts() == {"a": (day, 1)}
        reserve._counts_at = 0.0
        await reserve.write_counts()
        assert await keeper.counts() == {"a": (day, 2)} == dict(reserve.counted)
