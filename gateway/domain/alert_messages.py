"""What is told about alerts: notices, one for each channel and event, and messages, which hold many of them.

Knows that one message holds so many alerts and counts the others, so that a thousand of them make one message, and how
a message reads. It must not know how it is carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.alerts import Alert, AlertEvent
from gateway.domain.dialects.fill import timestamp

ALERTS_MAX: Final = 50
"""Alerts that a message tells in full; nobody reads more of them, and a list is in the admin API."""

MESSAGE_WAITING: Final = "waiting"
MESSAGE_DEAD: Final = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """That a channel is to tell of an event of an alert; `content` is what `told` returned then."""

    channel: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits to be told by a channel: the first notices, and how many there are per (event, rule).

    `through` is the number of the last one that is counted.
    """

    notices: Sequence[Mapping[str, Any]]
    counts: Mapping[tuple[str, str], int]
    through: int

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a channel, until it is delivered. Times are epoch seconds.

    `state` is `waiting`, or `dead` after the last attempt; `error` is what the last one met, without any secret.
    """

    message_id: str
    channel: str
    content: Mapping[str, Any]
    created_at: float
    due_at: float
    attempts: int = 0
    state: str = MESSAGE_WAITING
    error: str = ""


def told(alert: Alert, event: AlertEvent) -> dict[str, Any]:
    """Return what a message says of an alert: plain values, the same for every channel."""
    return {
        "event": event.value,
        "alert_id": alert.alert_id,
        "rule": str(alert.rule),
        "severity": alert.severity.value,
        "tenant_id": alert.tenant_id,
        "key_id": alert.key_id,
        "subject": alert.subject,
        "summary": alert.summary,
        "details": dict(alert.details),
        "fired_at": None if alert.fired_at is None else timestamp(alert.fired_at),
        "resolved_at": None if alert.resolved_at is None else timestamp(alert.resolved_at),
    }


def content_of(waiting: Waiting, runbooks_url: str, now: float) -> dict[str, Any]:
    """Return the content of a message that tells what waits: `more` counts what `alerts` does not hold."""
    shown = [_with_runbook(each, runbooks_url) for each in waiting.notices[:ALERTS_MAX]]
    rest = dict(waiting.counts)
    for each in shown:
        pair = (str(each["event"]), str(each["rule"]))
        rest[pair] = rest.get(pair, 0) - 1
    more = [
        {"event": event, "rule": rule, "count": count}
        for (event, rule), count in sorted(rest.items())
        if count > 0
    ]
    return {"type": "alerts", "timestamp": timestamp(now), "alerts": shown, "more": more}


def runbook_of(rule: str, runbooks_url: str) -> str:
    """Return where it stands what to do about a rule; empty when that is nowhere."""
    return f"{runbooks_url.rstrip('/')}/{rule}.md" if runbooks_url else ""


def _with_runbook(notice: Mapping[str, Any], runbooks_url: str) -> dict[str, Any]:
    runbook = runbook_of(notice["rule"], runbooks_url)
    return {**notice, "runbook_url": runbook} if runbook else dict(notice)


def subject_of(content: Mapping[str, Any]) -> str:
    """Return a message in one line."""
    alerts: Sequence[Mapping[str, Any]] = content["alerts"]
    total = len(alerts) + sum(each["count"] for each in content["more"])
    if total == 1:
        return f"{_mark(alerts[0])} {alerts[0]['rule']}: {alerts[0]['summary']}"
    fired = _count(content, AlertEvent.FIRED.value)
    resolved = _count(content, AlertEvent.RESOLVED.value)
    parts = [f"{fired} fired"] if fired else []
    parts += [f"{resolved} resolved"] if resolved else []
    return f"{total} alerts: {', '.join(parts)}"


def lines_of(content: Mapping[str, Any]) -> list[str]:
    """Return a message as lines of plain text, one per alert."""
    lines = []
    for each in content["alerts"]:
        lines.append(f"{_mark(each)} {each['rule']}: {each['summary']}")
        if "runbook_url" in each:
            lines.append(f"    {each['runbook_url']}")
    more = content["more"]
    lines += [f"and {each['count']} more {each['event']}: {each['rule']}" for each in more]
    return lines


def _mark(alert: Mapping[str, Any]) -> str:
    if alert["event"] == AlertEvent.FIRED:
        return f"[{alert['severity']}]"
    return f"[{alert['event']}]"


def _count(content: Mapping[str, Any], event: str) -> int:
    shown = sum(each["event"] == event for each in content["alerts"])
    more = sum(each["count"] for each in content["more"] if each["event"] == event)
    return int(shown + more)
