"""Counts keys by what is due about them: those that expire soon, and those that should have been replaced.

Knows that a look is bounded: of a large store each look sees a part, and what is told is what the last round through
all of it found. It must not know who is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from heapq import heappush, heappushpop
from typing import Final

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.policies import DAY_SECONDS
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
    (epoch seconds), `overdue` counts those whose rotation is. All are 0 before `is_complete`: a round came to its end.
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
        self._after = ""
        self._counts = dict.fromkeys(WITHIN, 0)
        self._first: list[tuple[float, str]] = []  # a heap with the last of them at its top
        self._overdue = 0

    async def look(self) -> None:
        """See the next pages; a round that comes to its end is told. Raises `StoreUnavailable`."""
        for _ in range(PAGES_PER_LOOK):
            keys = await self._store.list_keys(after=self._after, limit=self._page)
            now = self._clock.now()
            for key in keys:
                self._see(key, now)
            if len(keys) < self._page:
                self._tell()
                return
            self._after = keys[-1].key_id
            await asyncio.sleep(0)

    def _see(self, key: KeyRecord, now: float) -> None:
        if key.state_at(now) in _ENDED:
            return
        if key.expires_at is not None and key.expires_at <= now + max(WITHIN.values()):
            for name, seconds in WITHIN.items():
                self._counts[name] += key.expires_at <= now + seconds
            if len(self._first) < NAMED_MAX:
                heappush(self._first, (-key.expires_at, key.key_id))
            else:
                heappushpop(self._first, (-key.expires_at, key.key_id))
        due = self._keyring().policies.rotation_due(key, now)
        self._overdue += due is not None and due <= now

    def _tell(self) -> None:
        self.expiring, self.overdue = self._counts, self._overdue
        self.expiries = {key_id: -earlier for earlier, key_id in self._first}
        self.is_complete = True
        self._begin()
