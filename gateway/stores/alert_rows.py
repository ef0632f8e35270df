"""Alerts, notices and messages as rows: the columns, and the way there and back.

Knows which fields are JSON in a column, the same in every database. It must not know SQL dialects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from gateway.domain.alert_messages import Message, Notice
from gateway.domain.alerts import Alert, AlertState, Severity

ALERT: Final = tuple(each.name for each in fields(Alert))
"""The columns of an alert."""

MESSAGE: Final = tuple(each.name for each in fields(Message))
"""The columns of a message."""

NOTICE: Final = ("channel", "event", "rule", "content")
"""The columns of a notice."""

KEPT: Final = frozenset({"alert_id", "acknowledged_at", "acknowledged_by", "acknowledged_reason"})
"""Columns that a later write of the same alert leaves as they are."""

STATES: Final[Mapping[str, str]] = {
    "": "fired_at IS NOT NULL",
    AlertState.PENDING: "fired_at IS NULL",
    AlertState.FIRING: "fired_at IS NOT NULL AND resolved_at IS NULL AND acknowledged_at IS NULL",
    AlertState.ACKNOWLEDGED: "resolved_at IS NULL AND acknowledged_at IS NOT NULL",
    AlertState.RESOLVED: "resolved_at IS NOT NULL",
}
"""The condition of each state."""

FILTERS: Final = ("rule", "tenant_id", "key_id")
"""The columns by which a list of alerts is asked for."""


def row_of(alert: Alert) -> dict[str, Any]:
    """Return the columns of an alert."""
    values = {name: getattr(alert, name) for name in ALERT}
    return values | {
        "rule": str(alert.rule),
        "severity": alert.severity.value,
        "details": _written(alert.details),
    }


def alert_of(row: Iterable[Any]) -> Alert:
    """Return the alert of a row of `ALERT`."""
    values = dict(zip(ALERT, row, strict=True))
    return Alert(
        **values
        | {"severity": Severity(values["severity"]), "details": json.loads(values["details"])}
    )


def notice_row(notice: Notice) -> dict[str, Any]:
    """Return the columns of a notice."""
    return {
        "channel": notice.channel,
        "event": notice.content["event"],
        "rule": notice.content["rule"],
        "content": _written(notice.content),
    }


def message_row(message: Message) -> dict[str, Any]:
    """Return the columns of a message."""
    values = {name: getattr(message, name) for name in MESSAGE}
    return values | {"content": _written(message.content)}


def message_of(row: Iterable[Any]) -> Message:
    """Return the message of a row of `MESSAGE`."""
    values = dict(zip(MESSAGE, row, strict=True))
    return Message(**values | {"content": json.loads(values["content"])})


def _written(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), allow_nan=False)
