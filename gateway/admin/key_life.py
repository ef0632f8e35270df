"""Further acts on keys over the admin API: extend, suspend for a while, delete, import.

Knows paths and status codes. It must not decide anything about a key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from aiohttp import web

from gateway.admin.acts import named_as_in_body, read_act, require_plan, spans_of
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, changes, describes
from gateway.admin.life_wire import Imported, KeyExtend, KeysImport, KeySuspend
from gateway.admin.requests import answer, answer_changed, read_order
from gateway.admin.rights import needs
from gateway.admin.wire import Act, KeyView
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Order
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.keyring.ledger import Changed
from gateway.ports import Conflict

_ONE: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"


class Keys(Protocol):
    """What these routes order. Raises what the keyring raises."""

    async def extend_key(
        self, key_id: str, expires_at: float, order: Order
    ) -> Changed[KeyRecord]: ...

    async def suspend_key(
        self, key_id: str, order: Order, resume_at: float | None = None
    ) -> Changed[KeyRecord]: ...

    async def delete_key(self, key_id: str, order: Order) -> Changed[KeyRecord]: ...

    async def import_key(self, record: KeyRecord, order: Order) -> Changed[KeyRecord]: ...

    def now(self) -> float: ...

    def state_of(self, record: KeyRecord) -> KeyState: ...


class KeyLifeRoutes:
    """The handlers of acts on keys that need more than a reason."""

    def __init__(self, keys: Callable[[], Keys]) -> None:
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/admin/v1/keys:import", self.import_),
            web.post(f"{_ONE}:extend", self.extend),
            web.post(f"{_ONE}:suspend", self.suspend),
            web.delete(_ONE, self.delete),
        ]

    @needs(Right.OPERATE)
    @changes(KeyExtend, KeyView)
    async def extend(self, request: web.Request) -> web.Response:
        """Give a key a new end, also after the old one has passed."""
        body, order = await read_act(request, KeyExtend)
        until = body.until(self._keys().now())
        with named_as_in_body(spans_of(body)):
            return self._answer(await self._keys().extend_key(_key_id(request), until, order))

    @needs(Right.OPERATE)
    @changes(KeySuspend, KeyView)
    async def suspend(self, request: web.Request) -> web.Response:
        """Stop a key for a while: until it is resumed, or until a time."""
        body, order = await read_act(request, KeySuspend)
        until = body.until(self._keys().now())
        with named_as_in_body(spans_of(body)):
            return self._answer(await self._keys().suspend_key(_key_id(request), order, until))

    @needs(Right.OPERATE)
    @changes(Act, KeyView)
    async def delete(self, request: web.Request) -> web.Response:
        """Revoke a key and leave it out of lists; its history stays."""
        order = await read_order(request)
        return self._answer(await self._keys().delete_key(_key_id(request), order))

    @needs(Right.ADMINISTER, is_filtered=True)
    @describes(Description(body=KeysImport, answer=Imported, is_act=True))
    async def import_(self, request: web.Request) -> web.Response:
        """Store keys that others minted, by their hashes: all of them, unless one cannot be.

        Safe to repeat: a key that is stored already is brought up to date.
        """
        body, order = await read_act(request, KeysImport)
        records = [each.record() for each in body.keys]
        await request[PRINCIPAL].reach.require_tenants(
            (f"/keys/{n}/tenant_id", each.tenant_id) for n, each in enumerate(records)
        )
        for each in records:
            require_plan(request, each.tenant_id, each.plan)
        await self._require_importable(records, order)
        stored = [(await self._keys().import_key(each, order)).record for each in records]
        return answer(Imported(data=list(map(self._view, stored))))

    async def _require_importable(self, records: list[KeyRecord], order: Order) -> None:
        """Raise `Refused` with everything that stands against any of the keys, before one is stored."""
        trial = replace(order, is_dry_run=True)
        problems: list[Problem] = []
        ids, digests = set[str](), set[bytes]()
        for n, record in enumerate(records):
            if record.key_id in ids:
                problems.append((f"/keys/{n}/key_id", "stands here twice"))
            if record.digest in digests:
                problems.append((f"/keys/{n}/digest", "stands here twice"))
            ids.add(record.key_id)
            digests.add(record.digest)
            try:
                await self._keys().import_key(record, trial)
            except Refused as refused:
                problems += [(f"/keys/{n}{where}", text) for where, text in refused.problems]
            except Conflict as conflict:
                problems.append((f"/keys/{n}", str(conflict)))
        if problems:
            raise Refused(problems)

    def _view(self, record: KeyRecord) -> KeyView:
        return KeyView.of(record, self._keys().state_of(record))

    def _answer(self, changed: Changed[KeyRecord]) -> web.Response:
        return answer_changed(self._view(changed.record), changed.enforced)


def _key_id(request: web.Request) -> str:
    return request.match_info["key_id"]
