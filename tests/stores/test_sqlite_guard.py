"""Nothing is acknowledged that would be gone with the process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.ports import StoreUnavailable
from gateway.stores.sqlite import SqliteStore, opened, opened_to_find
from gateway.stores.sqlite_guard import Guard, NotKept
from tests.key_samples import a_key, a_tenant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tollhouse.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key())
        yield store


def moved_away(path: Path) -> Callable[[], object]:
    """Move a file away; return what moves it back."""
    away = path.with_suffix(".away")
    path.rename(away)
    return lambda: away.rename(path)


def replaced(path: Path) -> None:
    moved_away(path)
    path.write_bytes(path.with_suffix(".away").read_bytes())


def damaged(path: Path) -> Callable[[], object]:
    """Damage all but the first page; return what undoes it."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    return lambda: path.write_bytes(whole)


def files_beside(path: Path) -> Iterable[Path]:
    return path.parent.iterdir()


@pytest.mark.parametrize("end", ["", "-wal"])
async def test_nothing_is_written_to_a_file_that_was_removed_and_keys_are_still_found(
    path: Path, store: SqliteStore, end: str
) -> None:
    back = moved_away(Path(f"{path}{end}"))
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.save_key(a_key("key_b"))
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.save_counts({"bucket": (0, 1)})
    assert await store.get_key("key_a") is not None
    assert await store.get_key("key_b") is None
    back()
    await store.save_key(a_key("key_b"))
    async with opened(path) as other:
        assert await other.get_key("key_b") is not None


async def test_nothing_is_written_when_another_file_has_taken_the_place(
    path: Path, store: SqliteStore
) -> None:
    replaced(path)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.save_key(a_key("key_b"))


async def test_nothing_is_written_any_more_once_the_file_was_found_damaged(
    path: Path, store: SqliteStore
) -> None:
    mend = damaged(path)
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.list_keys()
    mend()
    with pytest.raises(StoreUnavailable, match="damaged"):
        await store.save_key(a_key("key_b"))


def an_error(name: str) -> sqlite3.Error:
    error = sqlite3.DatabaseError("no")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize("name", ["SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB"])
def test_damage_is_remembered(path: Path, name: str) -> None:
    guard = Guard(path)
    guard.heard(an_error(name))
    with pytest.raises(NotKept, match="damaged"):
        guard.require()


def test_another_error_is_no_damage(path: Path) -> None:
    guard = Guard(path)
    for error in (an_error("SQLITE_BUSY"), sqlite3.Error(), ValueError()):
        guard.heard(error)
    guard.require()


async def test_whoever_comes_later_does_not_make_an_empty_file_in_place_of_one_that_was_removed(
    path: Path, store: SqliteStore
) -> None:
    moved_away(path)
    with pytest.raises(StoreUnavailable, match="unable to open"):
        async with opened_to_find(path):
            pass
    assert path not in [*files_beside(path)]


async def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?" / "täglich.db"
    async with opened(path) as store:
        await store.save_tenant(a_tenant())
    assert path in [*files_beside(path)]
