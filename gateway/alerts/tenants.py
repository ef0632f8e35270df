"""The tenants that set anything about alerts for themselves.

Knows how to keep up with the store at the cost of what changed. It must not know any rule.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from gateway.alerts.looking import Own
from gateway.domain.alert_rules import overrides
from gateway.domain.alert_rules.settings import RuleBook
from gateway.domain.tenants import Tenant
from gateway.ports import KeyStore
from gateway.zones import zone_named

_PAGE: Final = 200
CHANGES_MAX: Final = 500
"""Changed records that are asked for one by one; after more than that, all tenants are read."""

_log = logging.getLogger(__name__)


class OwnSettings:
    """Follows the tenants of `store`."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._revision: int | None = None
        self._book: RuleBook | None = None
        self._tenants: dict[str, Tenant] = {}
        self._own: dict[str, Own] = {}

    async def under(self, book: RuleBook) -> dict[str, Own]:
        """Return what tenants have of their own, over `book`, by their ids. Raises `StoreUnavailable`."""
        changed = await self._follow()
        if book is not self._book:
            self._book, changed = book, list(self._tenants)
            self._own.clear()
        for tenant_id in changed:
            tenant = self._tenants.get(tenant_id)
            if tenant is None:
                self._own.pop(tenant_id, None)
            else:
                self._own[tenant_id] = own_settings(tenant, book)
        return self._own

    async def _follow(self) -> list[str]:
        """Read what changed; return the ids of tenants that may have."""
        if self._revision is None:
            return await self._read_all()
        revision, ids = await self._store.changes_since(self._revision)
        if len(ids) > CHANGES_MAX:
            return await self._read_all()
        for changed_id in ids:
            tenant = await self._store.get(Tenant, changed_id)
            self._know(changed_id, tenant)
        self._revision = revision
        return ids

    async def _read_all(self) -> list[str]:
        revision = await self._store.revision()
        before, self._tenants = self._tenants, {}
        after = ""
        while True:
            page = await self._store.list_tenants(after=after, limit=_PAGE)
            for tenant in page:
                self._know(tenant.tenant_id, tenant)
            if len(page) < _PAGE:
                break
            after = page[-1].tenant_id
        self._revision = revision
        return _either(before, self._tenants)

    def _know(self, tenant_id: str, tenant: Tenant | None) -> None:
        if tenant is not None and tenant.alerts:
            self._tenants[tenant_id] = tenant
        else:
            self._tenants.pop(tenant_id, None)


def _either(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return [*dict.fromkeys((*one, *other))]


def own_settings(tenant: Tenant, book: RuleBook) -> Own:
    """Return what a tenant has of its own. What was stored before there were rules for it counts for nothing."""
    for pointer, text in overrides.problems(tenant.alerts, zone_named):
        _log.warning("alerts of %s are ignored: %s %s", tenant.tenant_id, pointer, text)
        return Own(book, None)
    return Own(book.under(tenant.alerts), overrides.business_hours(tenant.alerts, zone_named))
