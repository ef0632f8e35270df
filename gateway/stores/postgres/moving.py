"""A store in a SQLite file moves to a database, with every record that it has.

Knows which table becomes which, and that nothing counts as moved before it was read back and compared. The file is
read, locked, and left as it is. Everything happens in one transaction of the database: it has all, or nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.stores import migrations
from gateway.stores.alert_rows import ALERT, MESSAGE, NOTICE
from gateway.stores.postgres.access import DRIVER_ERRORS
from gateway.stores.postgres.audit import CHECKPOINT, AuditReader
from gateway.stores.postgres.statements import LAST_USED, TAKE_TURN, stored_columns
from gateway.stores.postgres.usage import FACET
from gateway.stores.rows import TABLES, Table
from gateway.stores.usage_rows import COUNTS, DIMENSIONS, MARKS, PLACE
from gateway.stores.usage_rows import PARTS as PARTS_OF_CELLS

BATCH: Final = 5_000
"""Rows that are in memory at a time."""

_UNMOVED: Final = frozenset({"store", "key_counts", "usage_state"})
"""Tables of the file that are not copied: the revision and the marks are set, keys are counted anew."""


_INDEXES: Final = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = ANY($1::text[]::regclass[]) AND NOT indisunique
"""


class MoveRefused(Exception):
    """The store cannot be moved; the text says why and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What moves into one table: `source` reads the file, in the order of the first `places` columns.

    `serial` is the column that the database goes on numbering.
    """

    table: str
    columns: tuple[str, ...]
    source: str
    places: int = 1
    flags: frozenset[int] = frozenset()
    serial: str = ""

    @property
    def target(self) -> str:
        """Read the database in the same order."""
        return _selected(self.table, self.columns, self.places)

    def row(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return a row of the file as the database has it."""
        if not self.flags:
            return tuple(row)
        return tuple(bool(value) if n in self.flags else value for n, value in enumerate(row))


def _selected(table: str, columns: Sequence[str], places: int) -> str:
    order = ", ".join(columns[:places])
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"  # noqa: S608 - own names


def _copied(
    table: str, *columns: str, flags: Iterable[str] = (), places: int = 1, serial: str = ""
) -> Part:
    return Part(
        table=table,
        columns=columns,
        source=_selected(table, columns, places),
        places=places,
        flags=frozenset(columns.index(name) for name in flags),
        serial=serial,
    )


def _records(table: Table[Any]) -> Part:
    flags = [name for name, reader in table.readers.items() if reader is bool]
    return _copied(table.name, *stored_columns(table), flags=flags)


PARTS: Final = (
    *sorted(map(_records, TABLES.values()), key=lambda part: part.table != "tenants"),
    Part(
        table="last_uses",
        columns=("used_id", "used_at"),
        source=f"SELECT key_id, {LAST_USED} FROM keys WHERE {LAST_USED} IS NOT NULL "  # noqa: S608
        f"UNION ALL SELECT token_id, {LAST_USED} FROM admin_tokens WHERE {LAST_USED} IS NOT NULL "
        "ORDER BY 1",
    ),
    _copied("quota_counts", "bucket", "period_start", "count"),
    _copied("idempotency", "idempotency_key", "fingerprint", "result_id", "created_at"),
    _copied("audit", "seq", "at", "type", "tenant_id", "key_id", "actor", "body", "hash"),
    _copied("audit_checkpoints", *CHECKPOINT),
    _copied(*("usage_dimensions", "dimension_id", *DIMENSIONS, "last_day"), serial="dimension_id"),
    _copied("usage_cells", *PLACE, *COUNTS, places=3),
    *(_copied(table, *PLACE, part, "count", places=4) for table, part in PARTS_OF_CELLS),
    _copied("usage_facets", *FACET, places=5),
    _copied("alerts", "seq", *ALERT, serial="seq"),
    _copied("alert_notices", "seq", *NOTICE, serial="seq"),
    _copied("alert_messages", *MESSAGE),
)
"""Everything that moves, what is referred to first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved: rows by table, and the revision of the store."""

    rows: Mapping[str, int]
    revision: int


Check = Callable[[AuditReader], Awaitable[None]]
"""Is given the audit trail as it lies in the database, before it counts. Raises what forbids that."""


async def move(
    path: Path, connection: asyncpg.Connection, check: Check, *, is_dry_run: bool = False
) -> Moved:
    """Copy the store in the file at `path` to the database of `connection`, whose tables are ready and empty.

    With `is_dry_run` everything is done, and then undone. Raises `MoveRefused`, and what the driver raises.
    """
    with closing(await asyncio.to_thread(_locked, path)) as file:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(
                "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
            )
            await connection.execute(TAKE_TURN)
            await _require_empty(connection)
            rows = await _copy_all(file, connection)
            await connection.execute(
                "INSERT INTO key_counts SELECT state, environment, count(*) FROM keys GROUP BY 1, 2"
            )
            revision = file.execute("SELECT revision FROM store").fetchone()[0]
            await connection.execute("UPDATE store SET revision = $1", revision)
            await _set_marks(file, connection)
            for part in PARTS:
                await _compare(file, connection, part)
                if part.serial:
                    await _go_on_numbering(connection, part)
            await check(AuditReader(_Borrowed(connection)))
        except BaseException as error:
            with suppress(*DRIVER_ERRORS):
                await transaction.rollback()
            if isinstance(error, sqlite3.Error):
                raise MoveRefused(f"{path}: {error}") from error
            raise
        await (transaction.rollback() if is_dry_run else transaction.commit())
    return Moved(rows=rows, revision=revision)


class _Borrowed:
    """Implements `audit.Asks` in the transaction of a connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def ask(self, sql: str, *values: object) -> Sequence[Any]:
        """Return the rows of one statement."""
        return list(await self._connection.fetch(sql, *values))


def _locked(path: Path) -> sqlite3.Connection:
    """Return the file, which nobody else uses until it is closed."""
    if not path.is_file():
        raise MoveRefused(f"there is no store at {path}")
    try:
        _lock(path).close()
        migrations.prepare(path)
        file = _lock(path)
    except (migrations.SchemaError, sqlite3.Error) as error:
        if "locked" in str(error):
            raise MoveRefused(f"{path} is in use: stop the gateway first") from error
        raise MoveRefused(f"{path}: {error}") from error
    names = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    known = {part.table for part in PARTS} | _UNMOVED
    for (name,) in names:
        is_empty = file.execute(f'SELECT NOT EXISTS (SELECT 1 FROM "{name}")').fetchone()[0]  # noqa: S608
        if name not in known and not name.startswith("sqlite_") and not is_empty:
            file.close()
            raise MoveRefused(f"{path}: this program does not know how to move the table {name}")
    return file


def _lock(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        file.close()
        raise
    return file


async def _require_empty(connection: asyncpg.Connection) -> None:
    for table in (*(part.table for part in PARTS), "nodes"):
        if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table})"):  # noqa: S608
            raise MoveRefused(
                f"the database is not empty: it has rows in {table}. Move to a database of its own"
            )


