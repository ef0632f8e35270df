"""What operators do with alerts: look at them, acknowledge them, try channels, send dead letters again.

Knows that a test goes through the real channel and through no store. It must not know who may do what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from gateway.alert_ports import AlertPage
from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.settings import AlertSettings
from gateway.alerts.tenants import own_settings
from gateway.domain.alert_messages import (
    MESSAGE_WAITING,
    Message,
    Waiting,
    content_of,
    runbook_of,
    told,
)
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Alert, AlertEvent, AlertQuery, Severity
from gateway.domain.change import Change, ChangeType, Order
from gateway.domain.tenants import Tenant
from gateway.ports import AlertStore, Clock, Outbox

TEST_SECONDS_MAX: Final = 25.0
"""How long a test may take: whoever asks waits for about 30 s."""

NO_RULE: Final = "Test"


class Postman(Protocol):
    """Who sends: one message now, or what waits."""

    async def send(self, name: str, content: Mapping[str, Any]) -> None:
        """Send one message. Raises `Undelivered`, `KeyError`."""
        ...

    def wake(self, channels: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test of one channel; `error` is empty when the message was taken."""

    channel: str
    error: str = ""


class AlertDesk:
    """The alerts of a running gateway. Raises `StoreUnavailable`."""

    def __init__(
        self,
        *,
        alerts: AlertStore,
        outbox: Outbox,
        settings: Callable[[], AlertSettings],
        postman: Postman,
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._outbox = outbox
        self._settings = settings
        self._postman = postman
        self._clock = clock

    # ---- alerts

    async def get(self, alert_id: str) -> Alert | None:
        """Return the alert, or None."""
        return await self._alerts.alert(alert_id)

    async def page(self, query: AlertQuery, *, before: int, limit: int) -> AlertPage:
        """Return alerts, the newest first."""
        return await self._alerts.alerts(query, before=before, limit=limit)

    async def acknowledge(self, alert: Alert, order: Order) -> Alert | None:
        """Note that somebody looks after an alert; None when it does not fire any more."""
        now = self._clock.now()
        if order.is_dry_run:
            if alert.fired_at is None or alert.resolved_at is not None:
                return None
            return replace(
                alert,
                acknowledged_at=now,
                acknowledged_by=order.actor.name,
                acknowledged_reason=order.reason,
            )
        change = Change(
            type=ChangeType.ALERT_ACKNOWLEDGED,
            actor=order.actor,
            tenant_id=alert.tenant_id,
            key_id=alert.key_id,
            subject_id=alert.alert_id,
            reason=order.reason,
            after={"rule": alert.rule, "subject": alert.subject},
            at=now,
        )
        return await self._alerts.acknowledge(alert.alert_id, now, change)

    # ---- rules

    def runbook_url(self, rule: str) -> str:
        """Return where it stands what to do about a rule; empty when that is nowhere."""
        return runbook_of(rule, self._settings().runbooks_url)

    def rules(self, tenant: Tenant | None = None) -> list[RuleSettings]:
        """Return how the rules are set, for the gateway or as a tenant has them."""
        settings = self._settings()
        if tenant is None:
            return [settings.book[name] for name in RuleName]
        book = own_settings(tenant, settings.book).book
        return [book[name] for name in RuleName if RULES[name].is_of_tenant]

    # ---- channels

    def channels_of(self, *, channel: str = "", rule: str = "") -> list[str]:
        """Return the channels that a test goes to: the one that is named, or those of a rule."""
        settings = self._settings()
        if channel:
            return [channel] if channel in settings.channels else []
        return [
            each for each in settings.book[RuleName(rule)].channels if each in settings.channels
        ]

    async def test(self, channels: list[str], rule: str = "") -> list[Tried]:
        """Send a sample through each channel at once; return what came of it."""
        return [*await asyncio.gather(*(self._try(each, rule) for each in channels))]

    async def _try(self, channel: str, rule: str) -> Tried:
        try:
            async with asyncio.timeout(TEST_SECONDS_MAX):
                await self._postman.send(channel, self._sample(rule))
        except Undelivered as error:
            return Tried(channel, str(error))
        except TimeoutError:
            return Tried(channel, f"no answer within {TEST_SECONDS_MAX:g} s")
        return Tried(channel)

    def _sample(self, rule: str) -> dict[str, Any]:
        settings, now = self._settings(), self._clock.now()
        name = RuleName(rule) if rule else None
        alert = Alert(
            alert_id="alr_test",
            rule=NO_RULE if name is None else name.value,
            severity=Severity.INFO if name is None else settings.book[name].severity,
            summary="This is a test: "
            + ("whoever reads it is told of alerts." if name is None else RULES[name].meaning),
            began_at=now,
            last_seen_at=now,
            fired_at=now,
        )
        notice = told(alert, AlertEvent.TEST)
        counts = {(AlertEvent.TEST.value, alert.rule): 1}
        waiting = Waiting(notices=[notice], counts=counts, through=0)
        return content_of(waiting, settings.runbooks_url if rule else "", now)

    # ---- what is not delivered yet

    async def messages(self, *, state: str, channel: str, after: str, limit: int) -> list[Message]:
        """Return messages that wait or are dead letters, ordered by id."""
        return await self._outbox.messages(state=state, channel=channel, after=after, limit=limit)

    async def message(self, message_id: str) -> Message | None:
        """Return the message, or None."""
        return await self._outbox.message(message_id)

    async def retry(self, message: Message, order: Order) -> Message:
        """Let a message be sent again now, with all its attempts."""
        again = replace(message, state=MESSAGE_WAITING, attempts=0, due_at=self._clock.now())
        if not order.is_dry_run:
            await self._outbox.keep(again)
            self._postman.wake([message.channel])
        return again
