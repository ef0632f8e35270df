"""Alerts, and what is yet to be told about them, in the database of the keys.

Knows the SQL of `AlertStore` and `Outbox`. Whoever queues notices holds the row of `store`, so that they become visible
in the order of their numbers; an alert that is over stays over, whatever a gateway writes that has not heard of it. It
must not know when an alert fires or how a message is carried.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import asyncpg

from gateway.alert_ports import AlertPage
from gateway.domain.alert_messages import MESSAGE_WAITING, Message, Notice, Waiting
from gateway.domain.alerts import ANY_ALERT, Alert, AlertQuery, Identity
from gateway.domain.change import Change
from gateway.stores.alert_rows import (
    ALERT,
    FILTERS,
    KEPT,
    MESSAGE,
    NOTICE,
    STATES,
    alert_of,
    message_of,
    message_row,
    notice_row,
    row_of,
)
from gateway.stores.postgres import audit
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.statements import TAKE_TURN

_ALERT_COLUMNS: Final = ", ".join(ALERT)


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - own names


_SAVE: Final = f"""
    {_insert("alerts", ALERT)} ON CONFLICT (alert_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in ALERT if name not in KEPT)}
    WHERE alerts.resolved_at IS NULL
"""  # noqa: S608 - own names
_SELECT: Final = f"SELECT {_ALERT_COLUMNS} FROM alerts"  # noqa: S608 - own names
_ACKNOWLEDGE: Final = f"""
    UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3, acknowledged_reason = $4
    WHERE alert_id = $1 AND fired_at IS NOT NULL AND resolved_at IS NULL
    RETURNING {_ALERT_COLUMNS}
"""  # noqa: S608 - own names
_IDENTITY: Final = "rule, tenant_id, key_id, subject"
_TOLD: Final = f"""
    SELECT DISTINCT {_IDENTITY} FROM alerts
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS asked ({_IDENTITY}) USING ({_IDENTITY})
    WHERE fired_at IS NOT NULL
"""  # noqa: S608 - own names
_NOTICE: Final = _insert("alert_notices", NOTICE)
_COUNT_NOTICES: Final = """
    SELECT event, rule, count(*), max(seq) FROM alert_notices WHERE channel = $1 GROUP BY event, rule
"""
_NOTICES: Final = """
    SELECT content FROM alert_notices WHERE channel = $1 AND seq <= $2 ORDER BY seq LIMIT $3
"""
_PACK: Final = f"""
    {_insert("alert_messages", MESSAGE)} ON CONFLICT (message_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in MESSAGE if name != "message_id")}
