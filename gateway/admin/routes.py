"""The route table over the admin API: what is let through, and what it takes.

Knows which parts of a route are no secret: fields that are set on requests may hold a credential and are not shown. It
must not match anything: which route a request takes, `explain` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from aiohttp import web

from gateway.admin.described import Description, describes
from gateway.admin.requests import answer_page, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.config.model import Config, Route
from gateway.domain.admin_tokens import Right

_PATH: Final = "/admin/v1/routes"


class RouteView(View):
    """A route as the configuration says it. `pattern` is its path, prefix or expression, `kind` says which."""

    name: str
    hosts: tuple[str, ...]
    methods: tuple[str, ...]
    kind: str
    pattern: str
    needs_key: bool
    scopes: tuple[str, ...]
    scopes_mode: str
    environments: tuple[str, ...]
    handler: str
    upstream: str
    plan: str
    ip_allowlist: tuple[str, ...]
    ip_allowlist_mode: str
    body_bytes_max: int

    @classmethod
    def of(cls, route: Route) -> Self:
        """Show `route`."""
        match = route.match
        kind = "path" if match.path else "prefix" if match.prefix else "regex"
        return cls(
            name=route.name,
            hosts=match.hosts,
            methods=match.methods,
            kind=kind,
            pattern=getattr(match, kind),
            needs_key=route.auth == "key",
            scopes=route.scopes,
            scopes_mode=route.scopes_mode,
            environments=route.environments,
            handler=route.handler,
            upstream=route.upstream,
            plan=route.plan,
            ip_allowlist=tuple(map(str, route.ip_allowlist.allow)),
            ip_allowlist_mode=route.ip_allowlist.mode,
            body_bytes_max=route.body_bytes_max,
        )


class RouteRoutes:
    """The handler of `/admin/v1/routes`. `settings` returns the configuration in force."""

    def __init__(self, settings: Callable[[], Config]) -> None:
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get(_PATH, self.page, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @describes(Description(answer=RouteView, is_page=True))
    async def page(self, request: web.Request) -> web.Response:
        """List all routes in the order of the file; there are never more than the configuration names."""
        read_query(request, ())
        return answer_page(map(RouteView.of, self._settings().routes), "")
