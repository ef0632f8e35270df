"""The audit trail in the database of the keys: one chain, whichever gateway made a change.

Knows the SQL of `AuditTrail`, and how a record is appended within somebody else's transaction. Whoever appends holds
the row of `store`, so records of two gateways stand one after the other, in the order of their revisions. It must not
know what a record tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import asyncpg

from gateway.domain.audit import AuditRecord, Checkpoint, Head, seal
from gateway.domain.change import Change
from gateway.domain.queries import ANY_AUDIT, AuditQuery
from gateway.ports import Conflict
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.statements import TAKE_TURN

_COLUMNS: Final = ("seq", "at", "type", "tenant_id", "key_id", "actor", "body", "hash")
CHECKPOINT: Final = ("seq", "at", "hash", "signature", "number", "number_signature")
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM audit"  # noqa: S608 - own names
_HEAD: Final = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
_PRUNED_HEAD: Final = "SELECT seq, hash FROM audit_checkpoints ORDER BY seq DESC LIMIT 1"
_INSERT: Final = "INSERT INTO audit VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
_CHECKPOINTS: Final = (
    f"SELECT {', '.join(CHECKPOINT)} FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT $2"  # noqa: S608
)
_ADD_CHECKPOINT: Final = f"""
    INSERT INTO audit_checkpoints ({", ".join(CHECKPOINT)}) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (seq) DO UPDATE SET at = excluded.at, hash = excluded.hash, signature = excluded.signature,
    number = excluded.number, number_signature = excluded.number_signature
"""  # noqa: S608 - own names


class Asks(Protocol):
    """What answers one statement that reads: a database, or a connection in the middle of a transaction."""

    async def ask(self, sql: str, *values: object) -> Sequence[Any]: ...


async def append(connection: asyncpg.Connection, changes: Sequence[Change]) -> None:
    """Seal `changes` onto the chain, within the transaction that is open, in which it is our turn to write."""
    if not changes:
        return
    head = await _read_head(connection)
    rows = []
    for change in changes:
        record = seal(head, change)
        head = Head(record.seq, record.hash)
        rows.append([getattr(record, column) for column in _COLUMNS])
    await connection.executemany(_INSERT, rows)


async def _read_head(connection: asyncpg.Connection) -> Head:
    """Return the end of the chain; of one that was pruned as a whole, its last checkpoint."""
    for sql in (_HEAD, _PRUNED_HEAD):
        row = await connection.fetchrow(sql)
        if row is not None:
            return Head(row[0], row[1])
    return Head()


class AuditReader:
    """The part of `ports.AuditTrail` that reads."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    async def audit_head(self) -> Head:
        """Return the end of the chain."""
        for sql in (_HEAD, _PRUNED_HEAD):
            for seq, digest in await self._asks.ask(sql):
                return Head(seq, digest)
        return Head()

    async def audit_records(
        self, query: AuditQuery = ANY_AUDIT, *, after: int = 0, limit: int = 100
    ) -> list[AuditRecord]:
        """Return records, the oldest or the newest first."""
        conditions, values = _conditions(query, after)
        order = "DESC" if query.is_newest_first else "ASC"
        sql = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT $1"
        rows = await self._asks.ask(sql, limit, *values)
        return [AuditRecord(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    async def checkpoints(self, *, after: int = 0, limit: int = 1000) -> list[Checkpoint]:
        """Return the signed checkpoints."""
        rows = await self._asks.ask(_CHECKPOINTS, after, limit)
        return [Checkpoint(**dict(zip(CHECKPOINT, row, strict=True))) for row in rows]


class PostgresAudit(AuditReader):
    """Implements `ports.AuditTrail`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    async def append(self, changes: Sequence[Change]) -> None:
        """Seal and store records of what changes nothing in the store."""

        async def work(connection: asyncpg.Connection) -> None:
            await connection.execute(TAKE_TURN)
            await append(connection, changes)

        await self._database.transact(work, about="audit")

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; one for the same record replaces it."""
        values = [getattr(checkpoint, column) for column in CHECKPOINT]
        await self._database.ask(_ADD_CHECKPOINT, *values)

    async def prune_audit(self, before_seq: int) -> int:
        """Remove the records below `before_seq`; return how many."""

        async def work(connection: asyncpg.Connection) -> int:
            await connection.execute(TAKE_TURN)
            base = before_seq - 1
            found = await connection.fetchval(
                "SELECT 1 FROM audit_checkpoints WHERE seq = $1", base
            )
            if found is None:
                raise Conflict(f"record {base} has no checkpoint that the rest hangs on")
            removed = await connection.execute("DELETE FROM audit WHERE seq < $1", before_seq)
            await connection.execute("DELETE FROM audit_checkpoints WHERE seq < $1", base)
            return int(removed.removeprefix("DELETE "))

        return await self._database.transact(work, about="audit")


class _Asked:
    """What a query asks for: SQL conditions, and the values of their places from $2 on."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.values: list[Any] = []

    def add(self, column: str, operator: str, value: object) -> None:
        """Ask for one thing more."""
        self.values.append(value)
        self.conditions.append(f"{column} {operator} (${len(self.values) + 1})")


def _conditions(query: AuditQuery, after: int) -> tuple[list[str], list[Any]]:
    asked = _Asked()
    if not query.is_newest_first:
        asked.add("seq", ">", after)
    elif after:
        asked.add("seq", "<", after)
    for name in ("key_id", "tenant_id", "actor"):
        if getattr(query, name):
            asked.add(name, "=", getattr(query, name))
    if query.type.endswith("*"):
        asked.add("type", ">=", query.type[:-1])
        asked.add("type", "<", query.type[:-1] + "\x7f")
    elif query.type:
        asked.add("type", "=", query.type)
    if query.since is not None:
        asked.add("at", ">=", query.since)
    if query.until is not None:
        asked.add("at", "<", query.until)
    if query.tenant_ids is not None:
        asked.add("tenant_id", "= ANY", list(query.tenant_ids))
    return asked.conditions or ["true"], asked.values
