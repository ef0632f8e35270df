"""The SQLite file itself: where it lies, who may read it, and the version of its schema.

Knows how to create the file and bring it to this program's schema, step by step, each step in one
transaction. It must not know what the tables mean. Runs before any connection is open, in a thread
of its own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Final

SQLITE_VERSION_MIN: Final = (3, 38, 0)
"""STRICT tables and RETURNING need 3.37; built-in `json_each` needs 3.38."""

_LOCK_SECONDS_MAX: Final = 4.0

Step = tuple[int, str]
"""A version of the schema, and the SQL that leads to it from the one before."""


class SchemaError(Exception):
    """The file cannot be used by this program; the text says what to do."""


def prepare(path: Path, schema: Sequence[Step] | None = None) -> None:
    """Create the file (0600, in a folder 0700) if it is missing and migrate it to the newest
    schema.

    Raises `SchemaError`, `OSError` or `sqlite3.Error`. Safe to run in several processes at once.
    """
    require_version(sqlite3.sqlite_version_info)
    _create(path)
    with closing(sqlite3.connect(path, timeout=_LOCK_SECONDS_MAX, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("BEGIN IMMEDIATE")  # the other processes wait here, then find the work done
        try:
            _migrate(file, path, steps() if schema is None else schema)
        except BaseException:
            file.rollback()
            raise
        file.execute("COMMIT")


def require_version(found: tuple[int, ...]) -> None:
    """Raise `SchemaError` unless SQLite's version `found` can read the schema."""
    if found < SQLITE_VERSION_MIN:
        names = [".".join(map(str, version)) for version in (found, SQLITE_VERSION_MIN)]
        raise SchemaError(f"SQLite {names[0]} is too old: install {names[1]} or newer")


def steps() -> list[Step]:
    """Return the schema steps as (version, SQL), in order."""
    folder = files("gateway.stores") / "schema"
    named = {each.name: each for each in folder.iterdir() if each.name.endswith(".sql")}
    return [(int(name.split("_")[0]), named[name].read_text("utf-8")) for name in sorted(named)]


def newest() -> int:
    """Return the schema to which this program brings a file."""
    return steps()[-1][0]


def _create(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _migrate(file: sqlite3.Connection, path: Path, known: Sequence[Step]) -> None:
    found = file.execute("PRAGMA user_version").fetchone()[0]
    newest = known[-1][0]
    if found > newest:
        raise SchemaError(
            f"{path} has schema {found}, this program knows {newest}: "
            "run the newer program, or restore a backup made before the upgrade"
        )
    for version, script in known:
        if version > found:
            for statement in _statements(script):
                file.execute(statement)
            file.execute(f"PRAGMA user_version = {version}")  # takes no parameters


def _statements(script: str) -> Iterator[str]:
    """Split a script: `executescript` would commit the transaction around all steps."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
