"""One round of alerts: look, judge, store, tell.

Knows the order, and what goes on without the store: that it is down must be told all the same, so what could not be
stored about the gateway itself is handed to the channels at once. It must not know what a rule looks for, nor how a
channel carries anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gateway.alerts.board import OPEN_MAX, Board, Happened, Judged
from gateway.alerts.duty import ALL, Duty, node_of
from gateway.alerts.health import HealthLook
from gateway.alerts.looking import Look, Round, read_keys
from gateway.alerts.settings import AlertSettings
from gateway.alerts.tenants import OwnSettings
from gateway.domain.alert_messages import Notice, told
from gateway.domain.alert_rules.catalogue import RULES, RuleInfo, RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import AT_ONCE, Alert, AlertEvent, Finding, Identity
from gateway.domain.change import Actor, Change, ChangeType
from gateway.domain.keys import KeyRecord
from gateway.ports import AlertStore, Clock, Conflict, KeyStore, StoreUnavailable

SYSTEM: Final = Actor(kind="system", name="alerts")

WAITING_MAX: Final = 10_000
"""Events that wait for a store that does not answer; more than that would be told to nobody anyhow."""

_log = logging.getLogger(__name__)

_EVENTS: Final = {
    AlertEvent.FIRED: ChangeType.ALERT_FIRED,
    AlertEvent.RESOLVED: ChangeType.ALERT_RESOLVED,
}


class Looks(Protocol):
    """Looks at one thing."""

    async def look(self, this: Round) -> Look: ...


class Teller(Protocol):
    """Who tells: of what waits in the store, and of what could not be put there."""

    def wake(self, channels: Iterable[str]) -> None:
        """There is something to tell for these channels."""
        ...

    def tell_now(self, notices: Sequence[Notice]) -> None:
        """Tell of these, which no store holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """What is looked at: `of_keys` needs the store, `health` does not."""

    of_keys: Sequence[Looks]
    health: HealthLook


class Evaluator:
    """Goes through all rules, once a round; of several gateways each goes through those that are its `duty`."""

    def __init__(
        self,
        *,
        settings: Callable[[], AlertSettings],
        eyes: Eyes,
        keys: KeyStore,
        alerts: AlertStore,
        board: Board,
        teller: Teller,
        clock: Clock,
        duty: Callable[[], Duty] = lambda: ALL,
    ) -> None:
        self._settings = settings
        self._eyes = eyes
        self._duty = duty
        self._under = duty()  # which duty the board was read for
        self._keys = keys
        self._alerts = alerts
        self._board = board
        self._teller = teller
        self._clock = clock
        self._own = OwnSettings(keys)
        self._is_loaded = False
        self._waiting: list[Happened] = []  # what is not stored yet
        self._handed: set[tuple[str, AlertEvent]] = set()  # what of it is told already
        self._fault = ""  # why the last round could not be stored
        self.looked_at = 0.0
        self.firing: Mapping[str, int] = dict.fromkeys(map(str, RuleName), 0)

    async def look(self) -> None:
        """Go through all rules. Raises `StoreUnavailable`, after all was done that can be done without the store."""
        settings = self._settings()
        now = self._clock.now()
        fault: StoreUnavailable | None = None
        this = Round(now=now, settings=settings, own={})
        if self._fault:
            # A store that did not answer keeps whoever asks it waiting: what does not need it is told before.
            await self._look_at_health(this, self._fault)
            self._hand_over(settings)
        try:
            this = await self._begin(settings, now)
            for eye in self._eyes.of_keys if settings.is_enabled and self._under.leads else ():
                await self._take(await eye.look(this), this)
        except StoreUnavailable as error:
            fault = error
        await self._look_at_health(this, self._fault if fault is None else str(fault))
        try:
            await self._store(this, fault)
        except StoreUnavailable as error:
            fault = error
        self.firing = self._counted()
        if fault is not None:
            raise fault
        self.looked_at = now

    async def _begin(self, settings: AlertSettings, now: float) -> Round:
        duty = self._duty()
        if self._is_loaded and duty != self._under:
            await self._commit(settings)
            self._board.clear()
            self._is_loaded = False
        if not self._is_loaded:
            found = await self._alerts.open_alerts(OPEN_MAX)
            known = [alert for alert in found if alert.rule in set(RuleName)]
            self._board.load(filter(duty.covers, known))
            self._is_loaded, self._under = True, duty
        own = await self._own.under(settings.book)
        return Round(now=now, settings=settings, own=own, open_keys=self._open_keys())

    def _open_keys(self) -> Mapping[RuleName, frozenset[str]]:
        by_rule: dict[RuleName, set[str]] = {}
        for alert in self._board.alerts:
            if alert.key_id:
                by_rule.setdefault(RuleName(alert.rule), set()).add(alert.key_id)
        return {name: frozenset(keys) for name, keys in by_rule.items()}

    def _counted(self) -> Mapping[str, int]:
        counts = dict.fromkeys(map(str, RuleName), 0)
        for alert in self._board.alerts:
            if alert.fired_at is not None:
                counts[alert.rule] += 1
        return counts

    # ---- judging

    async def _look_at_health(self, this: Round, fault: str) -> None:
        if this.settings.is_enabled:
            await self._take(await self._eyes.health.look(this, fault), this)
            return
        open_alerts = [*self._board.alerts]
        self._waiting += self._board.missed(
            open_alerts, lambda alert: replace(_rule_of(alert, this), is_enabled=False), this.now
        )

    async def _take(self, look: Look, this: Round) -> None:
        judged = await self._judged(look, this)
        found = {each.finding.identity for each in judged}
        missed = [
            alert
            for alert in self._board.alerts
            if alert.identity not in found and look.judges(alert)
        ]
        self._waiting += self._board.found(judged, this.now)
        self._waiting += self._board.missed(
            missed, lambda alert: _missed_by(_rule_of(alert, this), look.is_over(alert)), this.now
        )
        look.taken()

    async def _judged(self, look: Look, this: Round) -> list[Judged]:
        records = await self._records(look)
        again = await self._told_before(look.findings)
        judged: list[Judged] = []
        for finding in look.findings:
            settings = this.rule(RuleName(finding.rule), finding.tenant_id)
            record = records.get(finding.key_id)
            is_left_alone = record is not None and not set(settings.except_tags).isdisjoint(
                record.tags
            )
            if not is_left_alone and finding.identity not in again:
                judged.append(Judged(finding, _summary(finding, record), settings))
        return judged

    async def _records(self, look: Look) -> dict[str, KeyRecord]:
        records = dict(look.records)
        wanted = [each.key_id for each in look.findings if each.key_id]
        return records | await read_keys(
            self._keys, (each for each in wanted if each not in records)
        )

    async def _told_before(self, findings: Iterable[Finding]) -> Collection[Identity]:
        """Return which of those that are told once only were told before, and are not open."""
        once = [
            each.identity
            for each in findings
            if RULES[RuleName(each.rule)].is_once and not self._board.knows(each.identity)
        ]
        return await self._alerts.told(once) if once else ()

    # ---- storing and telling

    async def _store(self, this: Round, found: StoreUnavailable | None) -> None:
        try:
            if self._fault and found is not None:
                raise found  # it still does not answer: asking it once more would only take time
            await self._commit(this.settings)
        except StoreUnavailable as error:
            fault = str(error)
        else:
            self._fault = ""
            return
        if not self._fault:
            await self._look_at_health(this, fault)
        self._fault = fault
        self._hand_over(this.settings)
        del self._waiting[:-WAITING_MAX]
        raise StoreUnavailable(fault)

    async def _commit(self, settings: AlertSettings) -> None:
        unsaved, happened = self._board.unsaved(), self._waiting
        if not (unsaved.alerts or unsaved.forgotten or happened):
            return
        untold = [each for each in happened if _sign(each) not in self._handed]
        notices = [notice for each in untold for notice in _notices(each, settings)]
        changes = [change for each in happened for change in _changes(each)]
        try:
            await self._alerts.commit(unsaved.alerts, notices, changes, unsaved.forgotten)
        except Conflict as error:
            # Somebody else evaluates as well, or the store was put back: what it holds counts.
            _log.error("alerts were changed by somebody else, and are read again: %s", error)
            self._board.clear()
            self._is_loaded = False
            notices = []
        else:
            self._board.saved(unsaved)
        self._waiting = []
        self._handed.clear()
        self._teller.wake({notice.channel for notice in notices})

    def _hand_over(self, settings: AlertSettings) -> None:
        """Tell at once what concerns the gateway itself: no store holds it."""
        for each in self._waiting:
            if _sign(each) not in self._handed and not _info(each.alert).is_of_tenant:
                self._handed.add(_sign(each))
                self._teller.tell_now([*_notices(each, settings)])


