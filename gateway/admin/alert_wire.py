"""What the admin API reads and writes about alerts, as JSON.

Knows names and types on the wire, as `wire` does for keys. Times are RFC 3339 in UTC, durations seconds.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from gateway.admin.shapes import Shape, View
from gateway.admin.wire import Names, instant
from gateway.alerts.desk import Tried
from gateway.domain.alert_messages import Message, subject_of
from gateway.domain.alert_rules.catalogue import RULES
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Alert

State = Literal["pending", "firing", "acknowledged", "resolved"]
Severity = Literal["info", "warning", "critical"]


_APART: Final = ("state", "severity", "details", "runbook_url")


class AlertView(View):
    """One alert. `tenant_id` is empty for what concerns the gateway, `key_id` for what concerns no single key."""

    alert_id: str
    rule: str
    state: State
    severity: Severity
    tenant_id: str
    key_id: str
    subject: str
    summary: str
    details: dict[str, Any]
    began_at: str | None
    fired_at: str | None
    last_seen_at: str | None
    resolved_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str
    acknowledged_reason: str
    occurrences: int
    runbook_url: str

    @classmethod
    def of(cls, alert: Alert, runbook_url: str = "") -> Self:
        """Show `alert`; what to do about it stands at `runbook_url`, empty where runbooks are not served."""
        moments = ("began_at", "fired_at", "last_seen_at", "resolved_at", "acknowledged_at")
        shown = {name: instant(getattr(alert, name)) for name in moments}
        names = cls.model_fields.keys() - {*shown, *_APART}
        return cls(
            **{name: getattr(alert, name) for name in names},
            **shown,
            state=alert.state.value,
            severity=alert.severity.value,
            details=dict(alert.details),
            runbook_url=runbook_url,
        )


class RuleView(View):
    """How a rule is set. `thresholds` are what it compares with; of durations the name ends in `_seconds`."""

    rule: str
    description: str
    enabled: bool
    severity: Severity
    channels: Names
    fire_after_seconds: float
    resolve_after_seconds: float
    except_tags: Names
    thresholds: dict[str, float]
    is_of_tenant: bool

    @classmethod
    def of(cls, settings: RuleSettings, *, with_channels: bool = True) -> Self:
        """Show `settings`."""
        info = RULES[settings.name]
        return cls(
            rule=settings.name.value,
            description=info.meaning,
            enabled=settings.is_enabled,
            severity=settings.severity.value,
            channels=settings.channels if with_channels else (),
            fire_after_seconds=settings.patience.fire_after_seconds,
            resolve_after_seconds=settings.patience.resolve_after_seconds,
            except_tags=settings.except_tags,
            thresholds={
                f"{name}_seconds" if number.is_duration else name: settings[name]
                for name, number in info.numbers.items()
            },
            is_of_tenant=info.is_of_tenant,
        )


class AlertTest(Shape):
    """The body of `POST /alerts:test`: a channel, or a rule whose channels are tried."""

    channel: str = ""
    rule: str = ""


class TriedView(View):
    """What came of a test of one channel; `error` is null when the receiver took the message."""

    channel: str
    delivered: bool
    error: str | None

    @classmethod
    def of(cls, tried: Tried) -> Self:
        """Show `tried`."""
        return cls(channel=tried.channel, delivered=not tried.error, error=tried.error or None)


class TestView(View):
    """What came of a test."""

    channels: list[TriedView]


class MessageView(View):
    """A message that is not delivered: it is tried again, or is a dead letter. Times are RFC 3339."""

    delivery_id: str
    channel: str
    state: Literal["waiting", "dead"]
    subject: str
    created_at: str | None
    due_at: str | None
    attempts: int
    last_error: str
    content: dict[str, Any]

    @classmethod
    def of(cls, message: Message) -> Self:
        """Show `message`."""
        return cls(
            delivery_id=message.message_id,
            channel=message.channel,
            state="waiting" if message.state == "waiting" else "dead",
            subject=subject_of(message.content),
            created_at=instant(message.created_at),
            due_at=instant(message.due_at),
            attempts=message.attempts,
            last_error=message.error,
            content=dict(message.content),
        )
