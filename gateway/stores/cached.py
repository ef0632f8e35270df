"""The keys that requests are using, bound and in memory, in front of a store.

Knows how to answer at once, how to ask the store once for many waiting requests, when an answer is no longer true, and
that a key which one configuration bound serves no request of another. It must not know what a bound key is made of.
Only here may a key be remembered; whatever changes a key or tenant says so to `invalidate`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, Final, Literal

from gateway.domain.digest import Peppers
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, KeyFinder, StoreUnavailable
from gateway.stores.remembered import Remembered

READS_MAX: Final = 8  # a key that is written during each of so many reads is no key to trust
_RESTLESS: Final = "the key changes faster than it can be read"


class _Miss(Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""What `peek` answers when it does not know: ask with `find`."""

Bind = Callable[[KeyRecord, Tenant], BoundKey]
Rekey = Callable[[KeyRecord, bytes], None]
"""Told a key found under an old pepper, and its current digest. Must return at once."""

Found = tuple[KeyRecord, Tenant] | None
Land = Callable[[Sequence[bytes], Found], object]
"""Told the digests that were looked up and what they led to."""

_Landing = tuple[Found, int]
"""What a look-up found, and the revision of the memory when it did."""


class CachedKeys:
    """The keys as one configuration, number `generation`, knows them.

    `bind` makes keys of that generation. All generations of a process share one memory; what an earlier one bound is
    bound anew when a request of this one needs it.
    """

    def __init__(
        self,
        store: KeyFinder,
        peppers: Peppers,
        bind: Bind,
        clock: Clock,
        *,
        size_max: int,
        negative_ttl_seconds: float,
        rekey: Rekey | None = None,
        generation: int = 0,
        lookups: Lookups | None = None,
    ) -> None:
        """Share the memory of `lookups`, or begin with an empty one."""
        self._clock = clock
        self._peppers = peppers
        self._bind = bind
        self._rekey = rekey
        self._generation = generation
        self._limits = (size_max, negative_ttl_seconds)
        if lookups is None:
            lookups = Lookups(store, Remembered(clock.monotonic, size_max, negative_ttl_seconds))
            lookups.current = self
        self.lookups = lookups
        self._memory = lookups.memory
        self.invalidate = lookups.invalidate
        self.invalidate_all = lookups.invalidate_all
        self.close = lookups.close

    def take_over(self) -> None:
        """Be the generation of all requests to come. Keys stay in memory unless they were found under other peppers."""
        before = self.lookups.current
        self.lookups.current = self
        self._memory.resize(*self._limits)
        if before is None or before._peppers != self._peppers:  # noqa: SLF001 - its own class
            self.invalidate_all()
        else:
            self._memory.forget_unknown()

    def peek(self, digest: bytes) -> BoundKey | Literal[_Miss.MISS] | None:
        """Return the key with `digest`, None when there is known to be none, or `MISS`."""
        key = self._memory.recent.get(digest)
        if key is not None and key.generation == self._generation:
            return key
        return self._peek_further(digest)

    @property
    def missing(self) -> object:
        """Return `MISS`, for whoever may not import this room."""
        return MISS

    async def find(self, digests: Sequence[tuple[str, bytes]]) -> BoundKey | None:
        """Return the key with one of `digests` (pepper id, digest; the current first), or None.

        Asks the store once however many wait for the same key. Raises `StoreUnavailable`; then
        nothing is remembered. What the store holds may be meant for the generation that comes next: that one then
        binds it. Raises `LookupError` for a key that no configuration in force can bind.
        """
        values = tuple(digest for _, digest in digests)
        try:
            return await self._find(values)
        except LookupError as error:
            unbound = error
        current = await self._successor()
        if current is None:
            raise unbound
        return await current.find(digests)

    async def find_afresh(self, digests: Sequence[tuple[str, bytes]]) -> BoundKey | None:
        """Return what the store holds now, whatever is known here; a key that did not change is the same object.

        Asks the store each time. Raises what `find` raises.
        """
        values = tuple(digest for _, digest in digests)
        began = self.lookups.revision
        found = await self.lookups.ask(values)
        try:
            return self._found_afresh(values, found, began)
        except LookupError as error:
            unbound = error
        current = await self._successor()
        if current is None:
            raise unbound
        return await current.find_afresh(digests)

    async def _successor(self) -> CachedKeys | None:
        """Return the generation in force where it is another one that may bind what this one cannot."""
        async with self.lookups.settling:
            current = self.lookups.current
        # Under other peppers a key has another digest, which only a request of that generation knows.
        if current is None or current is self or current._peppers != self._peppers:  # noqa: SLF001
            return None
        return current

    async def _find(self, values: Sequence[bytes]) -> BoundKey | None:
        for _ in range(READS_MAX):
            known = self.peek(values[0])
            if known is not MISS:
                return known
            found, revision = await self.lookups.read(values, self._found)
            if revision == self.lookups.revision:  # else something changed while we were woken up
                return self._found(values, found)
        raise StoreUnavailable(_RESTLESS)

    def _peek_further(self, digest: bytes) -> BoundKey | Literal[_Miss.MISS] | None:
        bound = self._memory.recall(digest)
        if bound is None:
            return self._wake(digest)
        if bound.generation == self._generation:
            return bound
        return self._keep(digest, self._bind(bound.record, bound.tenant))

    def _wake(self, digest: bytes) -> BoundKey | Literal[_Miss.MISS] | None:
        resting = self._memory.wake(digest)
        if resting is not None:
            return self._keep(digest, self._bind(*resting))
        return None if self._memory.is_unknown(digest) else MISS

    def _found(self, digests: Sequence[bytes], found: Found) -> BoundKey | None:
        current = digests[0]
        known = self.peek(current)
        if known is not MISS:
            return known  # remembered when the look-up landed
        if found is None or not any(hmac.compare_digest(found[0].digest, each) for each in digests):
            if self.lookups.current is self:
                self._memory.keep_unknown(current)
            return None
        record, tenant = found
        bound = self._keep(current, self._bind(record, tenant))
        if self._rekey is not None and record.pepper_id != self._peppers.current:
            self._rekey(record, current)
        return bound

    def _found_afresh(self, digests: Sequence[bytes], found: Found, began: int) -> BoundKey | None:
        if found is None or not any(hmac.compare_digest(found[0].digest, each) for each in digests):
            return None
        record, tenant = found
        known = self._memory.recall(digests[0])
        if known is not None and known.generation == self._generation:
            as_known = replace(record, last_used_at=known.record.last_used_at)
            if known.record == as_known and known.tenant == tenant:
                return known
        bound = self._bind(record, tenant)
        if began != self.lookups.revision:
            return bound  # what was read may be overtaken: true for whoever asked, and nobody else
        return self._keep(digests[0], bound)

    def _keep(self, digest: bytes, bound: BoundKey) -> BoundKey:
        """Remember a key; one that an earlier generation bound is for the request that asked, and nobody else."""
        if self.lookups.current is self:
            self._memory.keep(digest, bound)
        return bound


