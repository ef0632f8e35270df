"""Measures a key store from outside: how long each operation took, and whether the store answers at
all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import ANY_KEY, NOTHING, KeyQuery, Place, Sort, Wanted
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, KeyFinder, KeyStore, R, Record, StoreUnavailable, Write
from gateway.stores.records import Records

T = TypeVar("T")

REFUSAL_SECONDS: Final = 60.0
"""How long a store that refused a write counts as down although it can be read, if nobody tries again meanwhile."""

_WRITING: Final = frozenset({"commit", "remember", "settle", "touch", "load_counts", "save_counts"})


class ObservedFinder:
    """Implements `ports.KeyFinder` around another one. `observe` takes the operation's name and its
    seconds.
    """

    def __init__(
        self, finder: KeyFinder, clock: Clock, observe: Callable[[str, float], None]
    ) -> None:
        self._finder = finder
        self._monotonic = clock.monotonic
        self._observe = observe
        self.is_up = True
        self._refused_at: float | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether the last contact succeeded, and the last one that wrote: for a while, until somebody writes."""
        refused = self._refused_at
        is_kept = refused is not None and self._monotonic() - refused < REFUSAL_SECONDS
        return self.is_up and not is_kept

    async def _timed(self, operation: str, pending: Awaitable[T]) -> T:
        started = self._monotonic()
        writes = operation in _WRITING
        try:
            result = await pending
        except StoreUnavailable:
            self.is_up = False
            if writes:
                self._refused_at = self._monotonic()
            raise
        finally:
            self._observe(operation, self._monotonic() - started)
        self.is_up = True
        if writes:
            self._refused_at = None
        return result

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        return await self._timed("find", self._finder.find(digests))

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        return await self._timed("get_tenant", self._finder.get_tenant(tenant_id))


class ObservedStore(ObservedFinder, Records):
    """Implements `ports.KeyStore` around another one, in the same way."""

    def __init__(
        self, store: KeyStore, clock: Clock, observe: Callable[[str, float], None]
    ) -> None:
        super().__init__(store, clock, observe)
        self._store = store

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        return await self._timed("commit", self._store.commit(writes, changes))

    async def get(self, kind: type[R], record_id: str) -> R | None:
        return await self._timed("get", self._store.get(kind, record_id))

    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted] = NOTHING,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> list[R]:
        paging = self._store.page(kind, where=where, after=after, limit=limit, sort=sort)
        return await self._timed("page", paging)

    async def get_key(self, key_id: str) -> KeyRecord | None:
        return await self._timed("get_key", self._store.get_key(key_id))

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        return await self._timed("get_keys", self._store.get_keys(key_ids))

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        listing = self._store.list_keys(query, after=after, limit=limit)
        return await self._timed("list_keys", listing)

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        seeking = self._store.place_ahead(ahead, sort=sort, after=after, tenant_id=tenant_id)
        return await self._timed("place_ahead", seeking)

    async def keys_due(self, until: float, limit: int = 1000) -> list[KeyRecord]:
        return await self._timed("keys_due", self._store.keys_due(until, limit))

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        return await self._timed("count_keys", self._store.count_keys())

    async def count_expiring(self, after: float, moments: Sequence[float]) -> list[int]:
        counting = self._store.count_expiring(after, moments)
        return await self._timed("count_expiring", counting)

    async def count_peppers(self) -> Mapping[str, int]:
        return await self._timed("count_peppers", self._store.count_peppers())

    async def list_tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]:
        return await self._timed("list_tenants", self._store.list_tenants(after=after, limit=limit))

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        kept = self._store.remember(idempotency_key, fingerprint, result_id, now)
        return await self._timed("remember", kept)

    async def settle(self, idempotency_key: str, result_id: str) -> None:
        await self._timed("settle", self._store.settle(idempotency_key, result_id))

    async def revision(self) -> int:
        return await self._timed("revision", self._store.revision())

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        return await self._timed("changes_since", self._store.changes_since(revision))

    async def touch(self, last_used: Mapping[str, float]) -> None:
        await self._timed("touch", self._store.touch(last_used))

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        return await self._timed("load_counts", self._store.load_counts(now))

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        await self._timed("save_counts", self._store.save_counts(counts))
