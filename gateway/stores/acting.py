"""Keys as they act for other tenants than their own, bound and in memory, in front of a store.

Knows when a binding is no longer true: when its key was replaced, or its tenant changed. The tenant is read once for
all who wait for it. It must not know what acting changes about a key. Whatever changes a tenant says so to `forget`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Final, Literal

from gateway.domain.keys import BoundKey
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, KeyFinder, StoreUnavailable

READS_MAX: Final = 8  # a tenant that is written during each of so many reads is nobody to act for
_RESTLESS: Final = "the tenant changes faster than it can be read"

ACTING_MAX: Final = 8192
"""Pairs of a key and a tenant that are kept, about 1.2 KB each; the ones used last stay, at least the latest half."""

Bind = Callable[[BoundKey, Tenant], BoundKey]


class _Miss(Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""What `peek` answers when it does not know: ask with `find`."""


class ActingKeys:
    """The keys as one configuration lets them act; `bind` is its own. All of a process share one memory."""

    def __init__(self, lookups: TenantLookups, bind: Bind) -> None:
        self.lookups = lookups
        self._bind = bind

    def take_over(self, negative_ttl_seconds: float) -> None:
        """Be the one of all requests to come."""
        self.lookups.current = self
        self.lookups.negative_ttl_seconds = negative_ttl_seconds

    def peek(self, key: BoundKey, tenant_id: str) -> BoundKey | Literal[_Miss.MISS] | None:
        """Return `key` as it acts for that tenant, None when it may not or there is none, or `MISS`."""
        return self.lookups.peek(key, tenant_id)

    async def find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        """Return `key` as it acts for that tenant, or None when it may not act for it or there is none.

        Asks the store once however many wait for the same tenant. Raises `StoreUnavailable`, and then nothing is
        remembered. Raises `LookupError` for a tenant that no configuration in force can bind.
        """
        try:
            return await self._find(key, tenant_id)
        except LookupError:
            # The tenant may have been changed already for the configuration that comes next.
            async with self.lookups.settling:
                current = self.lookups.current
            if current is None or current is self:
                raise
            return await current._find(key, tenant_id)  # noqa: SLF001 - its own class

    async def find_afresh(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        """Return what `find` returns by what the store holds now, whatever is known here; unchanged, the same object.

        Asks the store each time. Raises what `find` raises.
        """
        lookups = self.lookups
        began = lookups.revision
        tenant = await lookups.ask(tenant_id)
        if tenant is None or not key.record.may_act_for(tenant):
            return None
        known = lookups.peek(key, tenant_id)
        if isinstance(known, BoundKey) and known.tenant == tenant:
            return known
        acting = self._bind(key, tenant)
        if began == lookups.revision:
            lookups.keep(key, tenant_id, acting)
        return acting

    async def _find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        lookups = self.lookups
        for _ in range(READS_MAX):
            known = lookups.peek(key, tenant_id)
            if known is not MISS:
                return known
            tenant, revision = await lookups.read(tenant_id)
            if revision == lookups.revision:  # else something changed while we were woken up
                known = lookups.peek(key, tenant_id)
                if known is not MISS:
                    return known  # somebody who waited with us has bound it
                is_free = tenant is not None and key.record.may_act_for(tenant)
                acting = self._bind(key, tenant) if tenant is not None and is_free else None
                lookups.keep(key, tenant_id, acting)
                return acting
        raise StoreUnavailable(_RESTLESS)


class _Entry:
    """What `key` is for a tenant, until a monotonic second."""

    __slots__ = ("acting", "key", "until")

    def __init__(self, key: BoundKey, acting: BoundKey | None, until: float) -> None:
        self.key = key
        self.acting = acting
        self.until = until


class TenantLookups:
    """The memory of a process, and the reads of tenants that are under way.

    `settling` is held while the store may be ahead of the configuration in force.
    """

    def __init__(
        self,
        store: KeyFinder,
        clock: Clock,
        settling: asyncio.Lock,
        *,
        negative_ttl_seconds: float,
        size_max: int = ACTING_MAX,
    ) -> None:
        self.current: ActingKeys | None = None
        self.settling = settling
        self.revision = 0
        self.negative_ttl_seconds = negative_ttl_seconds
        self._store = store
        self._monotonic = clock.monotonic
        self._half = max(1, size_max // 2)
        self._young: dict[str, dict[str, _Entry]] = {}  # by tenant, then by key
        self._old: dict[str, dict[str, _Entry]] = {}
        self._count = 0
        self._flights: dict[str, asyncio.Task[tuple[Tenant | None, int]]] = {}
        self._questions: set[asyncio.Task[Tenant | None]] = set()
        self._forgotten: dict[str, int] = {}
        self._all_forgotten = 0

    def peek(self, key: BoundKey, tenant_id: str) -> BoundKey | Literal[_Miss.MISS] | None:
        """Return `key` as it acts for that tenant, None when it may not or there is none, or `MISS`."""
        key_id = key.record.key_id
        keys = self._young.get(tenant_id)
        entry = None if keys is None else keys.get(key_id)
        if entry is None:
            entry = self._from_old(key_id, tenant_id)
        if entry is None or entry.key is not key:
            return MISS
        if entry.acting is None and self._monotonic() >= entry.until:
            return MISS
        return entry.acting

    def _from_old(self, key_id: str, tenant_id: str) -> _Entry | None:
        """Return an entry of the older half, which becomes a recent one."""
        entry = self._old.get(tenant_id, {}).get(key_id)
        if entry is not None:
            self._put(key_id, tenant_id, entry)
        return entry

    def keep(self, key: BoundKey, tenant_id: str, acting: BoundKey | None) -> None:
        """Remember what `key` is for that tenant; that it is nothing only for a while."""
        until = 0.0 if acting is not None else self._monotonic() + self.negative_ttl_seconds
        self._put(key.record.key_id, tenant_id, _Entry(key, acting, until))

    def _put(self, key_id: str, tenant_id: str, entry: _Entry) -> None:
        if self._count >= self._half:
            self._old, self._young, self._count = self._young, {}, 0
        keys = self._young.setdefault(tenant_id, {})
        if key_id not in keys:
            self._count += 1
        keys[key_id] = entry

    async def read(self, tenant_id: str) -> tuple[Tenant | None, int]:
        """Return the tenant, None when there is none, and the revision at which that was true."""
        flight = self._flights.get(tenant_id)
        if flight is None or flight.done():  # done, but not told yet: its answer may be overtaken
            flight = asyncio.create_task(self._read(tenant_id), name="look up tenant")
            self._flights[tenant_id] = flight
            flight.add_done_callback(partial(self._landed, tenant_id))
        # One client that goes away must not fail the others that wait for the same tenant.
        return await asyncio.shield(flight)

    async def ask(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, for nobody but who asks."""
        # A task of its own: a request is told without one until it waits for the first time.
        question = asyncio.create_task(self._store.get_tenant(tenant_id), name="ask for tenant")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)
        return await question

    async def _read(self, tenant_id: str) -> tuple[Tenant | None, int]:
        """Read until nothing that was forgotten overtook the answer."""
        for _ in range(READS_MAX):
            began = self.revision
            tenant = await self._store.get_tenant(tenant_id)
            if max(self._forgotten.get(tenant_id, 0), self._all_forgotten) <= began:
                return tenant, self.revision
        raise StoreUnavailable(_RESTLESS)

    def _landed(self, tenant_id: str, flight: asyncio.Task[tuple[Tenant | None, int]]) -> None:
        if self._flights.get(tenant_id) is flight:
            del self._flights[tenant_id]
        if not flight.cancelled():
            flight.exception()  # whoever still waits is told; nobody waiting is no mistake
        if not self._flights:
            self._forgotten.clear()

    def forget(self, ids: Iterable[str]) -> None:
        """Forget all keys as they act for the tenants with these ids. A key that changed is another one anyway."""
        self.revision += 1
        for each in ids:
            self._count -= len(self._young.pop(each, ()))
            self._old.pop(each, None)
            if self._flights:
                self._forgotten[each] = self.revision

    def forget_all(self) -> None:
        """Forget everything."""
        self.revision += 1
        self._all_forgotten = self.revision
        self._young, self._old, self._count = {}, {}, 0

    async def close(self) -> None:
        """End the reads that are under way."""
        flights: list[asyncio.Task[Any]] = [*self._flights.values(), *self._questions]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
