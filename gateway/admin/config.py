"""The configuration over the admin API: reload it, or say what a reload would do.

Knows how an attempt is told. It must not read the configuration or decide anything about it, and shows none of it:
paths of keys, never their values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.admin.auth import ACTOR
from gateway.admin.requests import read_query
from gateway.config.reloading import Reloaded
from gateway.domain.change import Actor

_BASE: Final = "/admin/v1/config"


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

    async def reload(self, request: web.Request) -> web.Response:
        """Take the configuration into force that its files hold now."""
        read_query(request, ())
        return await _answered(self._reload(request[ACTOR]), "applied")

    async def check(self, request: web.Request) -> web.Response:
        """Say what a reload would do."""
        read_query(request, ())
        return await _answered(self._check(), "checked")


async def _answered(attempt: Awaitable[Reloaded], result: str) -> web.Response:
    reloaded = await attempt
    body: dict[str, Any] = {
        "result": result,
        "generation": reloaded.generation,
        "changes": [{"path": path, "change": kind} for path, kind in reloaded.changes],
        "restart": list(reloaded.restart),
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json")
