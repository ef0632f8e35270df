"""Tenants over the admin API: each route is one act of the keyring.

Knows paths and status codes, and what a token may do to the very tenant that it is bound to. It must not decide
anything else about a tenant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.acts import read_act
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import changes, creates, lists, shows
from gateway.admin.idempotency import once
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    order_of,
    order_of_new,
    read_body,
    read_choice,
    read_limit,
    read_order,
    read_query,
    read_sort,
)
from gateway.admin.rights import needs
from gateway.admin.tenant_wire import (
    TenantCreate,
    TenantDelete,
    TenantGone,
    TenantUpdate,
    TenantView,
)
from gateway.admin.wire import Act
from gateway.domain.admin_tokens import Right
from gateway.domain.key_rules import Refused
from gateway.domain.tenants import Tenant, TenantState
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import Changed
from gateway.keyring.tenants import TenantRoll

_ALL: Final = "/admin/v1/tenants"
_ONE: Final = f"{_ALL}/{{tenant_id:[A-Za-z0-9._-]{{1,64}}}}"
_SORTS: Final = ("name", "created_at")
_STATES: Final = tuple(str(each) for each in TenantState)


class TenantRoutes:
    """The handlers of `/admin/v1/tenants`."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        self._keyring = keyring

    @property
    def _tenants(self) -> TenantRoll:
        return self._keyring().tenants

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(_ALL, self.create),
            web.get(_ALL, self.page, allow_head=False),
            web.get(_ONE, self.show, allow_head=False),
            web.patch(_ONE, self.update),
            web.delete(_ONE, self.delete),
            web.post(f"{_ONE}:suspend", self.suspend),
            web.post(f"{_ONE}:resume", self.resume),
        ]

    @needs(Right.ADMINISTER, is_filtered=True)
    @creates(TenantCreate, TenantView)
    async def create(self, request: web.Request) -> web.Response:
        """Create a tenant."""
        body = await read_body(request, TenantCreate)
        order = order_of_new(request)
        reach = request[PRINCIPAL].reach
        if not reach.is_everything and body.parent_id != reach.tenant_id:
            raise BadRequest(403, f"Your token makes children of '{reach.tenant_id}' only.")
        if not reach.is_everything and body.tenant_id:
            # That an id is taken would tell of the tenants of others.
            raise Refused([("/tenant_id", "leave it out: your token is given ids")])

        async def make() -> tuple[str, web.Response]:
            tenant = (await self._tenants.create(body.tenant(), order)).record
            location = f"{_ALL}/{tenant.tenant_id}"
            shown = answer(TenantView.of(tenant), status=201, location=location)
            return tenant.tenant_id, shown

        async def show(tenant_id: str) -> web.Response:
            return answer(TenantView.of(await self._tenants.get(tenant_id)))

        return await once(request, self._keyring().repeats, make, show)

    @needs(Right.READ, is_filtered=True)
    @lists(TenantView, "parent_id", "state", sorts=_SORTS, schemas={"state": {"enum": [*_STATES]}})
    async def page(self, request: web.Request) -> web.Response:
        """List tenants, or the children of one; deleted ones only when they are asked for."""
        query = read_query(request, ("parent_id", "state", "sort", "limit", "cursor"))
        state = read_choice(query, "state", _STATES)
        found = await self._tenants.page(
            parent_id=query.get("parent_id", ""),
            tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
            state=TenantState(state) if state else None,
            after=query.get("cursor", ""),
            limit=read_limit(query),
            sort=read_sort(query, _SORTS),
        )
        return answer_page(map(TenantView.of, found.records), found.cursor)

    @needs(Right.READ)
    @shows(TenantView)
    async def show(self, request: web.Request) -> web.Response:
        """Show one tenant."""
        read_query(request, ())
        return answer(TenantView.of(await self._tenants.get(_tenant_id(request))))

    @needs(Right.ADMINISTER)
    @changes(TenantUpdate, TenantView)
    async def update(self, request: web.Request) -> web.Response:
        """Change some fields of a tenant."""
        body = await read_body(request, TenantUpdate)
        if "plan" in body.model_fields_set:
            _refuse_own(request, "choose the plan of")
        return _answer(
            await self._tenants.update(_tenant_id(request), body.changes(), order_of(request))
        )

    @needs(Right.ADMINISTER)
    @changes(Act, TenantView)
    async def suspend(self, request: web.Request) -> web.Response:
        """Stop all keys of a tenant."""
        order = await read_order(request)
        return _answer(await self._tenants.suspend(_tenant_id(request), order))

    @needs(Right.ADMINISTER)
    @changes(Act, TenantView)
    async def resume(self, request: web.Request) -> web.Response:
        """Let the keys of a suspended tenant work again."""
        order = await read_order(request)
        _refuse_own(request, "resume")
        return _answer(await self._tenants.resume(_tenant_id(request), order))

    @needs(Right.ADMINISTER)
    @changes(TenantDelete, TenantGone)
    async def delete(self, request: web.Request) -> web.Response:
        """Delete a tenant for ever; its usage and audit stay, and its id is not used again."""
        body, order = await read_act(request, TenantDelete)
        _refuse_own(request, "delete")
        gone = await self._tenants.delete(
            _tenant_id(request),
            order,
            revoke_keys=body.revoke_keys,
            delete_children=body.delete_children,
        )
        return answer_changed(TenantGone.of_deleted(gone), gone.enforced)


def _refuse_own(request: web.Request, act: str) -> None:
    """Refuse what a token must not do to the tenant that it is bound to: undo what others decided about it."""
    if _tenant_id(request) == request[PRINCIPAL].reach.tenant_id:
        raise BadRequest(403, f"A token cannot {act} the tenant that it is bound to.")


def _answer(changed: Changed[Tenant]) -> web.Response:
    return answer_changed(TenantView.of(changed.record), changed.enforced)


def _tenant_id(request: web.Request) -> str:
    return request.match_info["tenant_id"]
