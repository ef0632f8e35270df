"""What every key store does in the same way: acts on one record, said by the acts on any; names; how long is kept.

Knows what follows from `commit`, `get` and `page`. It must not know where records lie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import NOTHING, Sort, Wanted
from gateway.domain.tenants import Tenant
from gateway.ports import Conflict, R, Record, Write
from gateway.stores.rows import TABLES

QUOTA_SECONDS_MAX: Final = 31 * 86_400
"""A month: the longest period to which a counter can still belong."""

IDEMPOTENCY_SECONDS_MAX: Final = 86_400
"""As long as peers remember: nobody retries a day later."""

_NAMED_MAX: Final = 5
"""Records that an error names."""


class Records(ABC):
    """The part of `ports.KeyStore` that is about one record."""

    @abstractmethod
    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        """Store all records and tell the audit trail: all of it, or nothing."""

    @abstractmethod
    async def get(self, kind: type[R], record_id: str) -> R | None:
        """Return the record of this kind with this id, or None."""

    @abstractmethod
    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted] = NOTHING,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> list[R]:
        """Return records in order."""

    async def save_key(
        self, record: KeyRecord, *, expected_revision: int | None = None
    ) -> KeyRecord:
        """Store one key that no change tells of."""
        return await self._saved(record, expected_revision)

    async def save_tenant(self, tenant: Tenant, *, expected_revision: int | None = None) -> Tenant:
        """Store one tenant that no change tells of."""
        return await self._saved(tenant, expected_revision)

    async def _saved(self, record: R, expected_revision: int | None) -> R:
        [written] = await self.commit([Write(record, expected_revision)])
        assert isinstance(written, type(record))
        return written

    async def get_key(self, key_id: str) -> KeyRecord | None:
        """Return the key, or None."""
        return await self.get(KeyRecord, key_id)

    async def list_tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]:
        """Return tenants ordered by id."""
        return await self.page(Tenant, after=after, limit=limit)


def id_of(record: Record) -> str:
    """Return the id of a record."""
    return str(getattr(record, TABLES[type(record)].key))


def about(writes: Sequence[Write]) -> str:
    """Name what is written: of many records, the first."""
    ids = [id_of(each.record) for each in writes[:_NAMED_MAX]]
    further = len(writes) - len(ids)
    return ", ".join(ids) + (f" and {further} more" if further else "")


def unwritten(record: Record, expected_revision: int | None) -> Conflict:
    """Return what is raised when a record is not in the revision that was expected."""
    if expected_revision == 0:
        return Conflict(f"{id_of(record)} exists already")
    return Conflict(
        f"{id_of(record)} was changed by someone else, or does not exist: read it again"
    )
