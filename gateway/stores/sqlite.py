"""Keys in one SQLite file: the default store.

Knows the SQL of `KeyStore`. It must not know policy: states, scopes and formats are columns here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiosqlite

from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import ANY_KEY, NOTHING, KeyQuery, Place, Sort, Wanted
from gateway.domain.tenants import Tenant
from gateway.ports import KeyFinder, R, Record, StoreUnavailable, Write
from gateway.stores import (
    sqlite_alerts,
    sqlite_audit,
    sqlite_file,
    sqlite_lists,
    sqlite_usage,
)
from gateway.stores.records import (
    IDEMPOTENCY_SECONDS_MAX,
    QUOTA_SECONDS_MAX,
    Records,
    about,
    unwritten,
)
from gateway.stores.rows import (
    KEY_COLUMNS,
    KEYS,
    TABLES,
    TENANT_COLUMNS,
    TENANTS,
    SharedRows,
    Table,
    values_of,
)
from gateway.stores.sqlite_file import SqliteFile
from gateway.stores.sqlite_lists import Listing, Statement


def _save(table: Table[Any]) -> str:
    """Write the one statement that saves a record: revision check, write and new revision.

    Revision 0 meets no row, so an insert that finds one does nothing; a row that is expected but
    missing is not made.
    """
    name, key, columns = table.name, table.key, table.columns
    values = ", ".join(f":{column}" for column in columns if column != "revision")
    settings = ", ".join(
        f"{column} = excluded.{column}" for column in columns if column not in (key, "last_used_at")
    )
    last_used = (
        f", last_used_at = max(coalesce(excluded.last_used_at, {name}.last_used_at),"
        f" coalesce({name}.last_used_at, excluded.last_used_at))"
    )
    has_last_use = "last_used_at" in columns
    returned = "revision, last_used_at" if has_last_use else "revision"
    return f"""
        INSERT INTO {name} ({", ".join(columns)})
        SELECT {values}, (SELECT revision + 1 FROM store)
        WHERE :expected IS NULL OR :expected = 0
           OR EXISTS (SELECT 1 FROM {name} WHERE {key} = :{key})
        ON CONFLICT ({key}) DO UPDATE
        SET {settings}{last_used if has_last_use else ""}
        WHERE :expected IS NULL OR {name}.revision = :expected
        RETURNING {returned}
    """  # noqa: S608 - made of this package's own names only


def _select(table: Table[Any]) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {table.name}"  # noqa: S608 - own names


_SAVES: Final = {kind: _save(table) for kind, table in TABLES.items()}
_KEY: Final = _select(KEYS)
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
_TOUCHES: Final = tuple(
    f"UPDATE {name} SET last_used_at = max(coalesce({name}.last_used_at, used.value), used.value)"  # noqa: S608
    f" FROM json_each(?) AS used WHERE {name}.{key} = used.key"
    for name, key in (("keys", "key_id"), ("admin_tokens", "token_id"))
)
_SAVE_COUNTS: Final = """
    INSERT INTO quota_counts (bucket, period_start, count)
    SELECT key, json_extract(value, '$[0]'), json_extract(value, '$[1]')
    FROM json_each(?) WHERE true
    ON CONFLICT (bucket) DO UPDATE SET period_start = excluded.period_start, count = excluded.count
    WHERE (excluded.period_start, excluded.count) > (quota_counts.period_start, quota_counts.count)
