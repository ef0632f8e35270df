"""Looks at what keys did in the last minutes: the rules about usage.

Knows which window each rule looks at, and that of more keys than fit into an answer those with the most of what the
rule is about are judged. It must not know what a rule makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from gateway.alerts.baselines import Baselines
from gateway.alerts.failures import FailedNetworks
from gateway.alerts.looking import Look, Round, read_keys
from gateway.domain.alert_rules import traffic
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Finding
from gateway.domain.keys import KeyRecord
from gateway.domain.usage import OTHER, FacetKind, FacetQuery, Interval, UsageQuery, UsageRow
from gateway.ports import KeyStore, UsageStore

SHORT_SECONDS: Final = 300.0
"""What "now" means for limits, failed authentications, and use outside business hours."""

LONG_SECONDS: Final = 900.0
"""What "now" means for the others: fewer requests are needed to say something."""

HOUR_SECONDS: Final = 3_600.0

ROWS_MAX: Final = 1_000
"""Keys that one question is answered for: those with the most of what is asked for."""

HELD_MAX: Final = 200
"""Revoked and suspended keys that are told of in one round: from where each is used is a question of its own."""

NETWORKS_TOLD_MAX: Final = 5

UNPLACED_SECONDS: Final = 15.0
"""How long the use of a revoked key waits for the networks it came from: they are written later than that it was."""

MINUTES_MAX: Final = 10_000
"""Minutes of keys that are judged by business hours."""

RULES: Final = frozenset(
    {
        RuleName.APPROACHING_LIMIT,
        RuleName.UNUSUAL_VOLUME,
        RuleName.AUTH_FAILURES,
        RuleName.HIGH_ERROR_RATE,
        RuleName.AFTER_HOURS,
        RuleName.REVOKED_USED,
        RuleName.CLIENT_SIDE,
        RuleName.UNEXPECTED_ENVIRONMENT,
    }
)
"""What is judged here. `UNEXPECTED_ADDRESS` is, too, in part: see `places`."""

_Rule = Callable[[UsageRow, RuleSettings], Iterator[Finding]]

_KEYS: Final = ("owner", "key")


class TrafficLook:
    """Asks `usage`, and what else it takes to understand the answer; `keys` tells which of them work again."""

    def __init__(
        self, usage: UsageStore, keys: KeyStore, baselines: Baselines, networks: FailedNetworks
    ) -> None:
        self._usage = usage
        self._keys = keys
        self._baselines = baselines
        self._networks = networks
        self._unplaced: dict[
            str, float
        ] = {}  # revoked keys in use from nobody knows where, since when

    async def look(self, this: Round) -> Look:
        """Return what is found. Raises `StoreUnavailable`."""
        found: list[Finding] = []
        found += await self._limits(this)
        found += await self._failures(this)
        refused = await self._rows(this.now - LONG_SECONDS, this, "denied")
        held = [row for row in refused if _is_key(row) and traffic.is_held(row)][:HELD_MAX]
        records = await self._stopped(held, this)
        found += _judged(
            refused, this, RuleName.UNEXPECTED_ENVIRONMENT, traffic.unexpected_environment
        )
        found += await self._still_used(held, records, this)
        for rule, order, judge in (
            (RuleName.HIGH_ERROR_RATE, "errors", traffic.high_error_rate),
            (RuleName.CLIENT_SIDE, "from_browser", traffic.client_side),
        ):
            rows = await self._rows(this.now - LONG_SECONDS, this, order)
            found += _judged(rows, this, rule, judge)
        found += await self._volume(this)
        found += await self._after_hours(this)
        return Look(
            findings=found,
            judges=lambda alert: alert.rule in RULES,
            is_over=lambda alert: traffic.is_past(alert, records.get(alert.key_id), this.now),
            records=records,
        )

    async def refused_addresses(self, this: Round) -> list[Finding]:
        """Return the keys that were refused because of their address."""
        rows = await self._rows(this.now - LONG_SECONDS, this, "denied")
        return [*_judged(rows, this, RuleName.UNEXPECTED_ADDRESS, traffic.refused_address)]

    async def _limits(self, this: Round) -> Iterable[Finding]:
        rule, judge = RuleName.APPROACHING_LIMIT, traffic.approaching_limit
        now = await self._rows(this.now - SHORT_SECONDS, this, "limit_used_max")
        # A quota lasts, also while nobody draws on it; those that begin anew do so with the day, or within it.
        today = Interval.DAY.start_of(this.now)
        since_midnight = await self._rows(today, this, "quota_used_max", Interval.HOUR)
        return (
            *(each for each in _judged(now, this, rule, judge) if each.subject == "rate"),
            *(
                each
                for each in _judged(since_midnight, this, rule, judge)
                if each.subject == "quota"
            ),
        )

    async def _failures(self, this: Round) -> list[Finding]:
        rule = RuleName.AUTH_FAILURES
        rows = await self._rows(this.now - SHORT_SECONDS, this, "denied")
        found = [*_judged(rows, this, rule, traffic.auth_failures_of_key)]
        by_owner = sorted(filter(_is_key, rows), key=lambda row: row.owner_id or "")
        for owner, of_owner in groupby(by_owner, key=lambda row: row.owner_id or ""):
            settings = this.rule(rule, owner)
            if settings.is_enabled:
                found += traffic.auth_failures_of_tenant(owner, of_owner, settings)
        settings = this.settings.book[rule]
        unknown = sum(
            traffic.failures(row, traffic.UNKNOWN_FAILURES) for row in rows if not row.key_id
        )
        if settings.is_enabled and unknown >= settings["per_network"]:
            placed = await self._networks.since(this.now - SHORT_SECONDS)
            unplaced = self._networks.unplaced(unknown, placed)
            found += traffic.auth_failures_of_networks(placed or {}, settings, unplaced)
        return found

    async def _stopped(self, held: Iterable[UsageRow], this: Round) -> dict[str, KeyRecord]:
        """Return the keys that are told of, or were, because somebody used them after they were stopped."""
        told = this.open_keys.get(RuleName.REVOKED_USED, frozenset())
        return await read_keys(self._keys, (*(row.key_id or "" for row in held), *told))

    async def _still_used(
        self, held: Iterable[UsageRow], records: Mapping[str, KeyRecord], this: Round
    ) -> list[Finding]:
        found: list[Finding] = []
        unplaced: dict[str, float] = {}
        for row in held:
            settings = this.rule(RuleName.REVOKED_USED, row.owner_id or "")
            if settings.is_enabled:
                key_id = row.key_id or ""
                networks = await self._whence(key_id, this.now)
                if not networks:
                    unplaced[key_id] = self._unplaced.get(key_id, this.now)
                if networks or this.now - unplaced[key_id] >= UNPLACED_SECONDS:
                    record = records.get(key_id)
                    found += (
                        each
                        for each in traffic.still_used(row, settings, networks)
                        if not traffic.is_past(each, record, this.now)
                    )
        self._unplaced = unplaced
        return found

    async def _whence(self, key_id: str, now: float) -> list[str]:
        """Return the networks that use a key just now, those with the most requests of this hour first."""
        since = Interval.MINUTE.start_of(now - LONG_SECONDS)
        rows = await self._usage.facets(
            FacetQuery(
                kind=FacetKind.NETWORK,
                since=Interval.HOUR.start_of(since),
                until=now + 1,
                key_id=key_id,
                limit=ROWS_MAX,
            )
        )
        recent = (row.value for row in rows if row.last_at >= since)
        return [value for value in recent if value not in ("", OTHER)][:NETWORKS_TOLD_MAX]

    async def _volume(self, this: Round) -> list[Finding]:
        rule = RuleName.UNUSUAL_VOLUME
        found: list[Finding] = []
        for row in await self._rows(this.now - HOUR_SECONDS, this, "requests"):
            settings = this.rule(rule, row.owner_id or "")
            is_many = row.measures.requests >= settings["requests_min"]
            if _is_key(row) and settings.is_enabled and is_many:
                baseline = await self._baselines.of(row.key_id or "", this.now)
                found += traffic.unusual_volume(row, settings, baseline, this.now)
        return found

    async def _after_hours(self, this: Round) -> list[Finding]:
        since = Interval.MINUTE.start_of(this.now - SHORT_SECONDS)
        moments = range(since, int(this.now) + 1, Interval.MINUTE.seconds)
        closed = {
            tenant_id: own.hours
            for tenant_id, own in this.own.items()
            if own.hours is not None
            and this.rule(RuleName.AFTER_HOURS, tenant_id).is_enabled
            and not all(map(own.hours.is_open, moments))
        }
        if not closed:
            return []
        query = UsageQuery(
            since=since,
            until=this.now + 1,
            interval=Interval.MINUTE,
            group_by=("owner", "key", "time"),
            limit=MINUTES_MAX,
        )
        rows = filter(_is_key, await self._usage.cells(query))
        found: list[Finding] = []
        for (owner, _), minutes in groupby(rows, key=lambda row: (row.owner_id, row.key_id)):
            hours = closed.get(owner or "")
            if hours is not None:
                settings = this.rule(RuleName.AFTER_HOURS, owner or "")
                found += traffic.after_hours(minutes, hours, settings)
        return found

    async def _rows(
        self, since: float, this: Round, order: str, interval: Interval = Interval.MINUTE
    ) -> list[UsageRow]:
        query = UsageQuery(
            since=interval.start_of(since),
            until=this.now + 1,
            interval=interval,
            group_by=_KEYS,
            order_by=order,
            limit=ROWS_MAX,
        )
        return await self._usage.cells(query)


def _judged(
    rows: Iterable[UsageRow], this: Round, rule: RuleName, judge: _Rule
) -> Iterator[Finding]:
    for row in rows:
        settings = this.rule(rule, row.owner_id or "")
        if _is_key(row) and settings.is_enabled:
            yield from judge(row, settings)


def _is_key(row: UsageRow) -> bool:
    """Tell whether a row is about one key, and not about requests without any or about all others together."""
    return row.key_id not in (None, "", OTHER)
