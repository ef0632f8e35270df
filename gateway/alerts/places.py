"""Looks at from where keys are used.

Knows how to remember the networks of keys, so that the store is asked for the past of a key once. It must not know when
a network is unexpected.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from gateway.alerts.looking import Look, Round
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.places import NEW_SECONDS, Seen, unexpected_networks
from gateway.domain.alerts import Finding
from gateway.domain.usage import OTHER, FacetKind, FacetQuery, FacetRow, Interval
from gateway.ports import KeyStore, UsageStore

PAST_SECONDS: Final = 30 * 86_400.0
"""How long a network belongs to a key that it is not used from; usage is kept so long by default."""


class Bounds(NamedTuple):
    """How much is remembered: networks of so many keys, those that were used last (about 1 KB each), so many of one.

    In one round so many networks of keys are looked at, and the past of so many keys is read; the others have their
    turn in the next.
    """

    keys: int = 20_000
    networks: int = 256
    rows: int = 10_000
    histories: int = 500


DEFAULT: Final = Bounds()

_RULE: Final = RuleName.UNEXPECTED_ADDRESS


class _Place:
    """The networks of one key, and whose key it is."""

    __slots__ = ("networks", "newest", "room", "tenant_id")

    def __init__(self, tenant_id: str, room: int) -> None:
        self.tenant_id = tenant_id
        self.room = room
        self.networks: dict[str, Seen] = {}
        self.newest = 0.0

    def add(self, row: FacetRow) -> None:
        seen = self.networks.get(row.value)
        if seen is not None:
            first, last = min(seen.first_at, row.first_at), max(seen.last_at, row.last_at)
            self.networks[row.value] = Seen(first, last)
        elif len(self.networks) < self.room:
            self.networks[row.value] = Seen(row.first_at, row.last_at)
            self.newest = max(self.newest, row.first_at)


class PlacesLook:
    """Asks `usage` for the networks of keys; `refused` returns the keys that an address list kept out."""

    def __init__(
        self,
        usage: UsageStore,
        keys: KeyStore,
        refused: Callable[[Round], Awaitable[list[Finding]]],
        bounds: Bounds = DEFAULT,
    ) -> None:
        self._usage = usage
        self._keys = keys
        self._refused = refused
        self._bounds = bounds
        self._known: OrderedDict[str, _Place] = OrderedDict()
        self._looked_at = 0.0

    async def look(self, this: Round) -> Look:
        """Return what is found. Raises `StoreUnavailable`."""
        rows = await self._recent(this)
        missing = [key_id for key_id in rows if key_id not in self._known]
        # After a restart nothing is remembered: what is open is looked at first, or it would seem to be over.
        urgent = [each for each in this.open_keys.get(_RULE, ()) if each not in self._known]
        await self._learn([*urgent, *missing][: self._bounds.histories], this)
        for key_id, found in rows.items():
            place = self._known.get(key_id)
            if place is not None:
                self._known.move_to_end(key_id)
                for row in found:
                    place.add(row)
        self._forget(this)
        self._looked_at = this.now
        known = self._known
        return Look(
            findings=[*self._findings(this), *await self._refused(this)],
            judges=lambda alert: (
                alert.rule == _RULE and (alert.subject == "refused" or alert.key_id in known)
            ),
        )

    async def _recent(self, this: Round) -> dict[str, list[FacetRow]]:
        """Return what was seen since the last look, by key."""
        since = max(self._looked_at - Interval.HOUR.seconds, this.now - NEW_SECONDS)
        rows = await self._usage.facets(
            FacetQuery(
                kind=FacetKind.NETWORK,
                since=Interval.HOUR.start_of(since),
                until=this.now + 1,
                by_key=True,
                limit=self._bounds.rows,
            )
        )
        by_key: dict[str, list[FacetRow]] = {}
        for row in rows:
            if row.key_id and row.key_id != OTHER:
                by_key.setdefault(row.key_id, []).append(row)
        return by_key

    async def _learn(self, key_ids: list[str], this: Round) -> None:
        records = await self._keys.get_keys(key_ids) if key_ids else {}
        for key_id, record in records.items():
            place = _Place(record.tenant_id, self._bounds.networks)
            rows = await self._usage.facets(
                FacetQuery(
                    kind=FacetKind.NETWORK,
                    since=this.now - PAST_SECONDS,
                    until=this.now + 1,
                    key_id=key_id,
                    limit=self._bounds.networks,
                )
            )
            for row in rows:
                place.add(row)
            self._known[key_id] = place

    def _findings(self, this: Round) -> Iterable[Finding]:
        for key_id, place in self._known.items():
            settings = this.rule(_RULE, place.tenant_id)
            if settings.is_enabled and this.now - place.newest < NEW_SECONDS:
                yield from unexpected_networks(
                    place.tenant_id, key_id, place.networks, settings, this.now
                )

    def _forget(self, this: Round) -> None:
        while len(self._known) > self._bounds.keys:
            self._known.popitem(last=False)
        border = this.now - PAST_SECONDS
        for place in self._known.values():
            if len(place.networks) >= place.room:
                old = [name for name, seen in place.networks.items() if seen.last_at < border]
                for name in old:
                    del place.networks[name]
