"""The bounded memory behind `cached`: keys by their current digest, and digests that no key has.

Knows which keys leave when it is full, and which of them belong to a key or tenant that changed. One per process: it
outlives configurations. It must not know how a key is read or bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.resting import Parts, Resting

BOUND_MAX: Final = 8192
"""Keys that are kept bound, about 1.6 KB each; all others rest at a quarter of that, and are bound when they wake."""

PARTS: Final = 8
"""Keys at rest leave an eighth at a time: that takes no longer than one, and seven eighths are always kept."""


class Remembered:
    """At most `size_max` keys and, apart from them, as many unknown digests: a flood of made-up keys cannot push out
    the real ones. The keys used last are kept: of the bound ones at least the latest half, of the others seven eighths.

    The `BOUND_MAX` used last are bound, the others rest. `recent` may be asked directly on the hot path; then `recall`
    and `wake` must be asked before reading anew. No step takes long: what leaves is moved on key by key, or dropped as
    a whole.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        size_max: int,
        negative_ttl_seconds: float,
        bound_max: int = BOUND_MAX,
    ) -> None:
        self._monotonic = monotonic
        self._bound_max = bound_max
        self._young = _Half()
        self._old = _Half()
        self._leaving = _Half()
        self._resting = deque((Resting(Parts()),))
        self.recent = self._young.keys
        self._unknown: dict[bytes, float] = {}
        self._unknown_old: dict[bytes, float] = {}
        self.resize(size_max, negative_ttl_seconds)

    def resize(self, size_max: int, negative_ttl_seconds: float) -> None:
        """Set how much is remembered, and how long that a key is unknown."""
        self._half = max(1, min(size_max, self._bound_max) // 2)
        self._resting_part = max(0, size_max - self._bound_max) // PARTS
        self._unknown_half = max(1, size_max // 2)
        self._negative_ttl_seconds = negative_ttl_seconds

    def recall(self, digest: bytes) -> BoundKey | None:
        """Return the bound key with `digest`; one from the older half becomes a recent one."""
        known = self.recent.get(digest)
        if known is not None:
            return known
        bound = self._old.keys.get(digest) or self._leaving.keys.get(digest)
        if bound is not None:
            self.keep(digest, bound)
        return bound

    def wake(self, digest: bytes) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with `digest` that rests, and its tenant: whoever binds it keeps it."""
        for part in self._resting:
            found = part.wake(digest)
            if found is not None:
                return found
        return None

    def keep(self, digest: bytes, bound: BoundKey) -> None:
        """Remember a key."""
        for part in self._resting:
            part.drop(digest)
        if len(self.recent) >= self._half:
            if self._resting_part:
                self._leaving = self._old
            self._old = self._young
            self._young = _Half()
            self.recent = self._young.keys
        self._young.add(digest, bound)
        self._lay_to_rest()

    def _lay_to_rest(self) -> None:
        """Move two keys on for each that comes: done before the next half leaves."""
        for _ in range(2):
            if not self._leaving.keys:
                return
            digest, bound = self._leaving.keys.popitem()
            if digest not in self.recent and digest not in self._old.keys:
                if len(self._resting[0]) >= self._resting_part:
                    shared = self._resting[0].parts
                    self._resting.appendleft(Resting(Parts() if shared.is_full else shared))
                    if len(self._resting) > PARTS:
                        self._resting.pop()
                self._resting[0].put(digest, bound.record, bound.tenant)

    def is_unknown(self, digest: bytes) -> bool:
        """Tell whether there was no such key a moment ago."""
        until = self._unknown.get(digest) or self._unknown_old.get(digest)
        return until is not None and self._monotonic() < until

    def keep_unknown(self, digest: bytes) -> None:
        """Remember that no key has `digest`."""
        if len(self._unknown) >= self._unknown_half:
            self._unknown_old = self._unknown
            self._unknown = {}
        self._unknown[digest] = self._monotonic() + self._negative_ttl_seconds

    def forget(self, ids: Collection[str]) -> None:
        """Forget the keys and the keys of the tenants with these ids."""
        for each in ids:
            self._young.drop(each)
            self._old.drop(each)
            self._leaving.drop(each)
        for part in self._resting:
            part.forget(ids)

    def forget_unknown(self) -> None:
        """Forget the digests that no key has."""
        self._unknown = {}
        self._unknown_old = {}

    def forget_all(self) -> None:
        """Forget everything."""
        self._young = _Half()
        self._old = _Half()
        self._leaving = _Half()
        self._resting = deque((Resting(Parts()),))
        self.recent = self._young.keys
        self.forget_unknown()


class _Half:
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
        bound = self.keys.pop(digest, None)
        if bound is None:
            return  # laid to rest
        tenant_id = bound.record.tenant_id
        siblings = self._by_tenant.get(tenant_id)
        if siblings is not None:
            siblings.discard(key_id)
            if not siblings:
                del self._by_tenant[tenant_id]
