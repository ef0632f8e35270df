"""Tenants, as the keyring changes them.

Knows how a tenant is created, edited, suspended and resumed. It must not know keys: that a
suspended tenant stops its keys is decided where a key is used, and what becomes of those of a
deleted one in `tenant_deletion`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from gateway.domain.change import TENANT_FIELD_EVENTS, ChangeType, Order
from gateway.domain.key_rules import Refused, settled
from gateway.domain.queries import Presence, Sort, Wanted
from gateway.domain.tenants import Tenant, TenantState
from gateway.keyring.ledger import Changed, Page
from gateway.keyring.tenant_deletion import TenantDeleted, TenantDeletion
from gateway.keyring.workshop import Workshop
from gateway.ports import Conflict


class TenantChanges(TypedDict, total=False):
    """What an update of a tenant may set; `metadata` and `alerts` are JSON merge patches (RFC 7396)."""

    name: str
    ip_allowlist: tuple[str, ...]
    ip_allowlist_enabled: bool
    ip_allowlist_mode: str
    plan: str
    default_template: str
    export_name: str
    alerts: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None


class TenantRoll:
    """Creates, changes and deletes tenants. What it promises and raises is what `Keyring` does.

    `declared` are the ids of those that the configuration declares.
    """

    def __init__(self, workshop: Workshop, declared: Collection[str]) -> None:
        self._rules = workshop.rules
        self._clock = workshop.clock
        self._ledger = workshop.ledger
        self._mint = workshop.mint
        self._store = workshop.store
        self._deletion = TenantDeletion(workshop, declared)

    async def create(self, tenant: Tenant, order: Order) -> Changed[Tenant]:
        """Store a new tenant; one without an id is given one."""
        tenant_id = tenant.tenant_id or self._mint.new_id("ten")
        fresh = replace(tenant, tenant_id=tenant_id, created_at=self._clock.now())
        names = ("tenant_id", *TENANT_FIELD_EVENTS)
        self._require({name: getattr(fresh, name) for name in names})
        await self._require_parent(fresh)
        return await self._ledger.insert(fresh, ChangeType.TENANT_CREATED, order)

    async def import_(self, tenant: Tenant, order: Order) -> Changed[Tenant]:
        """Store a tenant, or bring the stored one up to date.

        Safe to repeat. A suspended tenant stays suspended.
        """
        stored = await self._store.get_tenant(tenant.tenant_id)
        if stored is None:
            try:
                return await self.create(tenant, order)
            except Conflict:
                # Another gateway, which declares the same tenants, was faster.
                stored = await self._store.get_tenant(tenant.tenant_id)
                if stored is None:
                    raise
        if stored.is_deleted:
            raise Conflict(
                f"tenant '{tenant.tenant_id}' was deleted, and its id is not used again: declare it under another one"
            )
        if stored.parent_id != tenant.parent_id:
            raise Conflict(f"tenant '{tenant.tenant_id}' exists with another parent")
        values = {name: getattr(tenant, name) for name in TENANT_FIELD_EVENTS}
        self._require(values)
        return await self._edit(tenant.tenant_id, lambda before: replace(before, **values), order)

    async def update(self, tenant_id: str, changes: TenantChanges, order: Order) -> Changed[Tenant]:
        """Set the fields in `changes`."""

        def edit(before: Tenant) -> Tenant:
            _require_living(before)
            values = settled(before, changes)
            self._require(values)
            return replace(before, **values)

        return await self._edit(tenant_id, edit, order)

    async def suspend(self, tenant_id: str, order: Order) -> Changed[Tenant]:
        """Stop all keys of a tenant; a reason is mandatory."""
        self._require({"reason": order.reason})
        return await self._set_suspended(tenant_id, ChangeType.TENANT_SUSPENDED, order)

    async def resume(self, tenant_id: str, order: Order) -> Changed[Tenant]:
        """Let the keys of a suspended tenant work again."""
        return await self._set_suspended(tenant_id, ChangeType.TENANT_RESUMED, order)

    async def delete(
        self,
        tenant_id: str,
        order: Order,
        *,
        revoke_keys: bool = False,
        delete_children: bool = False,
    ) -> TenantDeleted:
        """Delete a tenant for ever; a reason is mandatory. Deleting a deleted tenant changes nothing.

        Raises `Conflict` that says what has to go before, unless it shall go with it. Its admin tokens are revoked; its
        usage and audit stay, and its id is not used again.
        """
        return await self._deletion.delete(
            tenant_id, order, revoke_keys=revoke_keys, delete_children=delete_children
        )

    async def get(self, tenant_id: str) -> Tenant:
        """Return the tenant, also one that is deleted."""
        return await self._ledger.read(Tenant, tenant_id)

    async def page(
        self,
        *,
        parent_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        state: TenantState | None = None,
        with_deleted: bool = False,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[Tenant]:
        """Return one page of tenants, or of the children of one, among `tenant_ids` (None: all).

        Deleted ones are left out unless `state` asks for them, or `with_deleted`.
        """
        where: dict[str, Wanted] = {"parent_id": parent_id, "tenant_id": tenant_ids}
        if state is TenantState.DELETED:
            where["deleted_at"] = Presence.GIVEN
        elif not with_deleted:
            where["deleted_at"] = Presence.MISSING
        if state in (TenantState.ACTIVE, TenantState.SUSPENDED):
            where["is_suspended"] = state is TenantState.SUSPENDED
        return await self._ledger.page(Tenant, where=where, after=after, limit=limit, sort=sort)

    async def _set_suspended(
        self, tenant_id: str, event: ChangeType, order: Order
    ) -> Changed[Tenant]:
        is_suspended = event is ChangeType.TENANT_SUSPENDED

        def edit(before: Tenant) -> Tenant:
            _require_living(before)
            if before.is_suspended is is_suspended:
                return before
            return replace(before, is_suspended=is_suspended, state_reason=order.reason)

        events = dict.fromkeys(("is_suspended", "state_reason"), event)
        return await self._ledger.edit(Tenant, tenant_id, edit, order, events)

    async def _edit(
        self, tenant_id: str, edit: Callable[[Tenant], Tenant], order: Order
    ) -> Changed[Tenant]:
        return await self._ledger.edit(Tenant, tenant_id, edit, order, TENANT_FIELD_EVENTS)

    async def _require_parent(self, tenant: Tenant) -> None:
        if not tenant.parent_id:
            return
        parent = await self._ledger.tenant_in_use(tenant.parent_id)
        if parent is None:
            raise Refused([("/parent_id", f"there is no tenant '{tenant.parent_id}'")])
        if parent.parent_id:
            raise Refused([("/parent_id", f"tenant '{tenant.parent_id}' has a parent itself")])

    def _require(self, values: Mapping[str, Any]) -> None:
        self._rules.require(values, self._clock.now())


def _require_living(tenant: Tenant) -> None:
    if tenant.is_deleted:
        raise Conflict(f"tenant '{tenant.tenant_id}' is deleted: nothing about it can change")