"""


class SqliteStore(Records):
    """Implements `ports.KeyStore`. Made by `opened`; `audit`, `usage` and `alerts` are in the same file.

    Questions about usage, which may have much to read, are asked `aside`.
    """

    def __init__(self, file: SqliteFile, aside: SqliteFile | None = None) -> None:
        self._file = file
        self._rows = SharedRows()
        self.audit = sqlite_audit.SqliteAudit(file)
        self.usage = sqlite_usage.SqliteUsage(file, aside or file)
        self.alerts = sqlite_alerts.SqliteAlerts(file)

    # ---- records

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        """Store all records and tell the audit trail: all of it, or nothing."""

        async def work(connection: aiosqlite.Connection) -> list[Record]:
            written = [await _saved(connection, write) for write in writes]
            await sqlite_audit.append(connection, changes)
            return written

        return await self._file.transact(work, about=about(writes))

    async def get(self, kind: type[R], record_id: str) -> R | None:
        """Return the record of this kind with this id, or None."""
        table: Table[R] = TABLES[kind]
        rows = await self._file.ask(f"{_select(table)} WHERE {table.key} = ?", (record_id,))
        return table.record_of(rows[0]) if rows else None

    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted] = NOTHING,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> list[R]:
        """Return records in order."""
        table: Table[R] = TABLES[kind]
        listing = Listing(table, sort)
        listing.want(where)
        rows = await self._listed(listing.statements(table.columns, after), limit)
        return [table.record_of(row) for row in rows]

    async def _listed(self, statements: Iterable[Statement], limit: int) -> list[Any]:
        rows: list[Any] = []
        for sql, values in statements:
            if len(rows) < limit:
                rows += await self._file.ask(sql, values | {"limit": limit - len(rows)})
        return rows

    # ---- keys

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        places = ", ".join("?" * len(digests))
        rows = await self._file.seek(f"{_FIND}({places})", tuple(digests))
        if not rows:
            return None
        border = len(KEY_COLUMNS)
        return self._rows.key_of(rows[0][:border]), self._rows.tenant_of(rows[0][border:])

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return those of the keys that exist."""
        sql = f"{_KEY} WHERE key_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - own names
        rows = await self._file.ask(sql, (json.dumps(list(key_ids)),))
        return {record.key_id: record for record in map(KEYS.record_of, rows)}

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return keys in order."""
        statements = sqlite_lists.of_keys(query).statements(KEYS.columns, after, query.until)
        return [KEYS.record_of(row) for row in await self._listed(statements, limit)]

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        """Return the place of the key that is so many ahead."""
        columns = (KEYS.key,) if sort is None else (sort.field, KEYS.key)
        listing = sqlite_lists.in_order(sort, tenant_id)
        for sql, values in listing.statements(columns, after):
            there = f"{sql} OFFSET :ahead"
            for row in await self._file.ask(there, values | {"limit": 1, "ahead": ahead - 1}):
                return Place(None if sort is None else row[0], row[-1])
        return None

    async def keys_due(self, until: float, limit: int = 1000) -> list[KeyRecord]:
        """Return keys to which time did something that their state does not say yet."""
        rows = await self._file.ask(sqlite_lists.DUE, {"until": until, "limit": limit})
        return [KEYS.record_of(row) for row in rows]

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        sql = "SELECT state, environment, count FROM key_counts WHERE count > 0"
        rows = await self._file.ask(sql)
        return {(state, environment): count for state, environment, count in rows}

    async def count_expiring(self, after: float, moments: Sequence[float]) -> list[int]:
        """Return how many keys in use expire behind `after`, by each of `moments`."""
        rows = await self._file.ask(
            sqlite_lists.COUNT_EXPIRING, {"after": after, "moments": json.dumps(moments)}
        )
        return [count for (count,) in rows]

    async def count_peppers(self) -> Mapping[str, int]:
        """Return how many keys, but for revoked ones, there are per pepper."""
        sql = "SELECT pepper_id, count(*) FROM keys WHERE state <> 'revoked' GROUP BY pepper_id"
        return dict(await self._file.ask(sql))

    # ---- tenants

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        sql = f"{_select(TENANTS)} WHERE tenant_id = ?"
        rows = await self._file.seek(sql, (tenant_id,))
        return TENANTS.record_of(rows[0]) if rows else None

    # ---- copies

    async def key_rows(self, after: bytes, limit: int) -> Sequence[Sequence[Any]]:
        """Return keys as rows, in the order of their digests."""
        sql = f"{_KEY} WHERE digest > ? ORDER BY digest LIMIT ?"
        return await self._file.ask(sql, (after, limit))

    async def tenant_rows(self, after: str, limit: int) -> Sequence[Sequence[Any]]:
        """Return tenants as rows, in the order of their ids."""
        sql = f"{_select(TENANTS)} WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?"
        return await self._file.ask(sql, (after, limit))

    # ---- revisions, last use, counters

    async def revision(self) -> int:
        """Return the number of the last committed write."""
        rows = await self._file.ask("SELECT revision FROM store")
        return int(rows[0][0])

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids written after `revision`."""
        rows = await self._file.ask(_CHANGES, {"revision": revision})
        current = max(row[0] for row in rows)
        return current, [row[1] for row in rows if row[1] is not None]

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys and admin tokens were last used; ids that do not exist are passed over."""
        used = (json.dumps(dict(last_used)),)

        async def work(connection: aiosqlite.Connection) -> None:
            for sql in _TOUCHES:
                await connection.execute_fetchall(sql, used)

        if last_used:
            await self._file.transact(work, about="last uses")

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        """Return the counters of periods that may still run, and forget the others."""
        border = int(now) - QUOTA_SECONDS_MAX
        await self._file.write("DELETE FROM quota_counts WHERE period_start <= ?", (border,))
        rows = await self._file.ask("SELECT bucket, period_start, count FROM quota_counts")
        return {bucket: (start, count) for bucket, start, count in rows}

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Store counters; of two counts the later period wins, then the higher number."""
        if counts:
            await self._file.write(_SAVE_COUNTS, (json.dumps(dict(counts)),))

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        """Keep what was made for an `Idempotency-Key`, unless it is known; return what is kept."""

        async def work(connection: aiosqlite.Connection) -> tuple[str, str]:
            await connection.execute_fetchall(
                "DELETE FROM idempotency WHERE created_at <= ?", (now - IDEMPOTENCY_SECONDS_MAX,)
            )
            await connection.execute_fetchall(
                "INSERT INTO idempotency VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (idempotency_key, fingerprint, result_id, now),
            )
            [row] = await connection.execute_fetchall(
                "SELECT fingerprint, result_id FROM idempotency WHERE idempotency_key = ?",
                (idempotency_key,),
            )
            return row[0], row[1]

        return await self._file.transact(work, about="idempotency key")

    async def settle(self, idempotency_key: str, result_id: str) -> None:
        """Replace the result that is kept, or forget the key."""
        await self._file.write(
            "UPDATE idempotency SET result_id = ? WHERE idempotency_key = ?"
            if result_id
            else "DELETE FROM idempotency WHERE ? = '' AND idempotency_key = ?",
            (result_id, idempotency_key),
        )


