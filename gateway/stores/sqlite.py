"""Keys in one SQLite file: the default store.

Knows the SQL of `KeyStore` and which error of the driver means what. It must not know policy:
states, scopes and formats are columns here. Writing has a connection of its own, and so has the
look-up of keys that requests wait for, so neither a write nor a listing delays an authentication.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiosqlite

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Conflict, KeyFinder, StoreUnavailable
from gateway.stores.migrations import SchemaError, prepare
from gateway.stores.rows import (
    KEY_COLUMNS,
    TENANT_COLUMNS,
    SharedRows,
    key_of,
    tenant_of,
    values_of,
)

ANSWER_SECONDS_MAX: Final = 5.0  # what the port promises
BUSY_MILLISECONDS_MAX: Final = 4_000  # shorter, so that a locked file is named as the cause
QUOTA_SECONDS_MAX: Final = 31 * 86_400  # a month: the longest period a counter can still belong to

_DRIVER_ERRORS: Final = (sqlite3.Error, TimeoutError, OSError, ValueError)  # the last: it is closed

_SETTINGS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS_MAX}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # in WAL mode NORMAL may lose acknowledged writes with the power
    "PRAGMA temp_store = MEMORY",
)

_READING: Final = (*_SETTINGS, "PRAGMA query_only = ON")


def _save(table: str, key: str, columns: Sequence[str]) -> str:
    """Write the one statement that saves a record: revision check, write and new revision in one
    transaction.

    Revision 0 meets no row, so an insert that finds one does nothing; a row that is expected but
    missing is not made.
    """
    values = ", ".join(f":{column}" for column in columns if column != "revision")
    settings = ", ".join(
        f"{column} = excluded.{column}" for column in columns if column not in (key, "last_used_at")
    )
    last_used = (
        ", last_used_at = max(coalesce(excluded.last_used_at, keys.last_used_at),"
        " coalesce(keys.last_used_at, excluded.last_used_at))"
    )
    returned = "revision, last_used_at" if table == "keys" else "revision"
    return f"""
        INSERT INTO {table} ({", ".join(columns)})
        SELECT {values}, (SELECT revision + 1 FROM store)
        WHERE :expected IS NULL OR :expected = 0
           OR EXISTS (SELECT 1 FROM {table} WHERE {key} = :{key})
        ON CONFLICT ({key}) DO UPDATE
        SET {settings}{last_used if table == "keys" else ""}
        WHERE :expected IS NULL OR {table}.revision = :expected
        RETURNING {returned}
    """  # noqa: S608 - made of this module's own names only


_SAVE_KEY: Final = _save("keys", "key_id", KEY_COLUMNS)
_SAVE_TENANT: Final = _save("tenants", "tenant_id", TENANT_COLUMNS)
_KEY: Final = f"SELECT {', '.join(KEY_COLUMNS)} FROM keys"  # noqa: S608 - own names
_TENANT: Final = f"SELECT {', '.join(TENANT_COLUMNS)} FROM tenants"  # noqa: S608 - own names
_FIND: Final = (
    f"SELECT {', '.join(f'keys.{column}' for column in KEY_COLUMNS)}, "  # noqa: S608 - own names
    f"{', '.join(f'tenants.{column}' for column in TENANT_COLUMNS)} "
    "FROM keys JOIN tenants USING (tenant_id) WHERE keys.digest IN "
)
_CHANGES: Final = """
    SELECT revision, NULL FROM store
    UNION ALL SELECT revision, key_id FROM keys WHERE revision > :revision
    UNION ALL SELECT revision, tenant_id FROM tenants WHERE revision > :revision
"""
_TOUCH: Final = """
    UPDATE keys SET last_used_at = max(coalesce(keys.last_used_at, used.value), used.value)
    FROM json_each(?) AS used WHERE keys.key_id = used.key
"""
_SAVE_COUNTS: Final = """
    INSERT INTO quota_counts (bucket, period_start, count)
    SELECT key, json_extract(value, '$[0]'), json_extract(value, '$[1]')
    FROM json_each(?) WHERE true
    ON CONFLICT (bucket) DO UPDATE SET period_start = excluded.period_start, count = excluded.count
    WHERE (excluded.period_start, excluded.count) > (quota_counts.period_start, quota_counts.count)
