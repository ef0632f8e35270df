"""The keys that requests are using, bound and in memory, in front of a store.

Knows how to answer at once, how to ask the store once for many waiting requests, and when an answer
is no longer true. It must not know what a bound key is made of. Only here may a key be remembered;
whatever changes a key or tenant says so to `invalidate`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, Literal

from gateway.domain.digest import Peppers
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, KeyStore, StoreUnavailable

READS_MAX: Final = 8  # a key that is written during each of so many reads is no key to trust
_RESTLESS: Final = "the key changes faster than it can be read"


class _Miss(Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""What `peek` answers when it does not know: ask with `find`."""

Bind = Callable[[KeyRecord, Tenant], BoundKey]
Rekey = Callable[[KeyRecord, bytes], None]
"""Told a key found under an old pepper, and its current digest. Must return at once."""

_Landing = tuple[BoundKey | None, int]
"""What a look-up found, and the revision of this memory when it did."""


class CachedKeys:
    """A bounded memory of keys by their current digest, and of digests that no key has.

    Holds at most `size_max` keys and, apart from them, as many unknown digests: a flood of made-up
    keys cannot push out the real ones. The keys used last are kept: of `size_max`, at least the
    latest half.
    """

    def __init__(
        self,
        store: KeyStore,
        peppers: Peppers,
        bind: Bind,
        clock: Clock,
        *,
        size_max: int,
        negative_ttl_seconds: float,
        rekey: Rekey | None = None,
    ) -> None:
        self._store = store
        self._peppers = peppers
        self._bind = bind
        self._monotonic = clock.monotonic
        self._negative_ttl_seconds = negative_ttl_seconds
        self._rekey = rekey
        self._half = max(1, size_max // 2)
        self._young = _Generation()
        self._old = _Generation()
        self._unknown: dict[bytes, float] = {}
        self._unknown_old: dict[bytes, float] = {}
        self._flights: dict[bytes, asyncio.Task[_Landing]] = {}
        self._revision = 0
        self._invalidated: dict[str, int] = {}
        self._all_invalidated = 0

    def peek(self, digest: bytes) -> BoundKey | Literal[_Miss.MISS] | None:
        """Return the key with `digest`, None when there is known to be none, or `MISS`."""
        return self._young.keys.get(digest) or self._peek_further(digest)

    @property
    def missing(self) -> object:
        """Return `MISS`, for whoever may not import this room."""
        return MISS

    async def find(self, digests: Sequence[tuple[str, bytes]]) -> BoundKey | None:
        """Return the key with one of `digests` (pepper id, digest; the current first), or None.

        Asks the store once however many wait for the same key. Raises `StoreUnavailable`; then
        nothing is remembered.
        """
        values = tuple(digest for _, digest in digests)
        for _ in range(READS_MAX):
            known = self.peek(values[0])
            if known is not MISS:
                return known
            # One client that goes away must not fail the others that wait for the same key.
            bound, revision = await asyncio.shield(self._flight(values))
            if revision == self._revision:  # else something changed while we were woken up
                return bound
        raise StoreUnavailable(_RESTLESS)

    def invalidate(self, ids: Iterable[str]) -> None:
        """Forget the keys and the keys of the tenants with these ids, and all unknown digests."""
        self._revision += 1
        for each in ids:
            self._young.drop(each)
            self._old.drop(each)
            if self._flights:
                self._invalidated[each] = self._revision
        self._forget_unknown()

    def invalidate_all(self) -> None:
        """Forget everything."""
        self._revision += 1
        self._all_invalidated = self._revision
        self._young = _Generation()
        self._old = _Generation()
        self._forget_unknown()

    async def close(self) -> None:
        """End the look-ups that are under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _peek_further(self, digest: bytes) -> BoundKey | Literal[_Miss.MISS] | None:
        bound = self._old.keys.get(digest)
        if bound is not None:
            self._remember(digest, bound)
            return bound
        until = self._unknown.get(digest) or self._unknown_old.get(digest)
        return MISS if until is None or self._monotonic() >= until else None

    def _flight(self, digests: Sequence[bytes]) -> asyncio.Task[_Landing]:
        current = digests[0]
        flight = self._flights.get(current)
        if flight is None:
            flight = asyncio.create_task(self._read(digests), name="look up key")
            self._flights[current] = flight
            flight.add_done_callback(lambda _: self._landed(current))
        return flight

    async def _read(self, digests: Sequence[bytes]) -> _Landing:
        """Read until no invalidation overtook the answer, then remember and return it."""
        for _ in range(READS_MAX):
            began = self._revision
            found = await self._store.find(digests)
            if not self._is_overtaken(found, began):
                return self._keep(digests, found), self._revision
        raise StoreUnavailable(_RESTLESS)

    def _is_overtaken(self, found: tuple[KeyRecord, Tenant] | None, began: int) -> bool:
        if found is None:
            return self._revision != began
        record, tenant = found
        latest = max(self._invalidated.get(each, 0) for each in (record.key_id, tenant.tenant_id))
        return max(latest, self._all_invalidated) > began

    def _keep(
        self, digests: Sequence[bytes], found: tuple[KeyRecord, Tenant] | None
    ) -> BoundKey | None:
        current = digests[0]
        if found is None or not any(hmac.compare_digest(found[0].digest, each) for each in digests):
            self._remember_unknown(current)
            return None
        record, tenant = found
        bound = self._bind(record, tenant)
        self._remember(current, bound)
        if self._rekey is not None and record.pepper_id != self._peppers.current:
            self._rekey(record, current)
        return bound

    def _landed(self, digest: bytes) -> None:
        flight = self._flights.pop(digest)
        if not flight.cancelled():
            flight.exception()  # whoever still waits is told; nobody waiting is no mistake
        if not self._flights:
            self._invalidated.clear()

    def _remember(self, digest: bytes, bound: BoundKey) -> None:
        if len(self._young.keys) >= self._half:
            self._old = self._young
            self._young = _Generation()
        self._young.add(digest, bound)

    def _remember_unknown(self, digest: bytes) -> None:
        if len(self._unknown) >= self._half:
            self._unknown_old = self._unknown
            self._unknown = {}
        self._unknown[digest] = self._monotonic() + self._negative_ttl_seconds

    def _forget_unknown(self) -> None:
        self._unknown = {}
        self._unknown_old = {}


class _Generation:
    """Half of the memory, dropped as a whole: so a hit moves nothing and is one `dict.get`."""

    __slots__ = ("_by_tenant", "_digests", "keys")

    def __init__(self) -> None:
        self.keys: dict[bytes, BoundKey] = {}
        self._digests: dict[str, bytes] = {}
        self._by_tenant: dict[str, set[str]] = {}

    def add(self, digest: bytes, bound: BoundKey) -> None:
        record = bound.record
        self._drop_key(record.key_id)
        self.keys[digest] = bound
        self._digests[record.key_id] = digest
        self._by_tenant.setdefault(record.tenant_id, set()).add(record.key_id)

    def drop(self, id_: str) -> None:
        """Drop the key or all keys of the tenant called `id_`."""
        self._drop_key(id_)
        for key_id in self._by_tenant.pop(id_, ()):
            self._drop_key(key_id)

    def _drop_key(self, key_id: str) -> None:
        digest = self._digests.pop(key_id, None)
        if digest is None:
            return
        tenant_id = self.keys.pop(digest).record.tenant_id
        siblings = self._by_tenant.get(tenant_id)
        if siblings is not None:
            siblings.discard(key_id)
            if not siblings:
                del self._by_tenant[tenant_id]
