"""The keys and tenants of a snapshot, listed like those of a store: for who restores a backup of one that is lost.

Knows what of the pages is overtaken by the journal. It holds the ids of all keys in memory.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from gateway.domain.keys import KeyRecord
from gateway.domain.queries import ANY_KEY, KeyQuery
from gateway.domain.tenants import Tenant
from gateway.ports import R
from gateway.stores.snapshots.reading import Snapshot


class SnapshotRecords:
    """Implements `keyring.again.Replaced` over `snapshot`, which was refreshed. Raises `Unusable`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._digests = dict(sorted(snapshot.digests().items()))
        self._tenants = sorted(snapshot.tenant_ids())

    async def list_keys(
        self,
        query: KeyQuery = ANY_KEY,  # noqa: ARG002 - hidden ones are among them in any case
        *,
        after: str = "",
        limit: int = 100,
    ) -> list[KeyRecord]:
        """Return keys ordered by id, those behind `after`; every one, whatever `query` asks for."""
        behind = (digest for key_id, digest in self._digests.items() if key_id > after)
        found: list[Any] = [self._snapshot.record(digest) for digest in islice(behind, limit)]
        return found

    async def page(self, kind: type[R], *, after: str = "", limit: int = 100) -> list[R]:
        """Return tenants ordered by id, those behind `after`; of no other kind is anything known."""
        if kind is not Tenant:
            return []
        behind = (each for each in self._tenants if each > after)
        found: list[Any] = [self._snapshot.tenant(each) for each in islice(behind, limit)]
        return found
