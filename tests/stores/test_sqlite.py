from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.sqlite import SqliteStore, opened
from tests.contracts.key_store import KeyStoreContract
from tests.key_samples import a_key, a_tenant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tollhouse.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        yield store


class TestSqliteStore(KeyStoreContract):
    """Runs the contract against a file; the fixture is the module's `store`."""


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_only_the_owner_can_read_the_file_and_what_stands_beside_it(
    path: Path, store: SqliteStore
) -> None:
    await store.save_tenant(a_tenant())
    assert _mode(path.parent) == 0o700
    assert {each.name for each in path.parent.iterdir()} >= {path.name, f"{path.name}-wal"}
    assert {_mode(each) for each in path.parent.iterdir()} == {0o600}


async def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    async with opened(path) as store:
        await store.save_tenant(a_tenant())
        written = await store.save_key(a_key())
    async with opened(path) as store:
        assert await store.get_key("key_a") == written
        assert await store.revision() == 2


async def test_another_process_sees_a_write_at_once(path: Path, store: SqliteStore) -> None:
    async with opened(path) as other:
        await store.save_tenant(a_tenant())
        assert await other.changes_since(0) == (1, ["ten_a"])


async def test_two_processes_may_create_the_file_together(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        await one.save_tenant(a_tenant("ten_a"))
        await other.save_tenant(a_tenant("ten_b"))
        assert await one.revision() == 2


async def test_acknowledged_writes_survive_a_power_cut(path: Path, store: SqliteStore) -> None:
    settings = [await store._file.write(f"PRAGMA {name}") for name in _PRAGMAS]
    assert [rows[0][0] for rows in settings] == ["wal", 2, 1]  # 2 is FULL


_PRAGMAS = ("journal_mode", "synchronous", "foreign_keys")


async def test_the_readers_cannot_write(store: SqliteStore) -> None:
    for read in (store._file.ask, store._file.seek):
        with pytest.raises(StoreUnavailable, match="readonly"):
            await read("DELETE FROM keys")


async def test_a_look_up_does_not_wait_for_a_writer(path: Path, store: SqliteStore) -> None:
    await store.save_tenant(a_tenant())
    written = await store.save_key(a_key())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(4):
            assert await store.find([written.digest]) is not None
            assert await store.get_key("key_a") == written
        other.execute("ROLLBACK")


async def test_a_locked_file_is_an_outage_not_a_crash(path: Path, store: SqliteStore) -> None:
    await store._file.write("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.save_tenant(a_tenant())
        other.execute("ROLLBACK")
    assert (await store.save_tenant(a_tenant())).revision == 1


async def test_a_writer_that_gave_up_before_its_turn_came_keeps_nobody_from_writing(
    path: Path, store: SqliteStore
) -> None:
    """The statement that begins its transaction goes on waiting in its thread, and succeeds."""
    store._file._answer_seconds_max = 0.05
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.2, other.execute, "ROLLBACK")
        with pytest.raises(StoreUnavailable, match="no answer"):
            await store.save_tenant(a_tenant())
    store._file._answer_seconds_max = 5.0
    assert (await store.save_tenant(a_tenant())).revision == 1


async def test_a_writer_that_is_cancelled_leaves_the_store_usable(store: SqliteStore) -> None:
    writing = asyncio.create_task(store.save_tenant(a_tenant()))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store.save_tenant(a_tenant("ten_b"))
    assert await store.revision() in (1, 2)
    assert (await store.changes_since(0))[0] == await store.revision()


async def test_a_closed_store_is_an_outage(path: Path) -> None:
    async with opened(path) as store:
        pass
    with pytest.raises(StoreUnavailable):
        await store.revision()


async def test_errors_name_neither_the_digest_nor_the_driver(store: SqliteStore) -> None:
    await store.save_tenant(a_tenant())
    await store.save_key(a_key("key_a"))
    with pytest.raises(Conflict) as caught:
        await store.save_key(a_key("key_b", digest=a_key("key_a").digest))
    assert str(caught.value) == "key_b: another record has the same digest"
    with pytest.raises(Conflict) as caught:
        await store.save_key(a_key("key_c", tenant_id="ten_x"))
    assert str(caught.value) == "key_c: what it refers to does not exist"


async def test_a_file_of_a_newer_program_is_refused_with_advice(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreUnavailable, match=r"has schema 999.*run the newer program"):
        async with opened(path):
            raise AssertionError("must not open")


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    await asyncio.to_thread(path.parent.mkdir)
    await asyncio.to_thread(path.write_bytes, b"this is no database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        async with opened(path):
            raise AssertionError("must not open")


async def test_a_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    await asyncio.to_thread(path.mkdir, parents=True)
    with pytest.raises(StoreUnavailable, match=r"tollhouse\.db"):
        async with opened(path):
            raise AssertionError("must not open")


async def test_a_store_that_does_not_answer_is_an_outage(path: Path, store: SqliteStore) -> None:
    store._file._answer_seconds_max = 0.001
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    with pytest.raises(StoreUnavailable, match="no answer"):
        await store._file.ask(f"{slow} SELECT count(*) FROM n")
