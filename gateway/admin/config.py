"""The configuration over the admin API: reload it, roll it back, or say what a reload would do, and to whom.

Knows how an attempt is told. It must not read the configuration or decide anything about it, and shows none of it:
paths of keys, never their values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.admin.acts import read_act
from gateway.admin.auth import ACTOR
from gateway.admin.config_wire import PlannedView, ReloadView, RollbackView
from gateway.admin.described import Description, describes
from gateway.admin.problems import BadRequest
from gateway.admin.requests import answer, read_dry_run, read_limit, read_query
from gateway.admin.rights import needs
from gateway.admin.wire import Act
from gateway.config.planned import Planned
from gateway.config.reloading import Reloaded
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Actor, Order
from gateway.domain.key_rules import require_reason

_BASE: Final = "/admin/v1/config"


class ConfigRoutes:
    """The handlers of `/admin/v1/config`. `reload` takes who asked for it, for the record; `plan` how many keys to
    name.
    """

    def __init__(
        self,
        reload: Callable[[Actor], Awaitable[Reloaded]],
        check: Callable[[], Awaitable[Reloaded]],
        *,
        roll_back: Callable[[Order], Awaitable[Reloaded]],
        plan: Callable[[int], Awaitable[Planned]],
    ) -> None:
        self._reload = reload
        self._check = check
        self._roll_back = roll_back
        self._plan = plan

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{_BASE}:reload", self.reload),
            web.post(f"{_BASE}:check", self.check),
            web.post(f"{_BASE}:plan", self.plan),
            web.post(f"{_BASE}:rollback", self.roll_back),
        ]

    @needs(Right.OPERATE)
    @describes(Description(answer=ReloadView, is_act=True))
    async def reload(self, request: web.Request) -> web.Response:
        """Take the configuration into force that its files hold now."""
        if read_dry_run(request):
            return answer(ReloadView.of(await self._check(), "checked"))
        return answer(ReloadView.of(await self._reload(request[ACTOR]), "applied"))

    @needs(Right.OPERATE)
    @describes(Description(answer=ReloadView, errors=(422,)))
    async def check(self, request: web.Request) -> web.Response:
        """Say what a reload would do."""
        read_query(request, ())
        return answer(ReloadView.of(await self._check(), "checked"))

    @needs(Right.OPERATE)
    @describes(Description(answer=PlannedView, query=("limit",), errors=(422,)))
    async def plan(self, request: web.Request) -> web.Response:
        """Say what a reload would do to routes, limits and upstreams, and which keys would lose or gain access."""
        first = read_limit(read_query(request, ("limit",)))
        return answer(PlannedView.of_plan(await self._plan(first)))

    @needs(Right.OPERATE)
    @describes(Description(body=Act, answer=RollbackView, is_act=True))
    async def roll_back(self, request: web.Request) -> web.Response:
        """Take the configuration from before the last change into force again, until the files change."""
        _, order = await read_act(request, Act)
        if order.expected_revision is not None:
            raise BadRequest(400, "A configuration has no revision that `If-Match` could be about.")
        require_reason(order.reason)
        rolled_back = await self._roll_back(order)
        return answer(
            RollbackView.of(rolled_back, "checked" if order.is_dry_run else "rolled_back")
        )
