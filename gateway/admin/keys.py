"""Keys over the admin API: each route is one act of the keyring.

Knows paths and status codes. It must not decide anything about a key, and addresses no key by its
secret: a secret in a URL would stand in every log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.auth import ACTOR
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    read_body,
    read_limit,
    read_order,
    read_query,
)
from gateway.admin.wire import KeyCreate, KeyLookup, KeyUpdate, KeyView, NewKey
from gateway.domain.change import Order
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import KeyQuery
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound

_ONE: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"


class KeyRoutes:
    """The handlers of `/admin/v1/keys`."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        self._keyring = keyring

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

    async def create(self, request: web.Request) -> web.Response:
        """Mint a key; the answer holds its secret, once."""
        body = await read_body(request, KeyCreate)
        minted = await self._keyring().create_key(
            body.wish(self._keyring().now()), Order(actor=request[ACTOR])
        )
        shown = NewKey(
            key=self._view(minted.record), secret=minted.secret, warnings=minted.warnings
        )
        return answer(shown, status=201, location=f"/admin/v1/keys/{minted.record.key_id}")

    async def page(self, request: web.Request) -> web.Response:
        """List keys by tenant and by the state that holds now."""
        query = read_query(request, ("tenant_id", "state", "limit", "cursor"))
        state = query.get("state", "")
        if state and state not in set(KeyState):
            raise BadRequest(400, f"`state` is one of {', '.join(KeyState)}.")
        found = await self._keyring().list_keys(
            KeyQuery(tenant_id=query.get("tenant_id", ""), state=state),
            after=query.get("cursor", ""),
            limit=read_limit(query),
        )
        return answer_page(map(self._view, found.records), found.cursor)

    async def lookup(self, request: web.Request) -> web.Response:
        """Tell which key a secret belongs to."""
        body = await read_body(request, KeyLookup)
        record = await self._keyring().find_key(body.secret.encode())
        if record is None:
            raise NotFound("no key has that secret")
        return self._answer(record)

    async def show(self, request: web.Request) -> web.Response:
        """Show one key."""
        return self._answer(await self._keyring().get_key(_key_id(request)))

    async def update(self, request: web.Request) -> web.Response:
        """Change some fields of a key."""
        body = await read_body(request, KeyUpdate)
        changes = body.changes(self._keyring().now())
        changed = await self._keyring().update_key(
            _key_id(request), changes, Order(actor=request[ACTOR])
        )
        return answer_changed(self._view(changed.record), changed.enforced)

    async def resume(self, request: web.Request) -> web.Response:
        """Let a suspended key work again."""
        order = await read_order(request)
        changed = await self._keyring().resume_key(_key_id(request), order)
        return answer_changed(self._view(changed.record), changed.enforced)

    async def revoke(self, request: web.Request) -> web.Response:
        """Stop a key for ever."""
        order = await read_order(request)
        changed = await self._keyring().revoke_key(_key_id(request), order)
        return answer_changed(self._view(changed.record), changed.enforced)

    def _view(self, record: KeyRecord) -> KeyView:
        return KeyView.of(record, self._keyring().state_of(record))

    def _answer(self, record: KeyRecord) -> web.Response:
        return answer(self._view(record))


def _key_id(request: web.Request) -> str:
    return request.match_info["key_id"]
