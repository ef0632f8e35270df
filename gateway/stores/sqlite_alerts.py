"""Alerts, and what is yet to be told about them, in the SQLite file of the keys.

Knows the SQL of `AlertStore` and `Outbox`. It must not know when an alert fires or how a message is carried.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

import aiosqlite

from gateway.alert_ports import AlertPage
from gateway.domain.alert_messages import MESSAGE_WAITING, Message, Notice, Waiting
from gateway.domain.alerts import ANY_ALERT, Alert, AlertQuery, Identity
from gateway.domain.change import Change
from gateway.stores import sqlite_audit
from gateway.stores.alert_rows import (
    ALERT,
    FILTERS,
    KEPT,
    MESSAGE,
    STATES,
    alert_of,
    message_of,
    message_row,
    notice_row,
    row_of,
)
from gateway.stores.sqlite_file import SqliteFile

_ALERT_COLUMNS: Final = ", ".join(ALERT)
_SAVE: Final = f"""
    INSERT INTO alerts ({_ALERT_COLUMNS}) VALUES ({", ".join(f":{name}" for name in ALERT)})
    ON CONFLICT (alert_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in ALERT if name not in KEPT)}
"""  # noqa: S608 - own names
_SELECT: Final = f"SELECT {_ALERT_COLUMNS} FROM alerts"  # noqa: S608 - own names
_ACKNOWLEDGE: Final = f"""
    UPDATE alerts SET acknowledged_at = :at, acknowledged_by = :by, acknowledged_reason = :reason
    WHERE alert_id = :alert_id AND fired_at IS NOT NULL AND resolved_at IS NULL
    RETURNING {_ALERT_COLUMNS}
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
_MESSAGES: Final = f"SELECT {', '.join(MESSAGE)} FROM alert_messages"  # noqa: S608 - own names


class SqliteAlerts:
    """Implements `ports.AlertStore` and `ports.Outbox` over an open file."""

    def __init__(self, file: SqliteFile) -> None:
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

    async def open_alerts(self, limit: int) -> list[Alert]:
        """Return the alerts that are not resolved."""
        sql = f"{_SELECT} WHERE resolved_at IS NULL ORDER BY seq LIMIT ?"
        return [alert_of(row) for row in await self._file.ask(sql, (limit,))]

    async def alert(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        rows = await self._file.ask(f"{_SELECT} WHERE alert_id = ?", (alert_id,))
        return alert_of(rows[0]) if rows else None

    async def alerts(
        self, query: AlertQuery = ANY_ALERT, *, before: int = 0, limit: int = 100
    ) -> AlertPage:
        """Return alerts, the newest first."""
        conditions, values = _conditions(query, before)
        sql = (
            f"SELECT seq, {_ALERT_COLUMNS} FROM alerts WHERE {' AND '.join(conditions)} "  # noqa: S608
            "ORDER BY seq DESC LIMIT :limit"
        )
        rows = await self._file.ask(sql, {**values, "limit": limit + 1})
        cursor = int(rows[limit - 1][0]) if len(rows) > limit else 0
        return AlertPage([alert_of(row[1:]) for row in rows[:limit]], cursor)

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

    async def waiting(self, channel: str, limit: int) -> Waiting:
        """Return the notices of a channel."""
        counted = await self._file.ask(
            "SELECT event, rule, count(*), max(seq) FROM alert_notices WHERE channel = ? "
            "GROUP BY event, rule",
            (channel,),
        )
        through = max((row[3] for row in counted), default=0)
        rows = await self._file.ask(
            "SELECT content FROM alert_notices WHERE channel = ? AND seq <= ? ORDER BY seq LIMIT ?",
            (channel, through, limit),
        )
        counts = {(event, rule): count for event, rule, count, _ in counted}
        return Waiting(notices=[json.loads(row[0]) for row in rows], counts=counts, through=through)

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of notices."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(_PACK, message_row(message))
            await connection.execute_fetchall(
                "DELETE FROM alert_notices WHERE channel = ? AND seq <= ?",
                (message.channel, through),
            )

        await self._file.transact(work, about=message.message_id)

    async def messages(
        self, *, channel: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[Message]:
        """Return messages, ordered by id."""
        given = {"channel": channel, "state": state}
        conditions = [
            "message_id > :after",
            *(f"{n} = :{n}" for n, value in given.items() if value),
        ]
        sql = f"{_MESSAGES} WHERE {' AND '.join(conditions)} ORDER BY message_id LIMIT :limit"
        rows = await self._file.ask(sql, {**given, "after": after, "limit": limit})
        return [message_of(row) for row in rows]

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        rows = await self._file.ask(f"{_MESSAGES} WHERE message_id = ?", (message_id,))
        return message_of(rows[0]) if rows else None

    async def due(self, channel: str, now: float) -> Message | None:
        """Return the message that waits for the longest, or None."""
        sql = f"{_MESSAGES} WHERE channel = ? AND state = ? AND due_at <= ? ORDER BY due_at LIMIT 1"
        rows = await self._file.ask(sql, (channel, MESSAGE_WAITING, now))
        return message_of(rows[0]) if rows else None

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt."""
        await self._file.write(_PACK, message_row(message))

    async def remove(self, message_id: str) -> None:
        """Forget a message."""
        await self._file.write("DELETE FROM alert_messages WHERE message_id = ?", (message_id,))

    async def message_counts(self) -> dict[tuple[str, str], int]:
        """Return how many messages there are per (channel, state)."""
        sql = "SELECT channel, state, count(*) FROM alert_messages GROUP BY channel, state"
        return {(channel, state): count for channel, state, count in await self._file.ask(sql)}


def _conditions(query: AlertQuery, before: int) -> tuple[list[str], dict[str, Any]]:
    conditions = [STATES[query.state], "(:before = 0 OR seq < :before)"]
    values: dict[str, Any] = {"before": before}
    for name in FILTERS:
        if getattr(query, name):
            conditions.append(f"{name} = :{name}")
            values[name] = getattr(query, name)
    if query.tenant_ids is not None:
        conditions.append("tenant_id IN (SELECT value FROM json_each(:tenant_ids))")
        values["tenant_ids"] = json.dumps([*query.tenant_ids])
    return conditions, values
