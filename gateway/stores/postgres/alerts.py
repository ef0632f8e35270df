"""Alerts, and what is yet to be told about them, in the database of the keys.

Knows the SQL of `AlertStore` and `Outbox` that writes; what asks is `stores.alert_queries`. Whoever queues notices
holds the row of `store`, so that they become visible in the order of their numbers; an alert that is over stays over,
whatever a gateway writes that has not heard of it. It must not know when an alert fires or how a message is carried.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import asyncpg

from gateway.domain.alert_messages import Message, Notice
from gateway.domain.alerts import Alert, Identity
from gateway.domain.change import Change
from gateway.stores.alert_queries import ALERT_COLUMNS, AlertQuestions
from gateway.stores.alert_rows import (
    ALERT,
    KEPT,
    MESSAGE,
    NOTICE,
    alert_of,
    message_row,
    notice_row,
    row_of,
)
from gateway.stores.postgres import audit
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.statements import TAKE_TURN
from gateway.stores.postgres.usage_queries import POSTGRES


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - own names


_SAVE: Final = f"""
    {_insert("alerts", ALERT)} ON CONFLICT (alert_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in ALERT if name not in KEPT)}
    WHERE alerts.resolved_at IS NULL
"""  # noqa: S608 - own names
_ACKNOWLEDGE: Final = f"""
    UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3, acknowledged_reason = $4
    WHERE alert_id = $1 AND fired_at IS NOT NULL AND resolved_at IS NULL
    RETURNING {ALERT_COLUMNS}
"""  # noqa: S608 - own names
_IDENTITY: Final = "rule, tenant_id, key_id, subject"
_TOLD: Final = f"""
    SELECT DISTINCT {_IDENTITY} FROM alerts
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS asked ({_IDENTITY}) USING ({_IDENTITY})
    WHERE fired_at IS NOT NULL
"""  # noqa: S608 - own names
_NOTICE: Final = _insert("alert_notices", NOTICE)
_PACK: Final = f"""
    {_insert("alert_messages", MESSAGE)} ON CONFLICT (message_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in MESSAGE if name != "message_id")}
"""  # noqa: S608 - own names


class PostgresAlerts(AlertQuestions):
    """Implements `ports.AlertStore` and `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.study, POSTGRES)
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

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of notices."""

        async def work(connection: asyncpg.Connection) -> None:
            await connection.execute(_PACK, *message_row(message).values())
            await connection.execute(
                "DELETE FROM alert_notices WHERE channel = $1 AND seq <= $2",
                *(message.channel, through),
            )

        await self._database.transact(work, about=message.message_id)

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt."""
        await self._database.ask(_PACK, *message_row(message).values())

    async def remove(self, message_id: str) -> None:
        """Forget a message."""
        await self._database.ask("DELETE FROM alert_messages WHERE message_id = $1", message_id)
