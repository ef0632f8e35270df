"""Looks at the records of keys: which end soon, and which should have been rotated.

Knows that a store may hold millions: what begins with time (a lead time, an age) is looked for where it begins, by an
index; what begins with a change, among the keys that were changed; and whatever else there may be, such as another
policy, in a round through all keys, of which each look sees some. It must not know when a key ends soon.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Final

from gateway.alerts.looking import Look, Round
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.lifetimes import expiring, rotation_overdue
from gateway.domain.alerts import Alert, Finding
from gateway.domain.keys import KeyRecord
from gateway.domain.policies import DAY_SECONDS, Policies
from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.ports import KeyStore

PAGE: Final = 200
"""Keys that are read at once: 2 ms, then others have their turn."""

KEYS_PER_ROUND: Final = 5_000
"""Keys of each kind that a look sees: those with which something begins, those that were changed, and those that are
next in the round through all. What it does not get to is seen by the next look, but for that of a store in which so
many were changed: they are found by the round."""

OPEN_PER_ROUND: Final = 500
"""Keys of open alerts that a look sees: 10 ms, and a round through as many as there may be is 20 minutes."""

BEFORE_SECONDS: Final = DAY_SECONDS
"""How far back the first look goes: whoever stood still for less than a day is late by that, and not by a round."""

_RULES: Final = frozenset({RuleName.EXPIRING, RuleName.ROTATION_OVERDUE})
_CREATED, _ENDS, _REVISION = "created_at", "expires_at", "revision"

Begins = tuple[str, float]
"""Something begins when this field of a key is so many seconds ahead of now (with a minus: behind)."""


@dataclass(slots=True)
class Reached:
    """How far looks have come: with what begins, by revision, in the round through all, and in that through the keys of
    open alerts.
    """

    begun: dict[Begins, Place] = field(default_factory=dict)
    revision: int | None = None
    key_id: str = ""
    open_key_id: str = ""


class LifetimesLook:
    """Reads the keys of `keys`, page by page."""

    def __init__(self, keys: KeyStore, keys_per_round: int = KEYS_PER_ROUND) -> None:
        self._keys = keys
        self._keys_per_round = keys_per_round
        self._reached = Reached()

    async def look(self, this: Round) -> Look:
        """Return what is found. Raises `StoreUnavailable`; then the next look sees the same."""
        reached, seen = replace(self._reached, begun={}), dict[str, KeyRecord]()
        for begins in _beginnings(this.settings.policies):
            behind, until = self._span(begins, this.now)
            keys = await self._sorted(begins[0], behind, until)
            is_all = len(keys) < self._keys_per_round
            reached.begun[begins] = until if is_all else _place(keys[-1], begins[0])
            seen |= {key.key_id: key for key in keys}
        reached.revision = await self._keys.revision()
        seen |= {key.key_id: key for key in await self._changed(reached.revision)}
        open_ids = self._open_ids(this)
        reached.open_key_id = open_ids[-1] if len(open_ids) == OPEN_PER_ROUND else ""
        seen |= await self._keys.get_keys(open_ids)
        apart = frozenset((*seen, *open_ids))
        next_keys, is_end = await self._next()
        seen |= {key.key_id: key for key in next_keys}
        first, last = self._reached.key_id, next_keys[-1].key_id if next_keys else ""
        reached.key_id = "" if is_end else last

        def judges(alert: Alert) -> bool:
            is_passed = alert.key_id > first and (is_end or alert.key_id <= last)
            return alert.rule in _RULES and (is_passed or alert.key_id in apart)

        def taken() -> None:
            self._reached = reached

        findings: list[Finding] = []
        for count, key in enumerate(seen.values(), 1):
            findings += _found(key, this)
            if count % PAGE == 0:
                await asyncio.sleep(0)
        records = {each.key_id: seen[each.key_id] for each in findings}
        return Look(findings=findings, judges=judges, records=records, taken=taken)

    def _span(self, begins: Begins, now: float) -> tuple[Place, Place]:
        """Return between which places of the list stand the keys with which it has begun since the last look."""
        _, ahead = begins
        earliest = Place(now - BEFORE_SECONDS + ahead, "")
        behind = max(self._reached.begun.get(begins, earliest), earliest)
        return behind, Place(math.nextafter(now + ahead, math.inf), "")

    async def _changed(self, revision: int) -> list[KeyRecord]:
        """Read the keys that were changed since the last look."""
        before = self._reached.revision
        if before is None or before >= revision:
            return []
        return await self._sorted(_REVISION, Place(before + 1, ""), Place(revision + 1, ""))

    def _open_ids(self, this: Round) -> list[str]:
        """Return the next keys of which an alert is open: by being found again it fires, or not, and then it ends."""
        ids = frozenset[str]().union(*(this.open_keys.get(rule, ()) for rule in _RULES))
        return nsmallest(OPEN_PER_ROUND, (each for each in ids if each > self._reached.open_key_id))

    async def _sorted(self, field: str, behind: Place, until: Place) -> list[KeyRecord]:
        """Read keys between two places of the list by `field`, as many as a look sees."""
        found: list[KeyRecord] = []
        while (limit := min(PAGE, self._keys_per_round - len(found))) > 0:
            sort = Sort(field=field, value=behind.value)
            query = KeyQuery(sort=sort, until=until, with_hidden=True)
            page = await self._keys.list_keys(query, after=behind.record_id, limit=limit)
            found += page
            if len(page) < limit:
                break
            behind = _place(page[-1], field)
        return found

    async def _next(self) -> tuple[list[KeyRecord], bool]:
        """Read the next keys of the round through all, and tell whether it has come to its end."""
        found: list[KeyRecord] = []
        last = self._reached.key_id
        while (limit := min(PAGE, self._keys_per_round - len(found))) > 0:
            page = await self._keys.list_keys(after=last, limit=limit)
            found += page
            if len(page) < limit:
                return found, True
            last = page[-1].key_id
        return found, False


def _place(key: KeyRecord, field: str) -> Place:
    return Place(getattr(key, field), key.key_id)


def _beginnings(policies: Policies) -> Collection[Begins]:
    """Return everything that begins with time."""
    ends = [(_ENDS, lead) for lead in policies.rules.reminders]
    ages = [(_CREATED, -rule.every_seconds) for rule in policies.rules.rotation]
    return [*dict.fromkeys((*ends, *ages))]


def _found(record: KeyRecord, this: Round) -> Iterator[Finding]:
    policies = this.settings.policies
    ends = this.rule(RuleName.EXPIRING, record.tenant_id)
    overdue = this.rule(RuleName.ROTATION_OVERDUE, record.tenant_id)
    if ends.is_enabled and record.expires_at is not None:
        yield from expiring(record, policies.rules.reminders, ends, this.now)
    if overdue.is_enabled and policies.rules.rotation:
        yield from rotation_overdue(record, policies, overdue, this.now)
