"""Admin tokens over the admin API, and who it is that asks.

Knows paths and status codes. It must not decide anything about a token but whose it may be: a token that is bound to a
tenant makes no token that reaches further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from gateway.admin.acts import named_as_in_body, spans_of
from gateway.admin.admin_token_wire import (
    AdminTokenCreate,
    AdminTokenView,
    NewAdminToken,
    WhoAmI,
)
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import changes, creates, lists, shows
from gateway.admin.idempotency import once
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    order_of_new,
    read_body,
    read_limit,
    read_order,
    read_query,
    read_sort,
)
from gateway.admin.rights import needs
from gateway.admin.wire import Act, instant
from gateway.domain.admin_tokens import RIGHTS, AdminToken, Right
from gateway.domain.change import Order
from gateway.keyring.door import Keyring

_ALL: Final = "/admin/v1/admin-tokens"
_ONE: Final = f"{_ALL}/{{token_id:[A-Za-z0-9._-]{{1,64}}}}"
_SORTS: Final = ("name", "created_at", "expires_at", "last_used_at")


class AdminTokenRoutes:
    """The handlers of `/admin/v1/admin-tokens` and `/admin/v1/whoami`."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        self._keyring = keyring

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/v1/whoami", self.whoami, allow_head=False),
            web.post(_ALL, self.create),
            web.get(_ALL, self.page, allow_head=False),
            web.get(_ONE, self.show, allow_head=False),
            web.post(f"{_ONE}:revoke", self.revoke),
        ]

    @needs(Right.READ, is_filtered=True)
    @shows(WhoAmI)
    async def whoami(self, request: web.Request) -> web.Response:
        """Tell who asks, as what, and what that allows."""
        read_query(request, ())
        principal = request[PRINCIPAL]
        token = principal.token
        shown = WhoAmI(
            name=token.name if token else principal.actor.name,
            address=principal.actor.address,
            role=principal.role,
            rights=tuple(right for right in Right if right in RIGHTS[principal.role]),
            token_id=token.token_id if token else None,
            tenant_id=principal.reach.tenant_id or None,
            expires_at=instant(token.expires_at) if token else None,
        )
        return answer(shown)

    @needs(Right.ADMINISTER, is_filtered=True)
    @creates(AdminTokenCreate, NewAdminToken)
    async def create(self, request: web.Request) -> web.Response:
        """Mint an admin token; the answer holds its secret, once."""
        body = await read_body(request, AdminTokenCreate)
        order = order_of_new(request)
        await request[PRINCIPAL].reach.require_tenants([("/tenant_id", body.tenant_id)])
        make = partial(self._create, body, order)
        return await once(request, self._keyring().repeats, make)

    async def _create(self, body: AdminTokenCreate, order: Order) -> tuple[str, web.Response]:
        with named_as_in_body(spans_of(body)):
            minted = await self._keyring().admin_tokens.create(
                body.name,
                body.role,
                order,
                tenant_id=body.tenant_id,
                expires_at=body.until(self._keyring().now()),
            )
        shown = NewAdminToken(token=self._view(minted.record), secret=minted.secret or None)
        token_id = minted.record.token_id
        return token_id, answer(shown, status=201, location=f"{_ALL}/{token_id}")

    @needs(Right.ADMINISTER, is_filtered=True)
    @lists(AdminTokenView, "tenant_id", sorts=_SORTS)
    async def page(self, request: web.Request) -> web.Response:
        """List admin tokens, or those that are bound to one tenant."""
        query = read_query(request, ("tenant_id", "sort", "limit", "cursor"))
        found = await self._keyring().admin_tokens.page(
            tenant_id=query.get("tenant_id", ""),
            tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
            after=query.get("cursor", ""),
            limit=read_limit(query),
            sort=read_sort(query, _SORTS),
        )
        return answer_page(map(self._view, found.records), found.cursor)

    @needs(Right.ADMINISTER)
    @shows(AdminTokenView)
    async def show(self, request: web.Request) -> web.Response:
        """Show one admin token."""
        read_query(request, ())
        token = await self._keyring().admin_tokens.get(request.match_info["token_id"])
        return answer(self._view(token))

    @needs(Right.ADMINISTER)
    @changes(Act, AdminTokenView)
    async def revoke(self, request: web.Request) -> web.Response:
        """Stop an admin token for ever."""
        order = await read_order(request)
        token_id = request.match_info["token_id"]
        changed = await self._keyring().admin_tokens.revoke(token_id, order)
        return answer_changed(self._view(changed.record), changed.enforced)

    def _view(self, token: AdminToken) -> AdminTokenView:
        return AdminTokenView.of(token, self._keyring().now())