"""  # noqa: S608 - own names
_MESSAGES: Final = f"SELECT {', '.join(MESSAGE)} FROM alert_messages"  # noqa: S608 - own names


class PostgresAlerts:
    """Implements `ports.AlertStore` and `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- alerts

    async def commit(
        self,
        alerts: Sequence[Alert],
        notices: Sequence[Notice] = (),
        changes: Sequence[Change] = (),
        forgotten: Collection[str] = (),
    ) -> None:
        """Store all of it, or nothing."""

        async def work(connection: asyncpg.Connection) -> None:
            if notices or changes:
                await connection.fetchval(TAKE_TURN)
            # What ends or is forgotten makes room for what begins under the same identity.
            await connection.execute("DELETE FROM alerts WHERE alert_id = ANY($1)", [*forgotten])
            ordered = sorted(alerts, key=lambda alert: alert.resolved_at is None)
            rows = [[*row_of(alert).values()] for alert in ordered]
            await connection.executemany(_SAVE, rows)
            await connection.executemany(
                _NOTICE, [[*notice_row(each).values()] for each in notices]
            )
            await audit.append(connection, changes)

        await self._database.transact(work, about="alerts")

    async def open_alerts(self, limit: int) -> list[Alert]:
        """Return the alerts that are not resolved."""
        sql = f"{_SELECT} WHERE resolved_at IS NULL ORDER BY seq LIMIT $1"
        return [alert_of(row) for row in await self._database.ask(sql, limit)]

    async def alert(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        rows = await self._database.ask(f"{_SELECT} WHERE alert_id = $1", alert_id)
        return alert_of(rows[0]) if rows else None

    async def alerts(
        self, query: AlertQuery = ANY_ALERT, *, before: int = 0, limit: int = 100
    ) -> AlertPage:
        """Return alerts, the newest first."""
        conditions = [STATES[query.state], "($1::bigint = 0 OR seq < $1)"]
        values: list[Any] = [before, limit + 1]
        for name in FILTERS:
            if getattr(query, name):
                values.append(getattr(query, name))
                conditions.append(f"{name} = ${len(values)}")
        if query.tenant_ids is not None:
            values.append([*query.tenant_ids])
            conditions.append(f"tenant_id = ANY(${len(values)})")
        sql = (
            f"SELECT seq, {_ALERT_COLUMNS} FROM alerts WHERE {' AND '.join(conditions)} "  # noqa: S608 - own names
            "ORDER BY seq DESC LIMIT $2"
        )
        rows = await self._database.ask(sql, *values)
        cursor = int(rows[limit - 1][0]) if len(rows) > limit else 0
        return AlertPage([alert_of([*row][1:]) for row in rows[:limit]], cursor)

    async def told(self, identities: Collection[Identity]) -> set[Identity]:
        """Return those of which an alert has fired."""
        if not identities:
            return set()
        columns = map(list, zip(*identities, strict=True))
        rows = await self._database.ask(_TOLD, *columns)
        return {(rule, tenant, key, subject) for rule, tenant, key, subject in rows}

    async def acknowledge(self, alert_id: str, at: float, change: Change) -> Alert | None:
        """Acknowledge an alert that fires."""

        async def work(connection: asyncpg.Connection) -> Alert | None:
            await connection.fetchval(TAKE_TURN)
            row = await connection.fetchrow(
                _ACKNOWLEDGE, alert_id, at, change.actor.name, change.reason
            )
            if row is None:
                return None
            await audit.append(connection, [change])
            return alert_of(row)

        return await self._database.transact(work, about=alert_id)

    async def prune_alerts(self, before: float) -> int:
        """Remove alerts that were resolved before then; return how many."""
        sql = "DELETE FROM alerts WHERE resolved_at < $1 RETURNING seq"
        return len(await self._database.ask(sql, before))

    # ---- what is yet to be told

    async def waiting(self, channel: str, limit: int) -> Waiting:
        """Return the notices of a channel."""
        counted = await self._database.ask(_COUNT_NOTICES, channel)
        through = max((row[3] for row in counted), default=0)
        rows = await self._database.ask(_NOTICES, channel, through, limit)
        counts = {(event, rule): count for event, rule, count, _ in counted}
        return Waiting(notices=[json.loads(row[0]) for row in rows], counts=counts, through=through)

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of notices."""

        async def work(connection: asyncpg.Connection) -> None:
            await connection.execute(_PACK, *message_row(message).values())
            await connection.execute(
                "DELETE FROM alert_notices WHERE channel = $1 AND seq <= $2",
                *(message.channel, through),
            )

        await self._database.transact(work, about=message.message_id)

    async def messages(
        self, *, channel: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[Message]:
        """Return messages, ordered by id."""
        conditions, values = ["message_id > $1"], [after, limit]
        given: Mapping[str, str] = {"channel": channel, "state": state}
        for name, value in given.items():
            if value:
                values.append(value)
                conditions.append(f"{name} = ${len(values)}")
        sql = f"{_MESSAGES} WHERE {' AND '.join(conditions)} ORDER BY message_id LIMIT $2"
        return [message_of(row) for row in await self._database.ask(sql, *values)]

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        rows = await self._database.ask(f"{_MESSAGES} WHERE message_id = $1", message_id)
        return message_of(rows[0]) if rows else None

    async def due(self, channel: str, now: float) -> Message | None:
        """Return the message that waits for the longest, or None."""
        sql = (
            f"{_MESSAGES} WHERE channel = $1 AND state = $2 AND due_at <= $3 "
            "ORDER BY due_at LIMIT 1"
        )
        rows = await self._database.ask(sql, channel, MESSAGE_WAITING, now)
        return message_of(rows[0]) if rows else None

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt."""
        await self._database.ask(_PACK, *message_row(message).values())

    async def remove(self, message_id: str) -> None:
        """Forget a message."""
        await self._database.ask("DELETE FROM alert_messages WHERE message_id = $1", message_id)

    async def message_counts(self) -> dict[tuple[str, str], int]:
        """Return how many messages there are per (channel, state)."""
        sql = "SELECT channel, state, count(*) FROM alert_messages GROUP BY channel, state"
        return {(channel, state): count for channel, state, count in await self._database.ask(sql)}