def _changes(happened: Happened) -> Iterable[Change]:
    alert, event = happened
    at = alert.resolved_at if event is AlertEvent.RESOLVED else alert.fired_at
    told_as = {
        "rule": str(alert.rule),
        "severity": alert.severity.value,
        "subject": alert.subject,
        "summary": alert.summary,
    }
    yield _change(alert, _EVENTS[event], at, told_as)
    if alert.rule == RuleName.EXPIRING and event is AlertEvent.FIRED:
        yield _change(alert, ChangeType.KEY_EXPIRY_NOTIFIED, at, alert.details)


def _change(
    alert: Alert, event: ChangeType, at: float | None, after: Mapping[str, object]
) -> Change:
    return Change(
        type=event,
        actor=SYSTEM,
        tenant_id=alert.tenant_id,
        key_id=alert.key_id,
        subject_id=alert.alert_id,
        after=after,
        at=at or alert.last_seen_at,
    )


def _notices(happened: Happened, settings: AlertSettings) -> Iterable[Notice]:
    alert, event = happened
    if event is AlertEvent.RESOLVED and not _info(alert).tells_end:
        return
    for channel in settings.book[RuleName(alert.rule)].channels:
        terms = settings.channels.get(channel)
        if terms is not None and terms.wants(alert, event):
            yield Notice(channel=channel, content=told(alert, event))


def _sign(happened: Happened) -> tuple[str, AlertEvent]:
    return happened.alert.alert_id, happened.event


def _info(alert: Alert) -> RuleInfo:
    return RULES[RuleName(alert.rule)]


def _rule_of(alert: Alert, this: Round) -> RuleSettings:
    return this.rule(RuleName(alert.rule), alert.tenant_id)


def _missed_by(rule: RuleSettings, is_over: bool) -> RuleSettings:
    return replace(rule, patience=AT_ONCE) if is_over else rule


def _summary(finding: Finding, record: KeyRecord | None) -> str:
    """Return the sentence for people: who, and what is the matter."""
    if finding.key_id:
        name = f'"{record.name}" ' if record is not None else ""
        return f"Key {name}({finding.key_id}) of {finding.tenant_id} {finding.text}"
    if finding.tenant_id:
        return f"Tenant {finding.tenant_id} {finding.text}"
    return f"The gateway {node_of(finding.details)}".rstrip() + f" {finding.text}"
