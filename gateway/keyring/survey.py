"""Counts keys by what is due about them: those that expire soon, and those that should have been replaced.

Knows that those that expire soon are found by an index, and that which keys should have been replaced is up to the
policies: each look sees a part of those that are old enough, and what is told is what the last round through all of
them found. It must not know who is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.policies import DAY_SECONDS
from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.keyring.door import Keyring
from gateway.ports import Clock, KeyStore

WITHIN: Final[Mapping[str, float]] = {
    "1d": DAY_SECONDS,
    "7d": 7 * DAY_SECONDS,
    "30d": 30 * DAY_SECONDS,
}
"""The times from now within which expiring keys are counted."""

NAMED_MAX: Final = 100
"""Keys that are named, those that expire first: one series each."""

PAGE: Final = 300
"""Keys that are read together: some 8 ms of the event loop."""

PAGES_PER_LOOK: Final = 30
"""Pages of one look: with a look every 15 s, 1 % of a core while there are more keys than that."""

_ENDED: Final = frozenset({KeyState.REVOKED, KeyState.EXPIRED})


class Survey:
    """What is due, by the keyring in force. `expiring` counts keys by `WITHIN`, `expiries` says when which key expires
    (epoch seconds), `overdue` counts those whose rotation is: 0 before `is_complete`, when a round came to its end.
    """

    def __init__(
        self, keyring: Callable[[], Keyring], store: KeyStore, clock: Clock, *, page: int = PAGE
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._page = page
        self._begin()
        self.expiring: Mapping[str, int] = dict.fromkeys(WITHIN, 0)
        self.expiries: Mapping[str, float] = {}
        self.overdue = 0
        self.is_complete = False

    def _begin(self) -> None:
        self._after = Place(None, "")
        self._overdue = 0

    async def look(self) -> None:
        """Count what expires, and see the next pages of what is old. Raises `StoreUnavailable`."""
        await self._look_ahead()
        ages = [rule.every_seconds for rule in self._keyring().policies.rules.rotation]
        for _ in range(PAGES_PER_LOOK):
            keys = await self._older_than(min(ages)) if ages else []
            now = self._clock.now()
            for key in keys:
                due = self._keyring().policies.rotation_due(key, now)
                self._overdue += due is not None and due <= now
            if len(keys) < self._page:
                self.overdue, self.is_complete = self._overdue, True
                self._begin()
                return
            self._after = Place(keys[-1].created_at, keys[-1].key_id)
            await asyncio.sleep(0)

    async def _look_ahead(self) -> None:
        now = self._clock.now()
        counts = await self._store.count_expiring(now, [now + within for within in WITHIN.values()])
        self.expiring = dict(zip(WITHIN, counts, strict=True))
        named: dict[str, float] = {}
        place, end = Place(now, ""), Place(now + max(WITHIN.values()), "")
        for _ in range(PAGES_PER_LOOK):
            keys = await self._sorted("expires_at", place, end)
            for key in keys:
                if key.expires_at is not None and key.state_at(now) not in _ENDED:
                    named[key.key_id] = key.expires_at
            if len(keys) < self._page or len(named) >= NAMED_MAX:
                break
            place = Place(keys[-1].expires_at, keys[-1].key_id)
        self.expiries = dict([*named.items()][:NAMED_MAX])

    async def _older_than(self, age: float) -> list[KeyRecord]:
        return await self._sorted("created_at", self._after, Place(self._clock.now() - age, "~"))

    async def _sorted(self, field: str, behind: Place, until: Place) -> list[KeyRecord]:
        """Return a page of keys between two places of the list by `field`."""
        query = KeyQuery(sort=Sort(field=field, value=behind.value), until=until)
        return await self._store.list_keys(query, after=behind.record_id, limit=self._page)
