"""The configuration over the admin API: reload it, or say what a reload would do.

Knows how an attempt is told. It must not read the configuration or decide anything about it, and shows none of it:
paths of keys, never their values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel

from gateway.admin.auth import ACTOR
from gateway.admin.described import Description, describes
from gateway.admin.requests import answer, read_dry_run, read_query
from gateway.admin.rights import needs
from gateway.config.reloading import Reloaded
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Actor

_BASE: Final = "/admin/v1/config"


class ConfigChange(BaseModel):
    """A key of the configuration that changes, and how."""

    path: str
    change: str


class ReloadView(BaseModel):
    """The answer to `POST /config:reload` and `POST /config:check`.

    `restart` names the keys that count only after a restart.
    """

    result: Literal["applied", "checked"]
    generation: int
    changes: tuple[ConfigChange, ...]
    restart: tuple[str, ...]


class ConfigRoutes:
    """The handlers of `/admin/v1/config`. `reload` takes who asked for it, for the record."""

    def __init__(
        self,
        reload: Callable[[Actor], Awaitable[Reloaded]],
        check: Callable[[], Awaitable[Reloaded]],
    ) -> None:
        self._reload = reload
        self._check = check

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{_BASE}:reload", self.reload),
            web.post(f"{_BASE}:check", self.check),
        ]

    @needs(Right.OPERATE)
    @describes(Description(answer=ReloadView, is_act=True))
    async def reload(self, request: web.Request) -> web.Response:
        """Take the configuration into force that its files hold now."""
        if read_dry_run(request):
            return await _answered(self._check(), "checked")
        return await _answered(self._reload(request[ACTOR]), "applied")

    @needs(Right.OPERATE)
    @describes(Description(answer=ReloadView))
    async def check(self, request: web.Request) -> web.Response:
        """Say what a reload would do."""
        read_query(request, ())
        return await _answered(self._check(), "checked")


async def _answered(
    attempt: Awaitable[Reloaded], result: Literal["applied", "checked"]
) -> web.Response:
    reloaded = await attempt
    changes = [ConfigChange(path=path, change=kind) for path, kind in reloaded.changes]
    shown = ReloadView(
        result=result,
        generation=reloaded.generation,
        changes=tuple(changes),
        restart=tuple(reloaded.restart),
    )
    return answer(shown)