@asynccontextmanager
async def opened(path: Path, *, must_exist: bool = False) -> AsyncIterator[SqliteStore]:
    """Open the store at `path`, creating and migrating it; close it at the end. With `must_exist` none is created.

    Raises `StoreUnavailable` when the file cannot be used, also when a newer program wrote it.
    """
    opening = sqlite_file.opened(path, must_exist=must_exist)
    async with opening as file, sqlite_file.opened_to_seek(path) as aside:
        yield SqliteStore(file, aside)


@asynccontextmanager
async def opened_to_find(path: Path) -> AsyncIterator[KeyFinder]:
    """Open the store at `path`, which somebody else has opened and writes to, for nothing but to find keys.

    Raises `StoreUnavailable`.
    """
    async with sqlite_file.opened_to_seek(path) as file:
        yield SqliteStore(file)


@asynccontextmanager
async def opened_to_read(path: Path) -> AsyncIterator[SqliteStore]:
    """Open the store at `path`, which must be there, for nothing but to read: it is not even migrated.

    Raises `StoreUnavailable`.
    """
    if not await asyncio.to_thread(path.is_file):  # SQLite would make one
        raise StoreUnavailable(f"there is no store at {path}")
    async with sqlite_file.opened_to_seek(path) as file:
        yield SqliteStore(file)


async def _saved(connection: aiosqlite.Connection, write: Write) -> Record:
    """Store one record within the transaction that is open."""
    record = write.record
    values = {**values_of(record), "expected": write.expected_revision}
    rows = list(await connection.execute_fetchall(_SAVES[type(record)], values))
    if rows:
        returned = dict(zip(("revision", "last_used_at"), rows[0], strict=False))
        return replace(record, **returned)
    raise unwritten(record, write.expected_revision)
