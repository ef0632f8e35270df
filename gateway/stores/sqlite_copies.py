"""Copies of a SQLite store: made while it is in use, checked, and put in its place.

Knows that a copy is whole or not there, that a store is never seen without its journal, and that what is replaced is
kept. Everything here blocks. It must not know what the records mean.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.stores.migrations import SchemaError, newest, prepare

SIDECARS: Final = ("-wal", "-shm")
"""What SQLite keeps beside an open file: changes that are not in it yet."""

_FAULTS_MAX: Final = 20
_MODE: Final = 0o600
_TABLES: Final = ("store", "keys", "tenants", "audit")


class CannotCopy(Exception):
    """The copy was not made, or not put in its place, and nothing has changed; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a store holds. `audit_seq` is the last record of the audit trail."""

    schema: int
    revision: int
    keys: int
    tenants: int
    audit_seq: int
    size: int


def inspect(path: Path, *, is_thorough: bool = True) -> Contents:
    """Check every page of the file and every reference, and count what it holds. Raises `CannotCopy`.

    Without `is_thorough` indexes are not held against their tables: half of the time.
    """
    with _opened(path) as file:
        _require_sound(file, path, "integrity_check" if is_thorough else "quick_check")
        schema = int(file.execute("PRAGMA user_version").fetchone()[0])
        found = {row[0] for row in file.execute("SELECT name FROM sqlite_schema")}
        if schema == 0 or not found.issuperset(_TABLES[:3]):
            raise CannotCopy(f"{path} is no store of a gateway")
        if schema > newest():
            raise CannotCopy(
                f"{path} has schema {schema}, this program knows {newest()}: use the newer program"
            )
        if file.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise CannotCopy(f"{path} is damaged: records refer to what is not there")
        return Contents(
            schema=schema,
            revision=_number(file, "SELECT revision FROM store"),
            keys=_number(file, "SELECT count(*) FROM keys"),
            tenants=_number(file, "SELECT count(*) FROM tenants"),
            audit_seq=_number(file, "SELECT coalesce(max(seq), 0) FROM audit")
            if "audit" in found
            else 0,
            size=path.stat().st_size,
        )


def require_sound(path: Path) -> None:
    """Check every page of a store, which may be that of a newer program. Raises `CannotCopy`."""
    with _opened(path) as file:
        _require_sound(file, path, "integrity_check")


def _require_sound(file: sqlite3.Connection, path: Path, check: str) -> None:
    faults = [str(row[0]) for row in file.execute(f"PRAGMA {check}({_FAULTS_MAX})")]
    if faults != ["ok"]:
        raise CannotCopy(f"{path} is damaged: {'; '.join(faults[:3])}")


def back_up(store: Path, target: Path) -> Contents:
    """Write what `store` holds at one moment to the new file `target` (0600), compact, and check it. Raises
    `CannotCopy`.

    Whoever uses the store goes on: writers are not held up, and what they commit meanwhile is not in the copy.
    """
    if not store.is_file():
        raise CannotCopy(f"there is no store at {store}")
    with _beside(target) as beside, _opened(store) as file:
        file.execute("VACUUM INTO ?", (str(beside),))
        contents = inspect(beside)
        _force(beside)
        try:
            os.link(beside, target)  # unlike a rename, it replaces nothing
        except FileExistsError as error:
            raise CannotCopy(f"{target} exists already: name a new file") from error
        _force(target.parent)
    return contents


def stage(source: Path, staged: Path) -> Contents:
    """Make a copy of `source` at `staged`, checked and brought to this program's schema. Raises `CannotCopy`."""
    discard(staged)
    inspect(source)
    os.close(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    with _translating(), closing(sqlite3.connect(staged)) as copy, _opened(source) as file:
        file.backup(copy)
    with _translating():
        prepare(staged)
    return inspect(staged)


def replace(staged: Path, store: Path, kept: Path) -> bool:
    """Put `staged` in the place of `store`, whose file is kept as `kept`; tell whether there was one.

    Nobody may have either of them open. Raises `CannotCopy`.
    """
    with _translating():
        _fold(staged)
        _force(staged)
        is_there = store.exists()
        if is_there:
            status = store.stat()
            if os.geteuid() == 0:
                os.chown(staged, status.st_uid, status.st_gid)
            _fold(store)
            for suffix in ("", *SIDECARS):  # a damaged file could not be folded
                with suppress(FileNotFoundError):
                    os.link(f"{store}{suffix}", f"{kept}{suffix}")
            for suffix in SIDECARS:
                Path(f"{store}{suffix}").unlink(missing_ok=True)
        staged.replace(store)
        _force(store.parent)
    return is_there


def rebuild(store: Path) -> tuple[int, int]:
    """Write the store anew, without the room that deleted records took; return its size before and after.

    Nobody may have it open. Raises `CannotCopy`.
    """
    before = store.stat().st_size if store.exists() else 0
    with _opened(store) as file:
        file.execute("VACUUM")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, store.stat().st_size


def migrate(store: Path) -> tuple[int, int]:
    """Bring the store to this program's schema; return which it had, and has. Raises `CannotCopy`."""
    if not store.is_file():
        raise CannotCopy(f"there is no store at {store}")
    with _opened(store) as file:
        before = int(file.execute("PRAGMA user_version").fetchone()[0])
    with _translating():
        prepare(store)
    return before, newest()


def discard(staged: Path) -> None:
    """Remove what is left of a copy that was not put in its place."""
    for suffix in ("", *SIDECARS, "-journal", ".lock"):
        Path(f"{staged}{suffix}").unlink(missing_ok=True)


def _fold(path: Path) -> None:
    """Let the file hold everything by itself. One that is damaged stays as it is, with what lies beside it."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0)) as file:
        file.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a new, empty file in the folder of `target`, readable for its owner only; it is gone at the end."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    except OSError as error:
        raise CannotCopy(f"{target}: {error.strerror}") from error
    try:
        yield beside
    finally:
        beside.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that is there. One that may only be read is: else SQLite tidies up beside it when it is closed."""
    can_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    mode = "rw" if can_write else "ro"
    with _translating():
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as file:
            yield file


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, SchemaError) as error:
        raise CannotCopy(str(error)) from error


def _number(file: sqlite3.Connection, sql: str) -> int:
    return int(file.execute(sql).fetchone()[0])


def _force(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
