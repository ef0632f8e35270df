"""Rotations over the admin API: start one, see who has not moved yet, end it.

Knows paths, status codes and how two lists of clients become one answer. It must not decide when a rotation may end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from gateway.admin.acts import named_as_in_body, read_act, seconds
from gateway.admin.life_wire import (
    ClientView,
    KeyRotate,
    RotationReport,
    RotationStarted,
    RotationView,
)
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    answer,
    answer_changed,
    answer_page,
    read_limit,
    read_order,
    read_query,
)
from gateway.admin.wire import KeyView
from gateway.domain.change import Order
from gateway.domain.enforcement import Enforced
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.rotations import Rotation, RotationState
from gateway.keyring.ledger import Changed, Page
from gateway.ports import RequestLog

_KEY: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"
_ALL: Final = "/admin/v1/rotations"
_NAMES: Final = {
    "/grace_seconds": "/grace",
    "/idle_seconds": "/idle",
    "/delivery_seconds": "/deliver_in",
}
_ONE: Final = f"{_ALL}/{{rotation_id:[A-Za-z0-9._-]{{1,64}}}}"


class Keys(Protocol):
    """What these routes ask about keys."""

    async def get_key(self, key_id: str) -> KeyRecord: ...

    def now(self) -> float: ...

    def state_of(self, record: KeyRecord) -> KeyState: ...


class Started(Protocol):
    """A rotation that has begun. `secret` is empty when the key is handed over with a link."""

    @property
    def rotation(self) -> Rotation: ...

    @property
    def old(self) -> KeyRecord: ...

    @property
    def new(self) -> KeyRecord: ...

    @property
    def secret(self) -> str: ...

    @property
    def enforced(self) -> Enforced | None: ...

    @property
    def delivery_token(self) -> str: ...


class Rotations(Protocol):
    """Who replaces keys. Raises what the keyring raises."""

    async def start(
        self,
        key_id: str,
        order: Order,
        *,
        grace_seconds: float | None = None,
        idle_seconds: float | None = None,
        delivery_seconds: float | None = None,
    ) -> Started: ...

    async def complete(self, rotation_id: str, order: Order) -> Changed[Rotation]: ...

    async def abort(self, rotation_id: str, order: Order) -> Changed[Rotation]: ...

    async def get(self, rotation_id: str) -> Rotation: ...

    async def page(
        self,
        *,
        tenant_id: str = "",
        state: str = "",
        lineage_id: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Page[Rotation]: ...


class RotationRoutes:
    """The handlers of `/admin/v1/rotations`, and of `:rotate`. `link` makes the URL of a delivery."""

    def __init__(
        self,
        rotations: Callable[[], Rotations],
        keys: Callable[[], Keys],
        link: Callable[[str], str],
        log: RequestLog | None,
    ) -> None:
        self._rotations = rotations
        self._keys = keys
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

    async def rotate(self, request: web.Request) -> web.Response:
        """Replace a key by one with the same settings; both work until the rotation ends."""
        body, order = await read_act(request, KeyRotate)
        with named_as_in_body(_NAMES):
            begun = await self._rotations().start(
                request.match_info["key_id"],
                order,
                grace_seconds=seconds(body.grace),
                idle_seconds=seconds(body.idle),
                delivery_seconds=seconds(body.deliver_in),
            )
        shown = RotationStarted(
            rotation=RotationView.of(begun.rotation),
            old_key=self._view(begun.old),
            new_key=self._view(begun.new),
            secret=begun.secret or None,
            delivery_url=self._link(begun.delivery_token) if begun.delivery_token else None,
            warnings=(),
        )
        location = f"{_ALL}/{begun.rotation.rotation_id}"
        return answer_changed(shown, begun.enforced, status=201, location=location)

    async def page(self, request: web.Request) -> web.Response:
        """List rotations by tenant, state and lineage."""
        query = read_query(request, ("tenant_id", "state", "lineage_id", "limit", "cursor"))
        state = query.get("state", "")
        if state and state not in set(RotationState):
            raise BadRequest(400, f"`state` is one of {', '.join(RotationState)}.")
        found = await self._rotations().page(
            tenant_id=query.get("tenant_id", ""),
            state=state,
            lineage_id=query.get("lineage_id", ""),
            after=query.get("cursor", ""),
            limit=read_limit(query),
        )
        return answer_page(map(RotationView.of, found.records), found.cursor)

    async def show(self, request: web.Request) -> web.Response:
        """Show one rotation: its deadline, and whether the new key has worked."""
        rotation = await self._rotation(request)
        keys = self._keys()
        old = await keys.get_key(rotation.old_key_id)
        new = await keys.get_key(rotation.new_key_id)
        return answer(RotationReport.of_keys(rotation, old, new, keys.now()))

    async def clients(self, request: web.Request) -> web.Response:
        """List who used the old key since the rotation began, and whether they have moved to the new one."""
        query = read_query(request, ("has_moved",))
        wanted = query.get("has_moved")
        if wanted not in (None, "true", "false"):
            raise BadRequest(400, "`has_moved` is true or false.")
        rotation = await self._rotation(request)
        if self._log is None:
            raise BadRequest(404, "No request log is kept here, so nobody knows who has not moved.")
        old = await self._log.clients(rotation.old_key_id, rotation.started_at)
        new = await self._log.clients(rotation.new_key_id, rotation.started_at)
        moved = {(each["client_address"], each["user_agent"]): each["last_at"] for each in new}
        views = [
            ClientView.of_client(each, moved.get((each["client_address"], each["user_agent"])))
            for each in old
        ]
        return answer_page(
            [each for each in views if wanted in (None, str(each.has_moved).lower())], ""
        )

    async def complete(self, request: web.Request) -> web.Response:
        """Stop the old key now."""
        order = await read_order(request)
        changed = await self._rotations().complete(request.match_info["rotation_id"], order)
        return answer_changed(RotationView.of(changed.record), changed.enforced)

    async def abort(self, request: web.Request) -> web.Response:
        """Go back to the old key; the new one is revoked."""
        order = await read_order(request)
        changed = await self._rotations().abort(request.match_info["rotation_id"], order)
        return answer_changed(RotationView.of(changed.record), changed.enforced)

    async def _rotation(self, request: web.Request) -> Rotation:
        return await self._rotations().get(request.match_info["rotation_id"])

    def _view(self, record: KeyRecord) -> KeyView:
        return KeyView.of(record, self._keys().state_of(record))
