"""The audit trail in the SQLite file of the keys.

Knows the SQL of `AuditTrail`, and how a record is appended within somebody else's transaction. It must not know what a
record tells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import aiosqlite

from gateway.domain.audit import AuditRecord, Checkpoint, Head, seal
from gateway.domain.change import Change
from gateway.domain.queries import ANY_AUDIT, AuditQuery
from gateway.ports import Conflict
from gateway.stores.sqlite_file import SqliteFile

_CHECKPOINT_COLUMNS: Final = ("seq", "at", "hash", "signature", "number", "number_signature")
_CHECKPOINT: Final = ", ".join(_CHECKPOINT_COLUMNS)
_COLUMNS: Final = "seq, at, type, tenant_id, key_id, actor, body, hash"
_HEAD: Final = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
_PRUNED_HEAD: Final = "SELECT seq, hash FROM audit_checkpoints ORDER BY seq DESC LIMIT 1"
_INSERT: Final = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - own names
_PRUNE_CHECKPOINTS: Final = "DELETE FROM audit_checkpoints WHERE seq < ?"


async def append(connection: aiosqlite.Connection, changes: Sequence[Change]) -> None:
    """Seal `changes` onto the chain, within the transaction that is open."""
    if not changes:
        return
    head = await read_head(connection)
    rows = []
    for change in changes:
        record = seal(head, change)
        head = Head(record.seq, record.hash)
        rows.append(
            (
                *(record.seq, record.at, record.type, record.tenant_id, record.key_id),
                *(record.actor, record.body, record.hash),
            )
        )
    async with connection.executemany(_INSERT, rows):
        pass


async def read_head(connection: aiosqlite.Connection) -> Head:
    """Return the end of the chain; of one that was pruned as a whole, its last checkpoint."""
    for sql in (_HEAD, _PRUNED_HEAD):
        for seq, digest in await connection.execute_fetchall(sql):
            return Head(seq, digest)
    return Head()


class SqliteAudit:
    """Implements `ports.AuditTrail` over an open file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def append(self, changes: Sequence[Change]) -> None:
        """Seal and store records of what changes nothing in the store."""

        async def write(connection: aiosqlite.Connection) -> None:
            await append(connection, changes)

        await self._file.transact(write, about="audit")

    async def audit_head(self) -> Head:
        """Return the end of the chain."""
        return await self._file.read(read_head)

    async def audit_records(
        self, query: AuditQuery = ANY_AUDIT, *, after: int = 0, limit: int = 100
    ) -> list[AuditRecord]:
        """Return records, the oldest or the newest first."""
        conditions, values = _conditions(query, after)
        order = "DESC" if query.is_newest_first else "ASC"
        sql = (
            f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(conditions)} "  # noqa: S608 - own names
            f"ORDER BY seq {order} LIMIT :limit"
        )
        rows = await self._file.ask(sql, {**values, "limit": limit})
        return [_record_of(row) for row in rows]

    async def checkpoints(self, *, after: int = 0, limit: int = 1000) -> list[Checkpoint]:
        """Return the signed checkpoints."""
        sql = (
            f"SELECT {_CHECKPOINT} FROM audit_checkpoints WHERE seq > ? "  # noqa: S608 - own names
            "ORDER BY seq LIMIT ?"
        )
        rows = await self._file.ask(sql, (after, limit))
        return [Checkpoint(**dict(zip(_CHECKPOINT_COLUMNS, row, strict=True))) for row in rows]

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; one for the same record replaces it."""
        sql = (
            f"INSERT OR REPLACE INTO audit_checkpoints ({_CHECKPOINT}) "  # noqa: S608 - own names
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        values = [getattr(checkpoint, column) for column in _CHECKPOINT_COLUMNS]

        async def write(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(sql, values)

        await self._file.transact(write, about="audit")

    async def prune_audit(self, before_seq: int) -> int:
        """Remove the records below `before_seq`; return how many."""

        async def write(connection: aiosqlite.Connection) -> int:
            base = await connection.execute_fetchall(
                "SELECT 1 FROM audit_checkpoints WHERE seq = ?", (before_seq - 1,)
            )
            if not list(base):
                raise Conflict(f"record {before_seq - 1} has no checkpoint that the rest hangs on")
            removed = await connection.execute_fetchall(
                "DELETE FROM audit WHERE seq < ? RETURNING seq", (before_seq,)
            )
            await connection.execute_fetchall(_PRUNE_CHECKPOINTS, (before_seq - 1,))
            return len(list(removed))

        return await self._file.transact(write, about="audit")


def _conditions(query: AuditQuery, after: int) -> tuple[list[str], dict[str, Any]]:
    """Return the SQL conditions of a query and their values."""
    values: dict[str, Any] = {"after": after}
    beyond = "(:after = 0 OR seq < :after)" if query.is_newest_first else "seq > :after"
    conditions = [beyond]
    for name in ("key_id", "tenant_id", "actor"):
        if getattr(query, name):
            conditions.append(f"{name} = :{name}")
            values[name] = getattr(query, name)
    if query.type.endswith("*"):
        conditions.append("type >= :type AND type < :type_end")
        values |= {"type": query.type[:-1], "type_end": f"{query.type[:-1]}\x7f"}
    elif query.type:
        conditions.append("type = :type")
        values["type"] = query.type
    if query.since is not None:
        conditions.append("at >= :since")
        values["since"] = query.since
    if query.until is not None:
        conditions.append("at < :until")
        values["until"] = query.until
    if query.tenant_ids is not None:
        conditions.append("tenant_id IN (SELECT value FROM json_each(:tenant_ids))")
        values["tenant_ids"] = json.dumps(query.tenant_ids)
    return conditions, values


def _record_of(row: Sequence[Any]) -> AuditRecord:
    seq, at, event, tenant_id, key_id, actor, body, digest = row
    return AuditRecord(
        seq=seq,
        at=at,
        type=event,
        tenant_id=tenant_id,
        key_id=key_id,
        actor=actor,
        body=body,
        hash=digest,
    )