class Lookups:
    """The look-ups of a process that are under way, each for all who wait for the same key.

    `settling` is held while the store may be ahead of the generation in force.
    """

    def __init__(self, store: KeyFinder, memory: Remembered) -> None:
        self.memory = memory
        self.current: CachedKeys | None = None
        self.revision = 0
        self.settling = asyncio.Lock()
        self._store = store
        self._flights: dict[Sequence[bytes], asyncio.Task[_Landing]] = {}
        self._questions: set[asyncio.Task[Found]] = set()
        self._invalidated: dict[str, int] = {}
        self._all_invalidated = 0

    async def read(self, digests: Sequence[bytes], land: Land) -> _Landing:
        """Return what the store has under one of `digests`, and the revision at which that was true.

        `land` remembers it in the same turn of the loop.
        """
        flight = self._flights.get(digests)
        if flight is None or flight.done():  # done, but not told yet: its answer may be overtaken
            flight = asyncio.create_task(self._read(digests, land), name="look up key")
            self._flights[digests] = flight
            flight.add_done_callback(partial(self._landed, digests))
        # One client that goes away must not fail the others that wait for the same key.
        return await asyncio.shield(flight)

    async def ask(self, digests: Sequence[bytes]) -> Found:
        """Return what the store has under one of `digests`, for nobody but who asks."""
        # A task of its own: a request is told without one until it waits for the first time.
        question = asyncio.create_task(self._store.find(digests), name="ask for key")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)
        return await question

    def invalidate(self, ids: Iterable[str]) -> None:
        """Forget the keys and the keys of the tenants with these ids, and all unknown digests."""
        self.revision += 1
        ids = tuple(ids)
        self.memory.forget(ids)
        if self._flights:
            self._invalidated.update(dict.fromkeys(ids, self.revision))
        self.memory.forget_unknown()

    def invalidate_all(self) -> None:
        """Forget everything."""
        self.revision += 1
        self._all_invalidated = self.revision
        self.memory.forget_all()

    async def close(self) -> None:
        """End the look-ups that are under way."""
        flights: list[asyncio.Task[Any]] = [*self._flights.values(), *self._questions]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _read(self, digests: Sequence[bytes], land: Land) -> _Landing:
        """Read until no invalidation overtook the answer, then remember and return it."""
        for _ in range(READS_MAX):
            began = self.revision
            found = await self._store.find(digests)
            if not self._is_overtaken(found, began):
                # Whether it can be bound differs between those who wait: each of them tries, and is told.
                with suppress(LookupError, ValueError):
                    land(digests, found)
                return found, self.revision
        raise StoreUnavailable(_RESTLESS)

    def _is_overtaken(self, found: Found, began: int) -> bool:
        if found is None:
            return self.revision != began
        record, tenant = found
        latest = max(self._invalidated.get(each, 0) for each in (record.key_id, tenant.tenant_id))
        return max(latest, self._all_invalidated) > began

    def _landed(self, digests: Sequence[bytes], flight: asyncio.Task[_Landing]) -> None:
        if self._flights.get(digests) is flight:
            del self._flights[digests]
        if not flight.cancelled():
            flight.exception()  # whoever still waits is told; nobody waiting is no mistake
        if not self._flights:
            self._invalidated.clear()
