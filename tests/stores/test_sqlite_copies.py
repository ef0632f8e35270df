from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.change import Change, ChangeType
from gateway.ports import Write
from gateway.stores import sqlite, sqlite_copies
from gateway.stores.migrations import newest, prepare, steps
from gateway.stores.sqlite_copies import CannotCopy
from tests.key_samples import ACTOR, a_key, a_tenant


def told(name: str) -> Change:
    return Change(type=ChangeType.KEY_CREATED, actor=ACTOR, tenant_id="ten_a", key_id=name, at=1.0)


async def _filled(path: Path, keys: int = 3) -> None:
    async with sqlite.opened(path) as store:
        await store.save_tenant(a_tenant())
        for n in range(keys):
            await store.commit([Write(a_key(f"key_{n:03}"))], [told(f"key_{n:03}")])


def filled(path: Path, keys: int = 3) -> Path:
    asyncio.run(_filled(path, keys))
    return path


def damaged(path: Path) -> Path:
    """Overwrite pages in the middle of a store."""
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xa5" * 4096 * 4)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- looking


def test_what_a_store_holds_is_counted(tmp_path: Path) -> None:
    path = filled(tmp_path / "keys.db")
    for is_thorough in (True, False):
        found = sqlite_copies.inspect(path, is_thorough=is_thorough)
        assert (found.schema, found.keys, found.tenants, found.audit_seq) == (newest(), 3, 1, 3)
        assert found.revision == 4
        assert found.size == path.stat().st_size


def test_what_is_damaged_or_no_store_is_told_as_such(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE x (y)")
    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    newer = filled(tmp_path / "newer.db")
    with closing(sqlite3.connect(newer)) as file:
        file.execute("PRAGMA user_version = 99")
    dangling = filled(tmp_path / "dangling.db")
    with closing(sqlite3.connect(dangling)) as file:
        file.execute("DELETE FROM tenants")
        file.commit()
    for path, why in (
        (damaged(filled(tmp_path / "damaged.db", 200)), "damaged|malformed"),
        (other, "no store of a gateway"),
        (text, "not a database"),
        (newer, "schema 99.*newer program"),
        (dangling, "refer to what is not there"),
        (tmp_path / "nothing.db", "unable to open"),
    ):
        with pytest.raises(CannotCopy, match=why):
            sqlite_copies.inspect(path)


# ---- backing up


def test_a_copy_holds_what_the_store_does_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path, target = filled(tmp_path / "keys.db"), tmp_path / "copy.db"
    before = names(tmp_path)
    found = sqlite_copies.back_up(path, target)
    assert (found.keys, found.audit_seq, found.revision) == (3, 3, 4)
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) - before == {"copy.db"}
    assert sqlite_copies.inspect(target) == found


def test_a_copy_overwrites_nothing_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    path, target = filled(tmp_path / "keys.db"), tmp_path / "copy.db"
    target.write_text("mine")
    before = names(tmp_path)
    with pytest.raises(CannotCopy, match="exists already"):
        sqlite_copies.back_up(path, target)
    assert target.read_text() == "mine"
    with pytest.raises(CannotCopy, match="No such file"):
        sqlite_copies.back_up(path, tmp_path / "missing" / "copy.db")
    with pytest.raises(CannotCopy, match="there is no store"):
        sqlite_copies.back_up(tmp_path / "nothing.db", tmp_path / "x.db")
    with pytest.raises(CannotCopy):
        sqlite_copies.back_up(damaged(filled(tmp_path / "bad.db", 200)), tmp_path / "y.db")
    assert names(tmp_path) - before == {"bad.db", "bad.db.lock"}


