"""How a change of a key or a tenant is committed: the store first, then every bound copy, then the
record of changes.

Knows lost races (read again, decide again) and the order above. It must not know which change is
allowed: the keyring decides that, and only the keyring writes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gateway.domain.change import (
    KEY_FIELD_EVENTS,
    TENANT_FIELD_EVENTS,
    Actor,
    Change,
    ChangeType,
    described,
    differences,
)
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, Conflict, Invalidate, KeyStore

_TRIES_MAX: Final = 5  # each lost race means that another change of the same record was committed

_Record = TypeVar("_Record", KeyRecord, Tenant)


class NotFound(Exception):
    """There is no key or tenant like that; the text may be shown to whoever asked."""


@dataclass(frozen=True, slots=True)
class Page(Generic[_Record]):
    """Part of a list. `cursor` is where the next page begins (`after`); empty when this is the last
    one.
    """

    records: list[_Record]
    cursor: str


class Ledger:
    """Writes keys and tenants. `on_change` is told what was committed; it never raises.

    Bound copies are forgotten even when a write fails: after `StoreUnavailable` it may have
    happened all the same.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        invalidate: Invalidate,
        on_change: Callable[[Change], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._invalidate = invalidate
        self._on_change = on_change

    async def key(self, key_id: str) -> KeyRecord:
        """Return the key. Raises `NotFound`."""
        record = await self._store.get_key(key_id)
        if record is None:
            raise NotFound(f"there is no key '{key_id}'")
        return record

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant. Raises `NotFound`."""
        tenant = await self._store.get_tenant(tenant_id)
        if tenant is None:
            raise NotFound(f"there is no tenant '{tenant_id}'")
        return tenant

    async def insert_key(self, record: KeyRecord, actor: Actor) -> KeyRecord:
        """Store a new key. Raises `Conflict` when its id or digest is taken."""
        written = await self.write_key(record, 0)
        self._tell(written, ChangeType.KEY_CREATED, actor, {}, described(written))
        return written

    async def insert_tenant(self, tenant: Tenant, actor: Actor) -> Tenant:
        """Store a new tenant. Raises `Conflict` when its id is taken."""
        written = await self._write_tenant(tenant, 0)
        self._tell(written, ChangeType.TENANT_CREATED, actor, {}, described(written))
        return written

    async def edit_key(
        self,
        key_id: str,
        edit: Callable[[KeyRecord], KeyRecord],
        actor: Actor,
        *,
        events: Mapping[str, ChangeType] = KEY_FIELD_EVENTS,
        reason: str = "",
    ) -> KeyRecord:
        """Replace a key by what `edit` makes of it. `edit` may run more than once, and may refuse
        by raising.
        """
        before, after = await self._edit(key_id, self.key, self.write_key, edit)
        self._tell_differences(before, after, events, actor, reason)
        return after

    async def edit_tenant(
        self,
        tenant_id: str,
        edit: Callable[[Tenant], Tenant],
        actor: Actor,
        *,
        events: Mapping[str, ChangeType] = TENANT_FIELD_EVENTS,
        reason: str = "",
    ) -> Tenant:
        """Replace a tenant by what `edit` makes of it. `edit` may run more than once, and may
        refuse by raising.
        """
        before, after = await self._edit(tenant_id, self.tenant, self._write_tenant, edit)
        self._tell_differences(before, after, events, actor, reason)
        return after

    async def write_key(self, record: KeyRecord, expected_revision: int) -> KeyRecord:
        """Store a key without telling anyone but the holders of bound copies."""
        try:
            return await self._store.save_key(record, expected_revision=expected_revision)
        finally:
            await self._invalidate((record.key_id,))

    async def _write_tenant(self, tenant: Tenant, expected_revision: int) -> Tenant:
        try:
            return await self._store.save_tenant(tenant, expected_revision=expected_revision)
        finally:
            await self._invalidate((tenant.tenant_id,))

    async def _edit(
        self,
        record_id: str,
        read: Callable[[str], Awaitable[_Record]],
        write: Callable[[_Record, int], Awaitable[_Record]],
        edit: Callable[[_Record], _Record],
    ) -> tuple[_Record, _Record]:
        for _ in range(_TRIES_MAX):
            before = await read(record_id)
            after = edit(before)
            if after == before:
                await self._invalidate((record_id,))  # an earlier try may have ended in doubt
                return before, before
            try:
                return before, await write(after, before.revision)
            except Conflict as lost:
                conflict = lost
        raise conflict

    def _tell_differences(
        self,
        before: _Record,
        after: _Record,
        events: Mapping[str, ChangeType],
        actor: Actor,
        reason: str,
    ) -> None:
        for event, (was, becomes) in differences(before, after, events).items():
            self._tell(after, event, actor, was, becomes, reason)

    def _tell(
        self,
        record: KeyRecord | Tenant,
        event: ChangeType,
        actor: Actor,
        before: Mapping[str, object],
        after: Mapping[str, object],
        reason: str = "",
    ) -> None:
        self._on_change(
            Change(
                type=event,
                actor=actor,
                tenant_id=record.tenant_id,
                key_id=record.key_id if isinstance(record, KeyRecord) else "",
                reason=reason,
                before=before,
                after=after,
                at=self._clock.now(),
            )
        )