"""


class SqliteStore:
    """Implements `ports.KeyStore`. Made by `opened`."""

    def __init__(
        self,
        path: Path,
        *,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        seeker: aiosqlite.Connection,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._seeker = seeker
        self._answer_seconds_max = answer_seconds_max
        self._rows = SharedRows()

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        places = ", ".join("?" * len(digests))
        rows = await self._ask(self._seeker, f"{_FIND}({places})", tuple(digests))
        if not rows:
            return None
        border = len(KEY_COLUMNS)
        return self._rows.key_of(rows[0][:border]), self._rows.tenant_of(rows[0][border:])

    async def get_key(self, key_id: str) -> KeyRecord | None:
        """Return the key, or None."""
        rows = await self._ask(self._reader, f"{_KEY} WHERE key_id = ?", (key_id,))
        return key_of(rows[0]) if rows else None

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return those of the keys that exist."""
        sql = f"{_KEY} WHERE key_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - own names
        rows = await self._ask(self._reader, sql, (json.dumps(list(key_ids)),))
        return {record.key_id: record for record in map(key_of, rows)}

    async def list_keys(
        self, *, tenant_id: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return keys ordered by id."""
        wanted = {"tenant_id = :tenant_id": tenant_id, "state = :state": state}
        where = " AND ".join(["key_id > :after", *(each for each in wanted if wanted[each])])
        rows = await self._ask(
            self._reader,
            f"{_KEY} WHERE {where} ORDER BY key_id LIMIT :limit",
            {"tenant_id": tenant_id, "state": str(state), "after": after, "limit": limit},
        )
        return [key_of(row) for row in rows]

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        sql = "SELECT state, environment, count FROM key_counts WHERE count > 0"
        rows = await self._ask(self._reader, sql)
        return {(state, environment): count for state, environment, count in rows}

    async def save_key(
        self, record: KeyRecord, *, expected_revision: int | None = None
    ) -> KeyRecord:
        """Insert or replace a key."""
        values = {**values_of(record), "expected": expected_revision}
        rows = await self._ask(self._writer, _SAVE_KEY, values, about=f"key {record.key_id}")
        revision, last_used_at = _only_row(rows, record.key_id, expected_revision)
        return replace(record, revision=revision, last_used_at=last_used_at)

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        rows = await self._ask(self._reader, f"{_TENANT} WHERE tenant_id = ?", (tenant_id,))
        return tenant_of(rows[0]) if rows else None

    async def list_tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]:
        """Return tenants ordered by id."""
        sql = f"{_TENANT} WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?"
        return [tenant_of(row) for row in await self._ask(self._reader, sql, (after, limit))]

    async def save_tenant(self, tenant: Tenant, *, expected_revision: int | None = None) -> Tenant:
        """Insert or replace a tenant."""
        values = {**values_of(tenant), "expected": expected_revision}
        about = f"tenant {tenant.tenant_id}"
        rows = await self._ask(self._writer, _SAVE_TENANT, values, about=about)
        return replace(tenant, revision=_only_row(rows, tenant.tenant_id, expected_revision)[0])

    async def revision(self) -> int:
        """Return the number of the last committed write."""
        rows = await self._ask(self._reader, "SELECT revision FROM store")
        return int(rows[0][0])

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids written after `revision`."""
        rows = await self._ask(self._reader, _CHANGES, {"revision": revision})
        current = max(row[0] for row in rows)
        return current, [row[1] for row in rows if row[1] is not None]

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys were last used; ids that do not exist are passed over."""
        if last_used:
            await self._ask(self._writer, _TOUCH, (json.dumps(dict(last_used)),))

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        """Return the counters of periods that may still run, and forget the others."""
        border = int(now) - QUOTA_SECONDS_MAX
        await self._ask(self._writer, "DELETE FROM quota_counts WHERE period_start <= ?", (border,))
        rows = await self._ask(self._reader, "SELECT bucket, period_start, count FROM quota_counts")
        return {bucket: (start, count) for bucket, start, count in rows}

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Store counters; of two counts the later period wins, then the higher number."""
        if counts:
            await self._ask(self._writer, _SAVE_COUNTS, (json.dumps(dict(counts)),))

    async def _ask(
        self,
        connection: aiosqlite.Connection,
        sql: str,
        values: Mapping[str, Any] | Sequence[Any] = (),
        about: str = "store",
    ) -> list[Any]:
        """Run one statement, which is one transaction, and return its rows.

        A caller that is cancelled leaves nothing open: the statement runs in the connection's
        thread, or does not.
        """
        try:
            async with asyncio.timeout(self._answer_seconds_max):
                return list(await connection.execute_fetchall(sql, values))
        except _DRIVER_ERRORS as error:
            raise _translated(error, about, self._path) from error


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    """Open the store at `path`, creating and migrating it; close it at the end.

    Raises `StoreUnavailable` when the file cannot be used, also when a newer program wrote it.
    """
    try:
        await asyncio.to_thread(prepare, path)
    except (SchemaError, OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"store {path}: {error}") from error
    async with AsyncExitStack() as stack:
        writer = await _connect(stack, path, _SETTINGS)
        reader = await _connect(stack, path, _READING)
        seeker = await _connect(stack, path, _READING)
        yield SqliteStore(path, writer=writer, reader=reader, seeker=seeker)


@asynccontextmanager
async def opened_to_find(path: Path) -> AsyncIterator[KeyFinder]:
    """Open the store at `path`, which somebody else has opened and writes to, for nothing but to find keys.

    Raises `StoreUnavailable`.
    """
    async with AsyncExitStack() as stack:
        seeker = await _connect(stack, path, _READING)
        yield SqliteStore(path, writer=seeker, reader=seeker, seeker=seeker)


async def _connect(
    stack: AsyncExitStack, path: Path, settings: Iterable[str]
) -> aiosqlite.Connection:
    connecting = aiosqlite.connect(path, isolation_level=None, cached_statements=64)
    try:
        connection = await stack.enter_async_context(connecting)
        for setting in settings:
            await connection.execute_fetchall(setting)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"store {path}: {error}") from error
    return connection


def _translated(error: Exception, about: str, path: Path) -> Exception:
    """Turn any error of the driver into one of the port's; the text names no value that was to be
    stored.
    """
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"store {path}: no answer in time")
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(f"{about}: {_BROKEN_RULES.get(error.sqlite_errorname, error)}")
    return StoreUnavailable(f"store {path}: {error}")


_BROKEN_RULES: Final = {
    "SQLITE_CONSTRAINT_UNIQUE": "another key has the same digest",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "its tenant does not exist",
}


def _only_row(rows: list[Any], record_id: str, expected_revision: int | None) -> Any:
    if rows:
        return rows[0]
    if expected_revision == 0:
        raise Conflict(f"{record_id} exists already")
    raise Conflict(f"{record_id} was changed by someone else, or does not exist: read it again")
