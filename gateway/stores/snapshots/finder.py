"""Finds keys in a snapshot while the store does not answer.

Knows that a key which the snapshot has is answered by it, and that any other is not known to exist or not: that is no
answer, and never a pass. It must not know how long a snapshot may be believed, but asks each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from gateway.domain.key_snapshots import Moment, doubt
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import KeyFinder, StoreUnavailable
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Unusable

T = TypeVar("T")


class KnownKeys:
    """Implements `ports.KeyFinder` over `snapshot`, while it is younger than `age_max` says (seconds)."""

    def __init__(
        self, snapshot: Snapshot, moment: Callable[[], Moment], age_max: Callable[[], float]
    ) -> None:
        self._snapshot = snapshot
        self._moment = moment
        self._age_max = age_max
        self._turn = asyncio.Lock()

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests`. Raises `StoreUnavailable` when it is not known here."""
        return await self._known(lambda: self._snapshot.key(digests))

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant. Raises `StoreUnavailable` when it is not known here."""
        return await self._known(lambda: self._snapshot.tenant(tenant_id))

    async def why_not(self) -> str:
        """Say why nobody can be served by the snapshot now; empty when known keys can."""
        try:
            async with self._turn:
                await asyncio.to_thread(self._refresh)
        except Unusable as error:
            return str(error)
        return ""

    async def _known(self, look: Callable[[], T | None]) -> T:
        def looked() -> T | None:
            self._refresh()
            return look()

        try:
            async with self._turn:
                found = await asyncio.to_thread(looked)
        except Unusable as error:
            raise StoreUnavailable(f"snapshot {self._snapshot.path}: {error}") from error
        if found is None:
            raise StoreUnavailable("the snapshot does not know it")
        return found

    def _refresh(self) -> None:
        why = doubt(self._snapshot.refresh(), self._moment(), self._age_max())
        if why:
            raise Unusable(why)

    async def close(self) -> None:
        """Let go of the files."""
        async with self._turn:
            await asyncio.to_thread(self._snapshot.close)


class Watched(KeyFinder, Protocol):
    """A finder of which it is known whether it answered last."""

    is_up: bool


class ReservedKeys:
    """Implements `ports.KeyFinder` over a store and, while that does not answer, what is `known` of it."""

    def __init__(self, store: Watched, known: KeyFinder) -> None:
        self._store = store
        self._known = known

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests`, None when the store has none. Raises `StoreUnavailable`."""
        return await self._ask(lambda finder: finder.find(digests))

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, None when the store has none. Raises `StoreUnavailable`."""
        return await self._ask(lambda finder: finder.get_tenant(tenant_id))

    async def _ask(self, ask: Callable[[KeyFinder], Awaitable[T]]) -> T:
        if not self._store.is_up:
            # Nobody waits for the store's time limit before a known key is served.
            with suppress(StoreUnavailable):
                return await ask(self._known)
        try:
            return await ask(self._store)
        except StoreUnavailable as error:
            reason = error
        try:
            return await ask(self._known)
        except StoreUnavailable:
            raise reason from None
