"""Keys, tenants and what happens to them in PostgreSQL, for several gateways at once.

Knows what of `KeyStore` happens in which transaction. It must not know policy: states, scopes and formats are columns
here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import asyncpg

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import ANY_KEY, NOTHING, KeyQuery, Place, Sort, Wanted
from gateway.domain.tenants import Tenant
from gateway.ports import R, Record, Write
from gateway.stores.postgres import alerts, audit, lists, statements, usage
from gateway.stores.postgres.database import Database
from gateway.stores.records import (
    IDEMPOTENCY_SECONDS_MAX,
    QUOTA_SECONDS_MAX,
    Records,
    about,
    id_of,
    unwritten,
)
from gateway.stores.rows import KEY_COLUMNS, KEYS, TABLES, TENANTS, SharedRows, Table


class PostgresFinder:
    """Implements `ports.KeyFinder`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = SharedRows()

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        rows = await self._database.seek(statements.FIND, list(digests))
        if not rows:
            return None
        border = len(KEY_COLUMNS)
        return self._rows.key_of(rows[0][:border]), self._rows.tenant_of(rows[0][border:])

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        rows = await self._database.seek(f"{statements.TENANT} WHERE tenant_id = $1", tenant_id)
        return TENANTS.record_of(rows[0]) if rows else None


class PostgresStore(PostgresFinder, Records):
    """Implements `ports.KeyStore`; `audit`, `usage` and `alerts` are in the same database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.audit = audit.PostgresAudit(database)
        self.usage = usage.PostgresUsage(database)
        self.alerts = alerts.PostgresAlerts(database)

    # ---- records

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        """Store all records and tell the audit trail: all of it, or nothing.

        One commit after the other: the next one waits until this one can be read.
        """

        async def work(connection: asyncpg.Connection) -> list[Record]:
            taken = (statements.TAKE_REVISIONS, len(writes)) if writes else (statements.TAKE_TURN,)
            first = await connection.fetchval(*taken) - len(writes) + 1
            for revision, write in enumerate(writes, first):
                await _save(connection, write, revision)
            await audit.append(connection, changes)
            used = await _last_uses(connection, [write.record for write in writes])
            return [
                _as_written(write.record, revision, used)
                for revision, write in enumerate(writes, first)
            ]

        return await self._database.transact(work, about=about(writes))

    async def get(self, kind: type[R], record_id: str) -> R | None:
        """Return the record of this kind with this id, or None."""
        table: Table[R] = TABLES[kind]
        sql = f"{statements.select(table)} WHERE {table.key} = $1"
        rows = await self._database.ask(sql, record_id)
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
        """Return records ordered by id, or as `sort` says."""
        table: Table[R] = TABLES[kind]
        listing = lists.Listing(table, sort)
        listing.want(where)
        asked = listing.statements(statements.read_columns(table), after)
        return [table.record_of(row) for row in await self._listed(asked, limit)]

    async def _listed(self, asked: Iterable[lists.Statement], limit: int) -> list[Any]:
        rows: list[Any] = []
        for sql, values in asked:
            if len(rows) < limit:
                rows += await self._database.ask(f"{sql} LIMIT {limit - len(rows)}", *values)
        return rows

    # ---- keys

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return those of the keys that exist."""
        sql = f"{statements.KEY} WHERE key_id = ANY($1)"
        rows = await self._database.ask(sql, list(key_ids))
        return {record.key_id: record for record in map(KEYS.record_of, rows)}

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return keys ordered by id, or as the query says."""
        columns = statements.read_columns(KEYS)
        asked = lists.of_keys(query).statements(columns, after, query.until)
        return [KEYS.record_of(row) for row in await self._listed(asked, limit)]

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        """Return the place of the key that is so many ahead."""
        for sql, values in lists.in_order(sort, tenant_id).places(after):
            there = f"{sql} LIMIT 1 OFFSET {ahead - 1}"
            for row in await self._database.ask(there, *values):
                return Place(*row)
        return None

    async def keys_due(self, until: float, limit: int = 1000) -> list[KeyRecord]:
        """Return keys to which time did something that their state does not say yet."""
        rows = await self._database.ask(statements.DUE, until, limit)
        return [KEYS.record_of(row) for row in rows]

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        sql = "SELECT state, environment, count FROM key_counts WHERE count > 0"
        rows = await self._database.ask(sql)
        return {(state, environment): count for state, environment, count in rows}

    async def count_expiring(self, after: float, moments: Sequence[float]) -> list[int]:
        """Return how many keys in use expire behind `after`, by each of `moments`."""
        rows = await self._database.ask(statements.COUNT_EXPIRING, after, [*moments])
        return [row[0] for row in rows]

    async def count_peppers(self) -> Mapping[str, int]:
        """Return how many keys, but for revoked ones, there are per pepper."""
        sql = "SELECT pepper_id, count(*) FROM keys WHERE state <> 'revoked' GROUP BY pepper_id"
        rows = await self._database.ask(sql)
        return {pepper_id: count for pepper_id, count in rows}  # noqa: C416 - a row is no pair

    # ---- copies

    async def key_rows(self, after: bytes, limit: int) -> Sequence[Sequence[Any]]:
        """Return keys as rows, in the order of their digests."""
        sql = f"{statements.KEY} WHERE digest > $1 ORDER BY digest LIMIT $2"
        return await self._database.ask(sql, after, limit)

    async def tenant_rows(self, after: str, limit: int) -> Sequence[Sequence[Any]]:
        """Return tenants as rows, in the order of the bytes of their ids."""
        sql = (
            f'{statements.TENANT} WHERE tenant_id COLLATE "C" > $1'
            ' ORDER BY tenant_id COLLATE "C" LIMIT $2'
        )
        return await self._database.ask(sql, after, limit)

    # ---- revisions, last use, counters

    async def revision(self) -> int:
        """Return the number of the last committed write."""
        rows = await self._database.ask("SELECT revision FROM store")
        return int(rows[0][0])

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids written after `revision`."""
        rows = await self._database.ask(statements.CHANGES, revision)
        current = max(row[0] for row in rows)
        return current, [row[1] for row in rows if row[1] is not None]

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys and admin tokens were last used; ids that do not exist are passed over."""
        if last_used:
            await self._database.ask(statements.USE, [*last_used], [*last_used.values()])

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        """Return the counters of periods that may still run, and forget the others."""
        await self._database.ask(statements.FORGET_COUNTS, int(now) - QUOTA_SECONDS_MAX)
        rows = await self._database.ask("SELECT bucket, period_start, count FROM quota_counts")
        return {bucket: (start, count) for bucket, start, count in rows}

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Store counters; of two counts the later period wins, then the higher number."""
        if counts:
            starts, numbers = zip(*counts.values(), strict=True)
            await self._database.ask(statements.SAVE_COUNTS, [*counts], [*starts], [*numbers])

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        """Keep what was made for an `Idempotency-Key`, unless it is known; return what is kept."""

        async def work(connection: asyncpg.Connection) -> tuple[str, str]:
            await connection.execute(statements.FORGET_RESULTS, now - IDEMPOTENCY_SECONDS_MAX)
            await connection.execute(
                "INSERT INTO idempotency VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                *(idempotency_key, fingerprint, result_id, now),
            )
            row = await connection.fetchrow(
                "SELECT fingerprint, result_id FROM idempotency WHERE idempotency_key = $1",
                idempotency_key,
            )
            return row[0], row[1]

        return await self._database.transact(work, about="idempotency key")

    async def settle(self, idempotency_key: str, result_id: str) -> None:
        """Replace the result that is kept, or forget the key."""
        if result_id:
            sql = "UPDATE idempotency SET result_id = $2 WHERE idempotency_key = $1"
            await self._database.ask(sql, idempotency_key, result_id)
        else:
            sql = "DELETE FROM idempotency WHERE idempotency_key = $1"
            await self._database.ask(sql, idempotency_key)


