"""Keys in memory that may be believed only for as long as this gateway is sure to hear of changes.

Knows the lease: while it holds, memory answers; once it has run out, nothing that is remembered counts, and the store
is asked about every request. It must not know who extends it, nor why it ran out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gateway.domain.keys import BoundKey
from gateway.domain.nodes import Lease
from gateway.stores.acting import MISS as NOT_KNOWN_TO_ACT
from gateway.stores.acting import ActingKeys
from gateway.stores.cached import MISS, CachedKeys


class FencedKeys:
    """Implements `pipeline.authenticate.Keys` over `keys`, under `lease`; `uptime` is the clock that it counts in."""

    def __init__(self, keys: CachedKeys, lease: Lease, uptime: Callable[[], float]) -> None:
        self._keys = keys
        self._lease = lease
        self._uptime = uptime

    def peek(self, digest: bytes) -> object:
        """Return the key, None for one that is known not to exist, or `MISS`: ask with `find`."""
        if self._uptime() < self._lease.until:
            return self._keys.peek(digest)
        return MISS

    def find(self, digests: Sequence[tuple[str, bytes]]) -> Awaitable[BoundKey | None]:
        """Look the key up. Raises what `CachedKeys.find` raises."""
        if self._uptime() < self._lease.until:
            return self._keys.find(digests)
        return self._keys.find_afresh(digests)


class FencedActing:
    """Implements `pipeline.represent.Acting` over `acting`, in the same way."""

    def __init__(self, acting: ActingKeys, lease: Lease, uptime: Callable[[], float]) -> None:
        self._acting = acting
        self._lease = lease
        self._uptime = uptime

    def peek(self, key: BoundKey, tenant_id: str) -> object:
        """Return the key as it acts for that tenant, None when it may not, or that a look-up is needed."""
        if self._uptime() < self._lease.until:
            return self._acting.peek(key, tenant_id)
        return NOT_KNOWN_TO_ACT

    def find(self, key: BoundKey, tenant_id: str) -> Awaitable[BoundKey | None]:
        """Look the tenant up. Raises what `ActingKeys.find` raises."""
        if self._uptime() < self._lease.until:
            return self._acting.find(key, tenant_id)
        return self._acting.find_afresh(key, tenant_id)
