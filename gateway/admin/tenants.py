"""Tenants over the admin API: each route is one act of the keyring.

Knows paths and status codes. It must not decide anything about a tenant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.auth import ACTOR
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    read_body,
    read_limit,
    read_order,
    read_query,
)
from gateway.admin.wire import TenantCreate, TenantUpdate, TenantView
from gateway.domain.change import Order
from gateway.keyring.tenants import TenantRoll

_ONE: Final = "/admin/v1/tenants/{tenant_id:[A-Za-z0-9._-]{1,64}}"


class TenantRoutes:
    """The handlers of `/admin/v1/tenants`."""

    def __init__(self, tenants: Callable[[], TenantRoll]) -> None:
        self._tenants = tenants

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/admin/v1/tenants", self.create),
            web.get("/admin/v1/tenants", self.page, allow_head=False),
            web.get(_ONE, self.show, allow_head=False),
            web.patch(_ONE, self.update),
            web.post(f"{_ONE}:suspend", self.suspend),
            web.post(f"{_ONE}:resume", self.resume),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a tenant."""
        body = await read_body(request, TenantCreate)
        created = await self._tenants().create(body.tenant(), Order(actor=request[ACTOR]))
        location = f"/admin/v1/tenants/{created.record.tenant_id}"
        return answer(TenantView.of(created.record), status=201, location=location)

    async def page(self, request: web.Request) -> web.Response:
        """List tenants."""
        query = read_query(request, ("limit", "cursor"))
        found = await self._tenants().page(after=query.get("cursor", ""), limit=read_limit(query))
        return answer_page(map(TenantView.of, found.records), found.cursor)

    async def show(self, request: web.Request) -> web.Response:
        """Show one tenant."""
        return answer(TenantView.of(await self._tenants().get(_tenant_id(request))))

    async def update(self, request: web.Request) -> web.Response:
        """Change some fields of a tenant."""
        body = await read_body(request, TenantUpdate)
        changed = await self._tenants().update(
            _tenant_id(request), body.changes(), Order(actor=request[ACTOR])
        )
        return answer_changed(TenantView.of(changed.record), changed.enforced)

    async def suspend(self, request: web.Request) -> web.Response:
        """Stop all keys of a tenant."""
        order = await read_order(request)
        changed = await self._tenants().suspend(_tenant_id(request), order)
        return answer_changed(TenantView.of(changed.record), changed.enforced)

    async def resume(self, request: web.Request) -> web.Response:
        """Let the keys of a suspended tenant work again."""
        order = await read_order(request)
        changed = await self._tenants().resume(_tenant_id(request), order)
        return answer_changed(TenantView.of(changed.record), changed.enforced)


def _tenant_id(request: web.Request) -> str:
    return request.match_info["tenant_id"]
