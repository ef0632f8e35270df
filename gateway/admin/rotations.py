"""Rotations over the admin API: start one, see who has not moved yet, end it.

Knows paths, status codes and how two lists of clients become one answer. It must not decide when a rotation may end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from aiohttp import web

from gateway.admin.acts import (
    named_as_in_body,
    read_act,
    read_tenants,
    require_for_secret,
    seconds,
)
from gateway.admin.auth import PRINCIPAL
from gateway.admin.deliveries import Link
from gateway.admin.described import Description, changes, describes, lists, shows
from gateway.admin.idempotency import once
from gateway.admin.life_wire import (
    ClientView,
    KeyRotate,
    RotationReport,
    RotationStarted,
    RotationView,
)
from gateway.admin.moments import moment_of
from gateway.admin.problems import BadRequest
from gateway.admin.request_log import KeptLog
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    read_choice,
    read_limit,
    read_order,
    read_query,
    read_sort,
)
from gateway.admin.rights import needs
from gateway.admin.wire import Act, KeyView, export_name
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Order
from gateway.domain.keys import KeyRecord
from gateway.domain.rotations import Rotation, RotationState
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import Changed
from gateway.keyring.narrowing import Narrowing

_KEY: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"
_ALL: Final = "/admin/v1/rotations"
_ASKED: Final = ("tenant_id", "state", "lineage_id")
_SORTS: Final = ("started_at", "deadline", "ended_at")
_NAMES: Final = {
    "/grace_seconds": "/grace",
    "/idle_seconds": "/idle",
    "/delivery_seconds": "/deliver_in",
}
_SINCE: Final = {
    "type": "string",
    "description": "A time (RFC 3339), or how long before the rotation began: 30d. By default a day.",
}
_ONE: Final = f"{_ALL}/{{rotation_id:[A-Za-z0-9._-]{{1,64}}}}"


class RotationRoutes:
    """The handlers of `/admin/v1/rotations`, and of `:rotate`. `link` makes the URL of a delivery."""

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        link: Callable[[str], Link],
        log: KeptLog | None,
    ) -> None:
        self._keyring = keyring
        self._link = link
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{_KEY}:rotate", self.rotate),
            web.get(_ALL, self.page, allow_head=False),
            web.get(_ONE, self.show, allow_head=False),
            web.get(f"{_ONE}/clients", self.clients, allow_head=False),
            web.post(f"{_ONE}:complete", self.complete),
            web.post(f"{_ONE}:abort", self.abort),
        ]

    @needs(Right.OPERATE)
    @describes(
        Description(
            body=KeyRotate,
            answer=RotationStarted,
            status=201,
            is_act=True,
            is_change=True,
            is_repeatable=True,
        )
    )
    async def rotate(self, request: web.Request) -> web.Response:
        """Replace a key by one with the same settings; both work until the rotation ends."""
        body, order = await read_act(request, KeyRotate)
        key_id = request.match_info["key_id"]
        await require_for_secret(request, await self._keyring().get_key(key_id))
        make = partial(self._rotate, key_id, body, order)
        return await once(request, self._keyring().repeats, make)

    async def _rotate(self, key_id: str, body: KeyRotate, order: Order) -> tuple[str, web.Response]:
        with named_as_in_body(_NAMES):
            begun = await self._keyring().rotations.start(
                key_id,
                order,
                grace_seconds=seconds(body.grace),
                idle_seconds=seconds(body.idle),
                delivery_seconds=seconds(body.deliver_in),
                narrowing=Narrowing(scopes=body.scopes, ip_allowlist=body.ip_allowlist),
            )
        link = self._link(begun.delivery_token) if begun.delivery_token else None
        shown = RotationStarted(
            rotation=RotationView.of(begun.rotation),
            old_key=self._view(begun.old),
            new_key=self._view(begun.new),
            secret=begun.secret or None,
            delivery_url=link.url if link else None,
            export_name=export_name(
                await self._keyring().tenants.get(begun.new.tenant_id), begun.new
            ),
            warnings=link.warnings if link else (),
        )
        location = f"{_ALL}/{begun.rotation.rotation_id}"
        response = answer_changed(shown, begun.enforced, status=201, location=location)
        return begun.rotation.rotation_id, response

    @needs(Right.READ, is_filtered=True)
    @lists(
        RotationView,
        *_ASKED,
        sorts=_SORTS,
        schemas={"state": {"enum": [str(each) for each in RotationState]}},
        errors=(404,),
    )
    async def page(self, request: web.Request) -> web.Response:
        """List rotations by tenant, state and lineage."""
        query = read_query(request, (*_ASKED, "sort", "limit", "cursor"))
        tenant_id, within = await read_tenants(request, query)
        found = await self._keyring().rotations.page(
            tenant_id=tenant_id,
            tenant_ids=within,
            state=read_choice(query, "state", RotationState),
            lineage_id=query.get("lineage_id", ""),
            after=query.get("cursor", ""),
            limit=read_limit(query),
            sort=read_sort(query, _SORTS),
        )
        return answer_page(map(RotationView.of, found.records), found.cursor)

    @needs(Right.READ)
    @shows(RotationReport)
    async def show(self, request: web.Request) -> web.Response:
        """Show one rotation: its deadline, and whether the new key has worked."""
        read_query(request, ())
        rotation = await self._rotation(request)
        keys = self._keyring()
        old = await keys.get_key(rotation.old_key_id)
        new = await keys.get_key(rotation.new_key_id)
        return answer(RotationReport.of_keys(rotation, old, new, keys.now()))

    @needs(Right.AUDIT)
    @describes(
        Description(
            answer=ClientView,
            query=("has_moved", "since"),
            schemas={"has_moved": {"type": "boolean"}, "since": _SINCE},
            errors=(409,),
            is_page=True,
        )
    )
    async def clients(self, request: web.Request) -> web.Response:
        """List who used the old key since a day before the rotation began, and who has moved to the new one."""
        query = read_query(request, ("has_moved", "since"))
        wanted = query.get("has_moved")
        if wanted not in (None, "true", "false"):
            raise BadRequest(400, "`has_moved` is true or false.")
        rotation = await self._rotation(request)
        if self._log is None or not self._log.is_kept:
            raise BadRequest(409, "No request log is kept here, so nobody knows who has not moved.")
        # Whoever asks once a night has not moved either, and has not come since.
        since = moment_of(query.get("since", "1d"), rotation.started_at, "since")
        within = await request[PRINCIPAL].reach.tenant_ids()
        old = await self._log.clients(rotation.old_key_id, since, within)
        new = await self._log.clients(rotation.new_key_id, since, within)
        moved = {(each["client_address"], each["user_agent"]): each["last_at"] for each in new}
        views = [
            ClientView.of_client(each, moved.get((each["client_address"], each["user_agent"])))
            for each in old
        ]
        return answer_page(
            [each for each in views if wanted in (None, str(each.has_moved).lower())], ""
        )

    @needs(Right.OPERATE)
    @changes(Act, RotationView)
    async def complete(self, request: web.Request) -> web.Response:
        """Stop the old key now."""
        return await self._ended(request, self._keyring().rotations.complete)

    @needs(Right.OPERATE)
    @changes(Act, RotationView)
    async def abort(self, request: web.Request) -> web.Response:
        """Go back to the old key; the new one is revoked."""
        return await self._ended(request, self._keyring().rotations.abort)

    async def _ended(
        self, request: web.Request, end: Callable[[str, Order], Awaitable[Changed[Rotation]]]
    ) -> web.Response:
        order = await read_order(request)
        changed = await end(request.match_info["rotation_id"], order)
        return answer_changed(RotationView.of(changed.record), changed.enforced)

    async def _rotation(self, request: web.Request) -> Rotation:
        return await self._keyring().rotations.get(request.match_info["rotation_id"])

    def _view(self, record: KeyRecord) -> KeyView:
        return KeyView.of(record, self._keyring().state_of(record))
