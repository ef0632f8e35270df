"""Alerts: what a rule found, and the life of one alert from the first finding to its end.

Knows which finding belongs to which alert, when an alert fires, and when it is over. It must not know what a rule looks
at, the clock, nor who is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple


class AlertState(StrEnum):
    """`pending` is seen but not for long enough; `acknowledged` fires and somebody looks after it."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AlertEvent(StrEnum):
    """What is told of an alert. A test is told of none that exists."""

    FIRED = "fired"
    RESOLVED = "resolved"
    TEST = "test"


class Severity(StrEnum):
    """How urgent an alert is, the least first: `critical` wakes somebody up, `warning` is for a working day."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


Identity = tuple[str, str, str, str]
"""Rule, tenant, key, subject: of two findings with the same, one alert is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule found at one moment.

    `tenant_id` is empty for what concerns the gateway, `key_id` for what concerns no single key. `subject` sets apart
    what one rule says of one key: a network, a limit, an upstream. `text` completes a sentence that begins with the
    name of the key, the tenant or the gateway. `details` are numbers and names for a program, without any secret.
    """

    rule: str
    tenant_id: str = ""
    key_id: str = ""
    subject: str = ""
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """What makes it the same as another finding."""
        return self.rule, self.tenant_id, self.key_id, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. Times are epoch seconds (UTC); None means not yet.

    `began_at` is the first finding, `last_seen_at` the latest, `absent_since` the first look that found nothing any
    more. `occurrences` counts how often it came while it was open. An acknowledgement changes nothing about when it
    ends.
    """

    alert_id: str
    rule: str
    tenant_id: str = ""
    key_id: str = ""
    subject: str = ""
    severity: Severity = Severity.WARNING
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)
    began_at: float
    last_seen_at: float
    fired_at: float | None = None
    absent_since: float | None = None
    resolved_at: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    acknowledged_reason: str = ""
    occurrences: int = 1

    @property
    def identity(self) -> Identity:
        """Whose findings it is about."""
        return self.rule, self.tenant_id, self.key_id, self.subject

    @property
    def state(self) -> AlertState:
        """Where in its life it is."""
        if self.resolved_at is not None:
            return AlertState.RESOLVED
        if self.fired_at is None:
            return AlertState.PENDING
        return AlertState.FIRING if self.acknowledged_at is None else AlertState.ACKNOWLEDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertQuery:
    """Which alerts are listed; an empty text asks for nothing. Pending ones are listed only when they are asked for.

    `tenant_ids` are the tenants whose alerts may be seen at all; None: all, and those of the gateway.
    """

    state: str = ""
    rule: str = ""
    tenant_id: str = ""
    key_id: str = ""
    tenant_ids: tuple[str, ...] | None = None


ANY_ALERT: Final = AlertQuery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a rule waits: a finding must hold for `fire_after_seconds`, and be gone for `resolve_after_seconds`."""

    fire_after_seconds: float = 0.0
    resolve_after_seconds: float = 0.0


AT_ONCE: Final = Patience()


class Step(NamedTuple):
    """An alert after one look: None when a pending one is forgotten. `event` is what is to be told, if anything."""

    alert: Alert | None
    event: AlertEvent | None = None


def begun(alert_id: str, finding: Finding, summary: str, severity: Severity, now: float) -> Alert:
    """Return the pending alert of a first finding."""
    return Alert(
        alert_id=alert_id,
        rule=str(finding.rule),
        tenant_id=finding.tenant_id,
        key_id=finding.key_id,
        subject=finding.subject,
        severity=severity,
        summary=summary,
        details=finding.details,
        began_at=now,
        last_seen_at=now,
    )


def seen(alert: Alert, finding: Finding, summary: str, patience: Patience, now: float) -> Step:
    """Return an open alert that was found (again) at `now`."""
    came_back = alert.absent_since is not None
    after = replace(
        alert,
        summary=summary,
        details=finding.details,
        last_seen_at=now,
        absent_since=None,
        occurrences=alert.occurrences + came_back,
    )
    if alert.fired_at is None and now - alert.began_at >= patience.fire_after_seconds:
        return Step(replace(after, fired_at=now), AlertEvent.FIRED)
    return Step(after)


def missed(alert: Alert, patience: Patience, now: float) -> Step:
    """Return an open alert that was looked for at `now` and not found."""
    if alert.fired_at is None:
        return Step(None)
    absent_since = now if alert.absent_since is None else alert.absent_since
    if now - absent_since >= patience.resolve_after_seconds:
        return ended(alert, now)
    return Step(replace(alert, absent_since=absent_since))


def ended(alert: Alert, now: float) -> Step:
    """Return an open alert that is over, whatever was found: its rule was switched off."""
    if alert.fired_at is None:
        return Step(None)
    return Step(replace(alert, resolved_at=now), AlertEvent.RESOLVED)