async def _rows(file: sqlite3.Connection, part: Part) -> AsyncIterator[list[tuple[Any, ...]]]:
    cursor = file.execute(part.source)
    while batch := await asyncio.to_thread(cursor.fetchmany, BATCH):
        yield [part.row(row) for row in batch]


async def _copy_all(file: sqlite3.Connection, connection: asyncpg.Connection) -> dict[str, int]:
    """Copy everything; return the rows by table. To build an index once takes a fraction of adding each row to it."""
    indexes = await connection.fetch(_INDEXES, [part.table for part in PARTS])
    await connection.execute("ALTER TABLE keys DISABLE TRIGGER USER")
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    rows = {part.table: await _copy(file, connection, part) for part in PARTS}
    for _, definition in indexes:
        await connection.execute(definition)
    await connection.execute("ALTER TABLE keys ENABLE TRIGGER USER")
    for part in PARTS:
        await connection.execute(
            f"ANALYZE {part.table}"
        )  # or lists are slow until the server does it
    return rows


async def _copy(file: sqlite3.Connection, connection: asyncpg.Connection, part: Part) -> int:
    count = 0
    async for batch in _rows(file, part):
        await connection.copy_records_to_table(part.table, records=batch, columns=part.columns)
        count += len(batch)
    return count


async def _set_marks(file: sqlite3.Connection, connection: asyncpg.Connection) -> None:
    """Say how far usage was added up."""
    marks = file.execute(f"SELECT {', '.join(MARKS)} FROM usage_state").fetchone()  # noqa: S608 - own names
    places = ", ".join(f"{name} = ${n}" for n, name in enumerate(MARKS, 1))
    await connection.execute(f"UPDATE usage_state SET {places}", *marks)  # noqa: S608 - own names


async def _go_on_numbering(connection: asyncpg.Connection, part: Part) -> None:
    last = f"coalesce(max({part.serial}), 0)"
    await connection.execute(
        f"SELECT setval(pg_get_serial_sequence($1, $2), {last} + 1, false) FROM {part.table}",  # noqa: S608 - own names
        *(part.table, part.serial),
    )


async def _compare(file: sqlite3.Connection, connection: asyncpg.Connection, part: Part) -> None:
    """Hold every row of the database against the file."""
    before, after = hashlib.sha256(), hashlib.sha256()
    async for batch in _rows(file, part):
        for row in batch:
            before.update(repr(row).encode())
    async for found in connection.cursor(part.target, prefetch=BATCH):
        after.update(repr(tuple(found)).encode())
    if before.digest() != after.digest():
        raise MoveRefused(
            f"what was written to {part.table} reads differently than the file: nothing was moved"
        )
