"""Keys over the admin API: each route is one act of the keyring.

Knows paths and status codes. It must not decide anything about a key, and addresses no key by its
secret: a secret in a URL would stand in every log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from aiohttp import web

from gateway.admin.acts import named_as_in_body, require_plan, spans_of
from gateway.admin.auth import ACTOR, PRINCIPAL
from gateway.admin.deliveries import Link
from gateway.admin.described import Description, changes, creates, describes, lists, shows
from gateway.admin.idempotency import once
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
    read_switch,
)
from gateway.admin.rights import needs
from gateway.admin.wire import Act, KeyCreate, KeyLookup, KeyUpdate, KeyView, NewKey, export_name
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Order
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.queries import KeyQuery
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import Changed, NotFound

_ONE: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"
_ASKED: Final = (
    *("tenant_id", "environment", "template", "tag", "lineage_id", "pepper_id"),
    *("state", "kind", "q", "with_hidden"),
)
"""What keys may be asked for."""

_SORTS: Final = ("name", "created_at", "expires_at", "last_used_at")


class KeyRoutes:
    """The handlers of `/admin/v1/keys`."""

    def __init__(self, keyring: Callable[[], Keyring], link: Callable[[str], Link]) -> None:
        self._keyring = keyring
        self._link = link

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/admin/v1/keys", self.create),
            web.get("/admin/v1/keys", self.page, allow_head=False),
            web.post("/admin/v1/keys:lookup", self.lookup),
            web.get(_ONE, self.show, allow_head=False),
            web.patch(_ONE, self.update),
            web.post(f"{_ONE}:resume", self.resume),
            web.post(f"{_ONE}:revoke", self.revoke),
        ]

    @needs(Right.OPERATE, is_filtered=True)
    @creates(KeyCreate, NewKey)
    async def create(self, request: web.Request) -> web.Response:
        """Mint a key; the answer holds its secret, once."""
        body = await read_body(request, KeyCreate)
        order = order_of_new(request)
        await self._require_within(request, body)
        make = partial(self._create, body, order)
        return await once(request, self._keyring().repeats, make)

    async def _create(self, body: KeyCreate, order: Order) -> tuple[str, web.Response]:
        wish, seconds = body.wish(self._keyring().now()), body.delivery_seconds()
        with named_as_in_body(spans_of(body)):
            minted = await self._keyring().create_key(wish, order, delivery_seconds=seconds)
        record, token = minted.record, minted.delivery_token
        link = self._link(token) if token else None
        shown = NewKey(
            key=self._view(record),
            secret=minted.secret or None,
            delivery_url=link.url if link else None,
            export_name=export_name(await self._keyring().tenants.get(record.tenant_id), record),
            warnings=(*minted.warnings, *(link.warnings if link else ())),
        )
        location = f"/admin/v1/keys/{record.key_id}"
        return record.key_id, answer(shown, status=201, location=location)

    @needs(Right.READ, is_filtered=True)
    @lists(KeyView, *_ASKED, sorts=_SORTS)
    async def page(self, request: web.Request) -> web.Response:
        """List keys by what they are now; `q` is part of a name, an id or a display text.

        A page may hold fewer than `limit`, even none, though more follow.
        """
        query = read_query(request, (*_ASKED, "sort", "limit", "cursor"))
        texts: dict[str, Any] = {name: query.get(name, "") for name in _ASKED[:6]}
        found = await self._keyring().list_keys(
            KeyQuery(
                **texts,
                state=read_choice(query, "state", KeyState),
                kind=read_choice(query, "kind", KeyKind),
                text=query.get("q", ""),
                with_hidden=read_switch(query, "with_hidden"),
                tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
                sort=read_sort(query, _SORTS),
            ),
            after=query.get("cursor", ""),
            limit=read_limit(query),
        )
        return answer_page(map(self._view, found.records), found.cursor)

    @needs(Right.READ, is_filtered=True)
    @describes(Description(body=KeyLookup, answer=KeyView, errors=(404,)))
    async def lookup(self, request: web.Request) -> web.Response:
        """Tell which key a secret belongs to. The audit trail tells who asked, and what for an answer came."""
        body = await read_body(request, KeyLookup)
        read_query(request, ())
        within = await request[PRINCIPAL].reach.tenant_ids()
        order = Order(actor=request[ACTOR])
        record = await self._keyring().look_up(body.secret.encode(), order, within)
        if record is None:
            raise NotFound("no key has that secret")
        return answer(self._view(record))

    @needs(Right.READ)
    @shows(KeyView)
    async def show(self, request: web.Request) -> web.Response:
        """Show one key."""
        read_query(request, ())
        return answer(self._view(await self._keyring().get_key(_key_id(request))))

    @needs(Right.OPERATE)
    @changes(KeyUpdate, KeyView)
    async def update(self, request: web.Request) -> web.Response:
        """Change some fields of a key."""
        body = await read_body(request, KeyUpdate)
        if body.tenants:
            await _require_tenants(request, body.tenants)
        if "plan" in body.model_fields_set:
            key = await self._keyring().get_key(_key_id(request))
            require_plan(request, key.tenant_id, body.plan or "", key.plan)
        wanted, order = body.changes(self._keyring().now()), order_of(request)
        with named_as_in_body(spans_of(body)):
            return self._answer(await self._keyring().update_key(_key_id(request), wanted, order))

    @needs(Right.OPERATE)
    @changes(Act, KeyView)
    async def resume(self, request: web.Request) -> web.Response:
        """Let a suspended key work again."""
        order = await read_order(request)
        return self._answer(await self._keyring().resume_key(_key_id(request), order))

    @needs(Right.OPERATE)
    @changes(Act, KeyView)
    async def revoke(self, request: web.Request) -> web.Response:
        """Stop a key for ever."""
        order = await read_order(request)
        return self._answer(await self._keyring().revoke_key(_key_id(request), order))

    async def _require_within(self, request: web.Request, body: KeyCreate) -> None:
        """Raise unless whoever asks may make such a key, for that tenant."""
        await request[PRINCIPAL].reach.require_tenants([("/tenant_id", body.tenant_id)])
        require_plan(request, body.tenant_id, body.plan)
        kind = await self._keyring().kind_of(body.wish(self._keyring().now()))
        if kind is KeyKind.MULTI_TENANT or body.tenants:
            await _require_tenants(request, body.tenants)

    def _view(self, record: KeyRecord) -> KeyView:
        return key_view(self._keyring(), record)

    def _answer(self, changed: Changed[KeyRecord]) -> web.Response:
        return answer_changed(self._view(changed.record), changed.enforced)


def key_view(keyring: Keyring, record: KeyRecord) -> KeyView:
    """Show `record` with its state and its rotation as they are now."""
    now = keyring.now()
    due_at = keyring.policies.rotation_due(record, now)
    return KeyView.of(
        record,
        keyring.state_of(record),
        rotation_due_at=due_at,
        is_rotation_overdue=due_at is not None and due_at <= now,
    )


async def _require_tenants(request: web.Request, tenants: Iterable[str]) -> None:
    """Raise unless whoever asks may let a key act for these tenants (IV-14: administrators only)."""
    principal = request[PRINCIPAL]
    principal.require(Right.ADMINISTER)
    named = [(f"/tenants/{index}", tenant_id) for index, tenant_id in enumerate(tenants)]
    await principal.reach.require_tenants(named)


def _key_id(request: web.Request) -> str:
    return request.match_info["key_id"]
