"""Alerts, and what is yet to be told about them, in the SQLite file of the keys.

Knows the SQL of `AlertStore` and `Outbox` that writes; what asks is `alert_queries`. It must not know when an alert
fires or how a message is carried.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

import aiosqlite

from gateway.domain.alert_messages import Message, Notice
from gateway.domain.alerts import Alert, Identity
from gateway.domain.change import Change
from gateway.stores import sqlite_audit
from gateway.stores.alert_queries import ALERT_COLUMNS, AlertQuestions
from gateway.stores.alert_rows import (
    ALERT,
    KEPT,
    MESSAGE,
    alert_of,
    message_row,
    notice_row,
    row_of,
)
from gateway.stores.sqlite_file import SqliteFile
from gateway.stores.sqlite_usage_queries import SQLITE

_SAVE: Final = f"""
    INSERT INTO alerts ({ALERT_COLUMNS}) VALUES ({", ".join(f":{name}" for name in ALERT)})
    ON CONFLICT (alert_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in ALERT if name not in KEPT)}
"""  # noqa: S608 - own names
_ACKNOWLEDGE: Final = f"""
    UPDATE alerts SET acknowledged_at = :at, acknowledged_by = :by, acknowledged_reason = :reason
    WHERE alert_id = :alert_id AND fired_at IS NOT NULL AND resolved_at IS NULL
    RETURNING {ALERT_COLUMNS}
"""  # noqa: S608 - own names
_TOLD: Final = """
    SELECT DISTINCT rule, tenant_id, key_id, subject FROM json_each(?) AS asked JOIN alerts
    ON rule = asked.value ->> 0 AND tenant_id = asked.value ->> 1
    AND key_id = asked.value ->> 2 AND subject = asked.value ->> 3
    WHERE fired_at IS NOT NULL
"""
_FORGET: Final = "DELETE FROM alerts WHERE alert_id IN (SELECT value FROM json_each(?))"
_NOTICE: Final = "INSERT INTO alert_notices (channel, event, rule, content) VALUES (:channel, :event, :rule, :content)"
_PACK: Final = f"""
    INSERT OR REPLACE INTO alert_messages ({", ".join(MESSAGE)})
    VALUES ({", ".join(f":{name}" for name in MESSAGE)})
"""  # noqa: S608 - own names


class SqliteAlerts(AlertQuestions):
    """Implements `ports.AlertStore` and `ports.Outbox` over an open file."""

    def __init__(self, file: SqliteFile) -> None:
        super().__init__(file.ask, SQLITE)
        self._file = file

    # ---- alerts

    async def commit(
        self,
        alerts: Sequence[Alert],
        notices: Sequence[Notice] = (),
        changes: Sequence[Change] = (),
        forgotten: Collection[str] = (),
    ) -> None:
        """Store all of it, or nothing."""

        async def work(connection: aiosqlite.Connection) -> None:
            # What ends or is forgotten makes room for what begins under the same identity.
            await connection.execute_fetchall(_FORGET, (json.dumps([*forgotten]),))
            ordered = sorted(alerts, key=lambda alert: alert.resolved_at is None)
            await connection.executemany(_SAVE, [row_of(alert) for alert in ordered])
            await connection.executemany(_NOTICE, [notice_row(each) for each in notices])
            await sqlite_audit.append(connection, changes)

        await self._file.transact(work, about="alerts")

    async def told(self, identities: Collection[Identity]) -> set[Identity]:
        """Return those of which an alert has fired."""
        rows = await self._file.ask(_TOLD, (json.dumps([*identities]),))
        return {(rule, tenant, key, subject) for rule, tenant, key, subject in rows}

    async def acknowledge(self, alert_id: str, at: float, change: Change) -> Alert | None:
        """Acknowledge an alert that fires."""
        values = {
            "alert_id": alert_id,
            "at": at,
            "by": change.actor.name,
            "reason": change.reason,
        }

        async def work(connection: aiosqlite.Connection) -> Alert | None:
            rows = list(await connection.execute_fetchall(_ACKNOWLEDGE, values))
            if not rows:
                return None
            await sqlite_audit.append(connection, [change])
            return alert_of(rows[0])

        return await self._file.transact(work, about=alert_id)

    async def prune_alerts(self, before: float) -> int:
        """Remove alerts that were resolved before then; return how many."""
        sql = "DELETE FROM alerts WHERE resolved_at < ? RETURNING seq"
        return len(await self._file.write(sql, (before,)))

    # ---- what is yet to be told

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of notices."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(_PACK, message_row(message))
            await connection.execute_fetchall(
                "DELETE FROM alert_notices WHERE channel = ? AND seq <= ?",
                (message.channel, through),
            )

        await self._file.transact(work, about=message.message_id)

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt."""
        await self._file.write(_PACK, message_row(message))

    async def remove(self, message_id: str) -> None:
        """Forget a message."""
        await self._file.write("DELETE FROM alert_messages WHERE message_id = ?", (message_id,))
