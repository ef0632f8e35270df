"""Alerts in memory: for tests, and the plainest meaning of `AlertStore` and `Outbox`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.alert_ports import AlertPage
from gateway.domain.alert_messages import MESSAGE_WAITING, Message, Notice, Waiting
from gateway.domain.alerts import ANY_ALERT, Alert, AlertQuery, AlertState, Identity
from gateway.domain.change import Change
from gateway.ports import Conflict
from gateway.stores.memory_audit import MemoryAudit


class MemoryAlerts:
    """Implements `ports.AlertStore` and `ports.Outbox`; changes go onto the trail `audit`."""

    def __init__(self, audit: MemoryAudit | None = None) -> None:
        self.audit = audit or MemoryAudit()
        self._alerts: dict[str, Alert] = {}
        self._order: dict[str, int] = {}
        self._began = 0
        self._notices: list[tuple[int, Notice]] = []
        self._noticed = 0
        self._messages: dict[str, Message] = {}

    # ---- alerts

    async def commit(
        self,
        alerts: Sequence[Alert],
        notices: Sequence[Notice] = (),
        changes: Sequence[Change] = (),
        forgotten: Collection[str] = (),
    ) -> None:
        """Store all of it, or nothing."""
        kept = {name: each for name, each in self._alerts.items() if name not in set(forgotten)}
        for alert in alerts:
            known = kept.get(alert.alert_id, alert)
            kept[alert.alert_id] = _acknowledged_as(alert, known)
        identities = Counter(each.identity for each in kept.values() if each.resolved_at is None)
        if any(count > 1 for count in identities.values()):
            raise Conflict("alerts: one that is open is open once")
        self._alerts = kept
        for alert in alerts:
            if alert.alert_id not in self._order:
                self._began += 1
                self._order[alert.alert_id] = self._began
        for notice in notices:
            self._noticed += 1
            self._notices.append((self._noticed, notice))
        await self.audit.append(changes)

    async def open_alerts(self, limit: int) -> list[Alert]:
        """Return the alerts that are not resolved."""
        found = [each for each in self._alerts.values() if each.resolved_at is None]
        return sorted(found, key=lambda each: self._order[each.alert_id])[:limit]

    async def alert(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        return self._alerts.get(alert_id)

    async def alerts(
        self, query: AlertQuery = ANY_ALERT, *, before: int = 0, limit: int = 100
    ) -> AlertPage:
        """Return alerts, the newest first."""
        found = [
            (self._order[alert_id], alert)
            for alert_id, alert in self._alerts.items()
            if _is_asked_for(alert, query) and (not before or self._order[alert_id] < before)
        ]
        found.sort(key=lambda each: -each[0])
        cursor = found[limit - 1][0] if len(found) > limit else 0
        return AlertPage([alert for _, alert in found[:limit]], cursor)

    async def told(self, identities: Collection[Identity]) -> set[Identity]:
        """Return those of which an alert has fired."""
        fired = {each.identity for each in self._alerts.values() if each.fired_at is not None}
        return {each for each in identities if each in fired}

    async def acknowledge(self, alert_id: str, at: float, change: Change) -> Alert | None:
        """Acknowledge an alert that fires."""
        alert = self._alerts.get(alert_id)
        if alert is None or alert.fired_at is None or alert.resolved_at is not None:
            return None
        acknowledged = replace(
            alert,
            acknowledged_at=at,
            acknowledged_by=change.actor.name,
            acknowledged_reason=change.reason,
        )
        self._alerts[alert_id] = acknowledged
        await self.audit.append([change])
        return acknowledged

    async def prune_alerts(self, before: float) -> int:
        """Remove alerts that were resolved before then; return how many."""
        old = [
            alert_id
            for alert_id, alert in self._alerts.items()
            if alert.resolved_at is not None and alert.resolved_at < before
        ]
        for alert_id in old:
            del self._alerts[alert_id]
        return len(old)

    # ---- what is yet to be told

    async def waiting(self, channel: str, limit: int) -> Waiting:
        """Return the notices of a channel."""
        found = [(seq, each) for seq, each in self._notices if each.channel == channel]
        pairs = ((str(each.content["event"]), str(each.content["rule"])) for _, each in found)
        return Waiting(
            notices=[each.content for _, each in found[:limit]],
            counts=Counter(pairs),
            through=found[-1][0] if found else 0,
        )

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of notices."""
        self._messages[message.message_id] = message
        self._notices = [
            (seq, each)
            for seq, each in self._notices
            if each.channel != message.channel or seq > through
        ]

    async def messages(
        self, *, channel: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[Message]:
        """Return messages, ordered by id."""
        return [
            message
            for message_id, message in sorted(self._messages.items())
            if message_id > after
            and channel in ("", message.channel)
            and state in ("", message.state)
        ][:limit]

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        return self._messages.get(message_id)

    async def due(self, channel: str, now: float) -> Message | None:
        """Return the message that waits for the longest, or None."""
        waiting = [
            each
            for each in self._messages.values()
            if each.channel == channel and each.state == MESSAGE_WAITING and each.due_at <= now
        ]
        return min(waiting, key=lambda each: each.due_at, default=None)

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt."""
        self._messages[message.message_id] = message

    async def remove(self, message_id: str) -> None:
        """Forget a message."""
        self._messages.pop(message_id, None)

    async def message_counts(self) -> dict[tuple[str, str], int]:
        """Return how many messages there are per (channel, state)."""
        return Counter((each.channel, each.state) for each in self._messages.values())


def _acknowledged_as(alert: Alert, known: Alert) -> Alert:
    return replace(
        alert,
        acknowledged_at=known.acknowledged_at,
        acknowledged_by=known.acknowledged_by,
        acknowledged_reason=known.acknowledged_reason,
    )


def _is_asked_for(alert: Alert, query: AlertQuery) -> bool:
    is_state = (
        alert.state.value == query.state if query.state else alert.state is not AlertState.PENDING
    )
    return (
        is_state
        and all(
            getattr(query, name) in ("", getattr(alert, name))
            for name in ("rule", "tenant_id", "key_id")
        )
        and (query.tenant_ids is None or alert.tenant_id in query.tenant_ids)
    )
