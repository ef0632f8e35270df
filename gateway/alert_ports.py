"""The seams to what is kept about alerts: the alerts themselves, and the messages that are yet to be delivered.

Every adapter passes the contract suites in `tests/contracts/alert_store.py`. Both are used by the control plane alone.
Every method raises `StoreUnavailable` when the store does not answer within five seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.alert_messages import Message, Notice, Waiting
from gateway.domain.alerts import ANY_ALERT, Alert, AlertQuery, Identity
from gateway.domain.change import Change


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Part of the list of alerts, the newest first. `cursor` is where the next part begins; 0 at the end."""

    alerts: list[Alert]
    cursor: int


class AlertStore(Protocol):
    """Alerts, open and resolved ones."""

    async def commit(
        self,
        alerts: Sequence[Alert],
        notices: Sequence[Notice] = (),
        changes: Sequence[Change] = (),
        forgotten: Collection[str] = (),
    ) -> None:
        """Store alerts by id, queue `notices`, seal `changes` onto the audit trail and forget alerts (by id): all of
        it, or nothing. An acknowledgement that is stored stays.
        """
        ...

    async def open_alerts(self, limit: int) -> list[Alert]:
        """Return the alerts that are not resolved, pending ones included, the oldest first."""
        ...

    async def alert(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        ...

    async def alerts(
        self, query: AlertQuery = ANY_ALERT, *, before: int = 0, limit: int = 100
    ) -> AlertPage:
        """Return the alerts that `query` asks for, the newest first; `before` is the cursor of the page before."""
        ...

    async def told(self, identities: Collection[Identity]) -> set[Identity]:
        """Return those of `identities` of which an alert has fired, as far back as alerts are kept."""
        ...

    async def acknowledge(self, alert_id: str, at: float, change: Change) -> Alert | None:
        """Let an alert that fires be acknowledged by the actor and for the reason of `change`, which goes onto the
        audit trail with it; return it. None, and nothing is done, for any other alert.
        """
        ...

    async def prune_alerts(self, before: float) -> int:
        """Remove the alerts that were resolved before then (epoch seconds); return how many."""
        ...


class Outbox(Protocol):
    """What is yet to be told: notices, then messages made of them."""

    async def waiting(self, channel: str, limit: int) -> Waiting:
        """Return the notices of a channel, the oldest first, at most `limit` of them, and how many there are."""
        ...

    async def pack(self, message: Message, through: int) -> None:
        """Store a message in place of its channel's notices up to `through`: both, or nothing."""
        ...

    async def messages(
        self, *, channel: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[Message]:
        """Return messages, ordered by id."""
        ...

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        ...

    async def due(self, channel: str, now: float) -> Message | None:
        """Return the message of a channel that waits for the longest and is due at `now`, or None."""
        ...

    async def keep(self, message: Message) -> None:
        """Store what became of an attempt to deliver a message."""
        ...

    async def remove(self, message_id: str) -> None:
        """Forget a message that is delivered, or that nobody wants any more."""
        ...

    async def message_counts(self) -> dict[tuple[str, str], int]:
        """Return how many messages there are per (channel, state)."""
        ...


class KeptAlerts(AlertStore, Outbox, Protocol):
    """Both, in one place: what a rule finds and what is told of it are stored together."""
