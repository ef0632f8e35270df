"""Templates over the admin API: the kinds of key that are configured.

Knows the path. It must not know how a key is made from one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from gateway.admin.described import Description, describes
from gateway.admin.life_wire import TemplateView
from gateway.admin.requests import answer_page, read_query
from gateway.admin.rights import needs
from gateway.domain.admin_tokens import Right
from gateway.domain.templates import Templates


class Blueprints(Protocol):
    """The templates in force, and what their scopes stand for."""

    @property
    def templates(self) -> Templates: ...

    def granted(self, scopes: tuple[str, ...]) -> frozenset[str]: ...


class TemplateRoutes:
    """The handler of `/admin/v1/templates`."""

    def __init__(self, blueprints: Callable[[], Blueprints]) -> None:
        self._blueprints = blueprints

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/admin/v1/templates", self.page, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @describes(Description(answer=TemplateView, is_page=True))
    async def page(self, request: web.Request) -> web.Response:
        """List the templates, their scopes expanded; there are as many as the configuration has."""
        read_query(request, ())
        blueprints = self._blueprints()
        templates = blueprints.templates
        views = [
            TemplateView.of_template(
                each, blueprints.granted(each.scopes), is_default=each.name == templates.default
            )
            for _, each in sorted(templates.by_name.items())
        ]
        return answer_page(views, "")
