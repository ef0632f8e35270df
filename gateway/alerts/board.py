"""The open alerts, in memory: what each look makes of them, and what of that is yet to be stored.

Knows that one alert is made of all findings with one identity, and that there are only so many. It must not know where
alerts are stored, nor who is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.domain import alerts as life
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Alert, AlertEvent, Finding, Identity, Step

OPEN_MAX: Final = 10_000
"""Open alerts. Of further ones, those that are told once are told, and over; others wait until there is room: nobody
looks at more, and each takes about 2 KB."""

ENDED_MAX: Final = 10_000
"""Resolved alerts that wait for the store: of one round, or for one that does not answer."""

SEEN_SECONDS: Final = 300.0
"""How exact a stored `last_seen_at` is: every alert is seen every minute, and a write costs one."""

_log = logging.getLogger(__name__)


class Judged(NamedTuple):
    """A finding in full: with the sentence for people, and the settings of its rule for its tenant."""

    finding: Finding
    summary: str
    settings: RuleSettings


class Happened(NamedTuple):
    """That an alert fired, or is over."""

    alert: Alert
    event: AlertEvent


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What is to be stored: alerts as they are now, and ids of those that nobody needs to know of any more."""

    alerts: tuple[Alert, ...]
    forgotten: tuple[str, ...]


class Board:
    """All open alerts of a gateway. `new_id` makes the id of an alert."""

    def __init__(self, new_id: Callable[[], str], open_max: int = OPEN_MAX) -> None:
        self._new_id = new_id
        self._open_max = open_max
        self._open: dict[Identity, Alert] = {}
        self._stored: dict[str, Alert] = {}
        self._ended: dict[str, Alert] = {}
        self._forgotten: set[str] = set()
        self._is_full = False

    @property
    def alerts(self) -> Collection[Alert]:
        """The open alerts, pending ones included."""
        return self._open.values()

    def knows(self, identity: Identity) -> bool:
        """Tell whether there is an open alert."""
        return identity in self._open

    def load(self, alerts: Iterable[Alert]) -> None:
        """Take what is stored; what began before it could be read goes on beside it."""
        for alert in alerts:
            self._open[alert.identity] = alert
            self._stored[alert.alert_id] = alert

    def clear(self) -> None:
        """Forget everything."""
        for part in (self._open, self._stored, self._ended, self._forgotten):
            part.clear()

    def found(self, judged: Iterable[Judged], now: float) -> list[Happened]:
        """Take what was found at `now`; return what happened by that."""
        happened: list[Happened] = []
        is_full = False
        for finding, summary, settings in judged:
            alert = self._open.get(finding.identity)
            has_room = alert is not None or len(self._open) < self._open_max
            if not has_room and not self._can_be_told_only(finding, settings):
                is_full = True
                continue
            if alert is None:
                alert = life.begun(self._new_id(), finding, summary, settings.severity, now)
            elif alert.severity is not settings.severity:
                alert = replace(alert, severity=settings.severity)
            self._take(alert, life.seen(alert, finding, summary, settings.patience, now), happened)
            if not has_room:
                self._take(alert, life.ended(self._open[finding.identity], now), happened)
        self._tell_full(is_full)
        return happened

    def missed(
        self, alerts: Iterable[Alert], settings_of: Callable[[Alert], RuleSettings], now: float
    ) -> list[Happened]:
        """Take that these open alerts were looked for at `now` and not found; of a rule that is off, they are over."""
        happened: list[Happened] = []
        for alert in alerts:
            settings = settings_of(alert)
            is_on = settings.is_enabled
            step = life.missed(alert, settings.patience, now) if is_on else life.ended(alert, now)
            self._take(alert, step, happened)
        return happened

    def unsaved(self) -> Unsaved:
        """Return what is to be stored."""
        changed = [alert for alert in self._open.values() if self._is_worth_storing(alert)]
        return Unsaved((*self._ended.values(), *changed), tuple(self._forgotten))

    def saved(self, unsaved: Unsaved) -> None:
        """Take note that this is stored."""
        for alert in unsaved.alerts:
            if alert.resolved_at is None:
                self._stored[alert.alert_id] = alert
            else:
                self._stored.pop(alert.alert_id, None)
                self._ended.pop(alert.alert_id, None)
        self._forgotten.difference_update(unsaved.forgotten)

    def _take(self, before: Alert, step: Step, happened: list[Happened]) -> None:
        alert, event = step
        if alert is None:
            self._forget(before)
        elif alert.resolved_at is None:
            self._open[alert.identity] = alert
        else:
            self._open.pop(alert.identity, None)
            self._keep_ended(alert)
        if alert is not None and event is not None:
            happened.append(Happened(alert, event))

    def _can_be_told_only(self, finding: Finding, settings: RuleSettings) -> bool:
        """Tell whether it is enough to tell of it: what is told once, and at once, need not stay open for that."""
        is_once = RULES[RuleName(finding.rule)].is_once
        is_at_once = not settings.patience.fire_after_seconds
        return is_once and is_at_once and len(self._ended) < ENDED_MAX

    def _forget(self, alert: Alert) -> None:
        self._open.pop(alert.identity, None)
        if self._stored.pop(alert.alert_id, None) is not None:
            self._forgotten.add(alert.alert_id)

    def _keep_ended(self, alert: Alert) -> None:
        self._ended[alert.alert_id] = alert
        if len(self._ended) > ENDED_MAX:
            lost = self._ended.pop(next(iter(self._ended)))
            _log.warning("%s is over and could not be stored: %s", lost.alert_id, lost.summary)

    def _is_worth_storing(self, alert: Alert) -> bool:
        stored = self._stored.get(alert.alert_id)
        if stored is None or alert.last_seen_at - stored.last_seen_at >= SEEN_SECONDS:
            return True
        return _essence(alert) != _essence(stored)

    def _tell_full(self, is_full: bool) -> None:
        if is_full and not self._is_full:
            _log.error("%d alerts are open; further ones wait until some are over", len(self._open))
        self._is_full = is_full


def _essence(alert: Alert) -> tuple[object, ...]:
    """Return what of an alert is stored at once when it changes."""
    return alert.fired_at, alert.absent_since, alert.severity, alert.occurrences
