"""A key store whose changes are noted in a snapshot before anybody is told that they were made.

Knows that a write which failed may have happened all the same. It must not know how a snapshot is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, Conflict, KeyStore, Record, Write
from gateway.stores.observed import ObservedStore


class Notes(Protocol):
    """Where changes are noted. Never raises."""

    async def note(
        self,
        records: Iterable[Record],
        doubtful_keys: Collection[str] = (),
        doubtful_tenants: Collection[str] = (),
    ) -> None: ...


class NotedStore(ObservedStore):
    """Implements `ports.KeyStore` around another one: what was written is in `notes` when a call returns."""

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        observe: Callable[[str, float], None],
        notes: Notes,
        may_have_happened: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_have_happened` tells whether a write that failed could have reached the store at all."""
        super().__init__(store, clock, observe)
        self._notes = notes
        self._may_have_happened = may_have_happened

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        try:
            written = await super().commit(writes, changes)
        except Conflict:
            raise  # nothing was written
        except BaseException:
            await self._doubt([each.record for each in writes])
            raise
        await self._notes.note(written)
        return written

    async def _doubt(self, records: Sequence[Record]) -> None:
        if self._may_have_happened():
            keys = [each.key_id for each in records if isinstance(each, KeyRecord)]
            tenants = [each.tenant_id for each in records if isinstance(each, Tenant)]
            await self._notes.note((), keys, tenants)
