"""Tenants, as the keyring changes them.

Knows how a tenant is created, edited, suspended and resumed. It must not know keys: that a
suspended tenant stops its keys is decided where a key is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from gateway.domain.change import TENANT_FIELD_EVENTS, Actor, ChangeType
from gateway.domain.key_rules import Rules, settled
from gateway.domain.tenants import Tenant
from gateway.ledger import Ledger, Page
from gateway.ports import Clock, KeyStore


class TenantChanges(TypedDict, total=False):
    """What an update of a tenant may set; `metadata` is a JSON merge patch (RFC 7396)."""

    name: str
    ip_allowlist: tuple[str, ...]
    ip_allowlist_enabled: bool
    plan: str
    metadata: Mapping[str, Any] | None


class TenantRoll:
    """Creates and changes tenants. What it promises and raises is what `Keyring` does."""

    def __init__(
        self,
        *,
        store: KeyStore,
        rules: Rules,
        clock: Clock,
        ledger: Ledger,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._ledger = ledger
        self._new_id = new_id

    async def create(self, tenant: Tenant, actor: Actor) -> Tenant:
        """Store a new tenant; one without an id is given one."""
        tenant_id = tenant.tenant_id or self._new_id()
        fresh = replace(tenant, tenant_id=tenant_id, created_at=self._clock.now())
        names = ("tenant_id", *TENANT_FIELD_EVENTS)
        self._require({name: getattr(fresh, name) for name in names})
        return await self._ledger.insert_tenant(fresh, actor)

    async def import_(self, tenant: Tenant, actor: Actor) -> Tenant:
        """Store a tenant, or bring the stored one up to date.

        Safe to repeat. A suspended tenant stays suspended.
        """
        if await self._store.get_tenant(tenant.tenant_id) is None:
            return await self.create(tenant, actor)
        values = {name: getattr(tenant, name) for name in TENANT_FIELD_EVENTS}
        self._require(values)
        return await self._ledger.edit_tenant(
            tenant.tenant_id, lambda before: replace(before, **values), actor
        )

    async def update(
        self, tenant_id: str, changes: TenantChanges, actor: Actor, reason: str = ""
    ) -> Tenant:
        """Set the fields in `changes`."""

        def edit(before: Tenant) -> Tenant:
            values = settled(before.metadata, changes)
            self._require(values)
            return replace(before, **values)

        return await self._ledger.edit_tenant(tenant_id, edit, actor, reason=reason)

    async def suspend(self, tenant_id: str, reason: str, actor: Actor) -> Tenant:
        """Stop all keys of a tenant; `reason` is mandatory."""
        self._require({"reason": reason})
        return await self._set_suspended(tenant_id, ChangeType.TENANT_SUSPENDED, reason, actor)

    async def resume(self, tenant_id: str, actor: Actor, reason: str = "") -> Tenant:
        """Let the keys of a suspended tenant work again."""
        return await self._set_suspended(tenant_id, ChangeType.TENANT_RESUMED, reason, actor)

    async def get(self, tenant_id: str) -> Tenant:
        """Return the tenant."""
        return await self._ledger.tenant(tenant_id)

    async def page(self, *, after: str = "", limit: int = 100) -> Page[Tenant]:
        """Return one page of tenants, ordered by id."""
        rows = await self._store.list_tenants(after=after, limit=limit + 1)
        return Page(rows[:limit], rows[limit - 1].tenant_id if len(rows) > limit else "")

    async def _set_suspended(
        self, tenant_id: str, event: ChangeType, reason: str, actor: Actor
    ) -> Tenant:
        is_suspended = event is ChangeType.TENANT_SUSPENDED

        def edit(before: Tenant) -> Tenant:
            if before.is_suspended is is_suspended:
                return before
            return replace(before, is_suspended=is_suspended, state_reason=reason)

        events = dict.fromkeys(("is_suspended", "state_reason"), event)
        return await self._ledger.edit_tenant(tenant_id, edit, actor, events=events, reason=reason)

    def _require(self, values: Mapping[str, Any]) -> None:
        self._rules.require(values, self._clock.now())