async def test_a_copy_is_one_moment_of_a_store_that_is_being_written(tmp_path: Path) -> None:
    """Each change and its audit record are one transaction: no copy has one without the other."""
    path = tmp_path / "keys.db"
    copies: list[sqlite_copies.Contents] = []
    is_over = threading.Event()

    def copy() -> None:
        while not is_over.is_set() or len(copies) < 3:
            copies.append(sqlite_copies.back_up(path, tmp_path / f"copy-{len(copies)}.db"))

    async with sqlite.opened(path) as store:
        await store.save_tenant(a_tenant())
        copying = asyncio.create_task(asyncio.to_thread(copy))
        written = 0
        while written < 150 or len(copies) < 3:
            name = f"key_{written:05}"
            await store.commit([Write(a_key(name))], [told(name)])
            written += 1
        is_over.set()
        await copying
    assert all(each.keys == each.audit_seq == each.revision - 1 for each in copies)
    counts = [each.keys for each in copies]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


# ---- putting it in place


def test_a_staged_copy_is_brought_to_the_newest_schema(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    prepare(old, steps()[:1])
    staged = tmp_path / "staged.db"
    assert sqlite_copies.stage(old, staged).schema == newest()
    assert sqlite_copies.inspect(old).schema == 1
    sqlite_copies.discard(staged)
    assert names(tmp_path) == {"old.db"}


def test_a_copy_takes_the_place_of_the_store_which_is_kept(tmp_path: Path) -> None:
    store, source = filled(tmp_path / "keys.db", 5), filled(tmp_path / "copy.db", 2)
    staged, kept = tmp_path / "keys.db.restoring", tmp_path / "keys.db.replaced"
    sqlite_copies.stage(source, staged)
    assert sqlite_copies.replace(staged, store, kept)
    assert sqlite_copies.inspect(store).keys == 2
    assert sqlite_copies.inspect(kept).keys == 5
    assert not staged.exists()


def test_a_damaged_store_is_kept_with_its_journal_and_the_new_one_has_none(tmp_path: Path) -> None:
    store, source = damaged(filled(tmp_path / "keys.db", 200)), filled(tmp_path / "copy.db")
    journal = tmp_path / "keys.db-wal"
    journal.write_bytes(b"what could not be brought in")
    staged, kept = tmp_path / "keys.db.restoring", tmp_path / "keys.db.replaced"
    sqlite_copies.stage(source, staged)
    assert sqlite_copies.replace(staged, store, kept)
    assert sqlite_copies.inspect(store).keys == 3
    assert not journal.exists()
    assert kept.exists()


def test_without_a_store_the_copy_is_the_first(tmp_path: Path) -> None:
    source, staged = filled(tmp_path / "copy.db"), tmp_path / "keys.db.restoring"
    sqlite_copies.stage(source, staged)
    assert not sqlite_copies.replace(staged, tmp_path / "keys.db", tmp_path / "kept.db")
    assert sqlite_copies.inspect(tmp_path / "keys.db").keys == 3


def test_what_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    store, source = filled(tmp_path / "keys.db", 5), filled(tmp_path / "copy.db", 2)
    staged, kept = tmp_path / "keys.db.restoring", tmp_path / "keys.db.replaced"
    kept.write_text("an earlier one")
    sqlite_copies.stage(source, staged)
    with pytest.raises(CannotCopy, match="exists"):
        sqlite_copies.replace(staged, store, kept)
    assert sqlite_copies.inspect(store).keys == 5
    assert kept.read_text() == "an earlier one"


# ---- the file itself


def test_rebuilding_gives_back_the_room_of_what_was_deleted(tmp_path: Path) -> None:
    path = filled(tmp_path / "keys.db", 300)
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM audit")
        file.commit()
    before, after = sqlite_copies.rebuild(path)
    assert after < before
    assert sqlite_copies.inspect(path).keys == 300


def test_migrating_says_where_from_and_where_to(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    prepare(path, steps()[:2])
    assert sqlite_copies.migrate(path) == (2, newest())
    assert sqlite_copies.migrate(path) == (newest(), newest())
    with pytest.raises(CannotCopy, match="there is no store at"):
        sqlite_copies.migrate(tmp_path / "nothing.db")