async def _save(connection: asyncpg.Connection, write: Write, revision: int) -> None:
    """Store one record within the transaction that is open."""
    record, expected = write.record, write.expected_revision
    saves, values = statements.SAVES[type(record)], statements.stored_values(record, revision)
    if expected is None:
        done = await connection.execute(saves.either, *values)
    elif expected == 0:
        done = await connection.execute(saves.insert, *values)
    else:
        done = await connection.execute(saves.update, *values, expected)
    if done.endswith(" 0"):
        raise unwritten(record, expected)


async def _last_uses(
    connection: asyncpg.Connection, records: Sequence[Record]
) -> Mapping[str, float]:
    """Store the last uses that the records tell of; return the latest that are known, by id."""
    told = {id_of(each): each.last_used_at for each in records if isinstance(each, _USED)}
    if not told:
        return {}
    used = {used_id: at for used_id, at in told.items() if at is not None}
    if used:
        await connection.execute(statements.USE, [*used], [*used.values()])
    rows = await connection.fetch(statements.LAST_USES, [*told])
    return {used_id: at for used_id, at in rows}  # noqa: C416 - a row is no pair


_USED: Final = (KeyRecord, AdminToken)


def _as_written(record: Record, revision: int, used: Mapping[str, float]) -> Record:
    written: Record = replace(record, revision=revision)
    if isinstance(written, KeyRecord | AdminToken):
        return replace(written, last_used_at=used.get(id_of(written)))
    return written
