"""What is asked of alerts, notices and messages, in a file or a database.

Knows the SQL of `AlertStore` and `Outbox` that reads: a name stands for a value, and a `Wording` says what two
databases say in different words. It must not know how anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.alert_ports import AlertPage
from gateway.domain.alert_messages import MESSAGE_WAITING, Message, Waiting
from gateway.domain.alerts import ANY_ALERT, Alert, AlertQuery
from gateway.stores.alert_rows import ALERT, FILTERS, MESSAGE, STATES, alert_of, message_of

ALERT_COLUMNS: Final = ", ".join(ALERT)
_ALERTS: Final = f"SELECT {ALERT_COLUMNS} FROM alerts"  # noqa: S608 - own names
_MESSAGES: Final = f"SELECT {', '.join(MESSAGE)} FROM alert_messages"  # noqa: S608 - own names
_COUNT_NOTICES: Final = """
    SELECT event, rule, count(*), max(seq) FROM alert_notices WHERE channel = :channel GROUP BY event, rule
"""
_NOTICES: Final = """
    SELECT content FROM alert_notices WHERE channel = :channel AND seq <= :through ORDER BY seq LIMIT :limit
"""
_COUNT_MESSAGES: Final = (
    "SELECT channel, state, count(*) FROM alert_messages GROUP BY channel, state"
)

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Sequence[Sequence[Any]]]]
"""Returns the rows of one statement that reads."""


class Wording(Protocol):
    """How a database says what SQL leaves open."""

    def among(self, column: str, name: str) -> str:
        """Return the condition that `column` is one of the values of the list `:name`."""
        ...

    def listed(self, values: Sequence[str]) -> Any:
        """Return a list as the value of its name."""
        ...


class AlertQuestions:
    """The part of `ports.AlertStore` and `ports.Outbox` that reads."""

    def __init__(self, ask: Ask, wording: Wording) -> None:
        self._ask = ask
        self._wording = wording

    # ---- alerts

    async def open_alerts(self, limit: int) -> list[Alert]:
        """Return the alerts that are not resolved."""
        sql = f"{_ALERTS} WHERE resolved_at IS NULL ORDER BY seq LIMIT :limit"
        return [alert_of(row) for row in await self._ask(sql, {"limit": limit})]

    async def alert(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        rows = await self._ask(f"{_ALERTS} WHERE alert_id = :alert_id", {"alert_id": alert_id})
        return alert_of(rows[0]) if rows else None

    async def alerts(
        self, query: AlertQuery = ANY_ALERT, *, before: int = 0, limit: int = 100
    ) -> AlertPage:
        """Return alerts, the newest first."""
        values: dict[str, Any] = {name: getattr(query, name) for name in FILTERS}
        conditions = [STATES[query.state], *_equal(values)]
        if before:
            conditions.append("seq < :before")
        if query.tenant_ids is not None:
            conditions.append(self._wording.among("tenant_id", "tenant_ids"))
            values["tenant_ids"] = self._wording.listed(query.tenant_ids)
        sql = (
            f"SELECT seq, {ALERT_COLUMNS} FROM alerts WHERE {' AND '.join(conditions)} "  # noqa: S608 - own names
            "ORDER BY seq DESC LIMIT :limit"
        )
        rows = await self._ask(sql, {**values, "before": before, "limit": limit + 1})
        cursor = int(rows[limit - 1][0]) if len(rows) > limit else 0
        return AlertPage([alert_of([*row][1:]) for row in rows[:limit]], cursor)

    # ---- what is yet to be told

    async def waiting(self, channel: str, limit: int) -> Waiting:
        """Return the notices of a channel."""
        counted = await self._ask(_COUNT_NOTICES, {"channel": channel})
        through = max((row[3] for row in counted), default=0)
        values = {"channel": channel, "through": through, "limit": limit}
        rows = await self._ask(_NOTICES, values)
        counts = {(event, rule): count for event, rule, count, _ in counted}
        return Waiting(notices=[json.loads(row[0]) for row in rows], counts=counts, through=through)

    async def messages(
        self, *, channel: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[Message]:
        """Return messages, ordered by id."""
        values = {"channel": channel, "state": state}
        conditions = ["message_id > :after", *_equal(values)]
        sql = f"{_MESSAGES} WHERE {' AND '.join(conditions)} ORDER BY message_id LIMIT :limit"
        rows = await self._ask(sql, {**values, "after": after, "limit": limit})
        return [message_of(row) for row in rows]

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        sql = f"{_MESSAGES} WHERE message_id = :message_id"
        rows = await self._ask(sql, {"message_id": message_id})
        return message_of(rows[0]) if rows else None

    async def due(self, channel: str, now: float) -> Message | None:
        """Return the message that waits for the longest, or None."""
        sql = (
            f"{_MESSAGES} WHERE channel = :channel AND state = :state AND due_at <= :now "
            "ORDER BY due_at LIMIT 1"
        )
        values = {"channel": channel, "state": MESSAGE_WAITING, "now": now}
        rows = await self._ask(sql, values)
        return message_of(rows[0]) if rows else None

    async def message_counts(self) -> dict[tuple[str, str], int]:
        """Return how many messages there are per (channel, state)."""
        rows = await self._ask(_COUNT_MESSAGES, {})
        return {(channel, state): count for channel, state, count in rows}


def _equal(values: Mapping[str, Any]) -> list[str]:
    """Return the conditions that columns have their values, where one is asked for."""
    return [f"{name} = :{name}" for name, value in values.items() if value]
