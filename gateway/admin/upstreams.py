"""Upstreams over the admin API: what the gateway knows of each target at the moment.

Knows paths and JSON. It must not change anything: targets come from the configuration, their state from what they do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Self

from aiohttp import web

from gateway.admin.described import Description, describes
from gateway.admin.requests import answer_page, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right
from gateway.upstreams.overview import ServiceOverview, TargetOverview

Overview = Callable[[], Awaitable[Sequence[ServiceOverview]]]


class TargetView(View):
    """A target: since when it is in which state, and why."""

    target: str
    state: str
    why: str
    since: str | None
    weight: int
    outstanding: int
    idle: int
    waiting: int

    @classmethod
    def of(cls, target: TargetOverview, now: float) -> Self:
        """Show `target`; `now` is epoch seconds."""
        fields = asdict(target)
        return cls(since=instant(round(now - fields.pop("seconds"))), **fields)


class UpstreamView(View):
    """An upstream and its targets."""

    name: str
    is_up: bool
    is_panicking: bool
    breaker: str
    balance: str
    requests: int
    retries: int
    ejections: int
    targets: tuple[TargetView, ...]

    @classmethod
    def of(cls, upstream: ServiceOverview, now: float) -> Self:
        """Show `upstream`; `now` is epoch seconds."""
        fields = {name: getattr(upstream, name) for name in cls.model_fields}
        targets = tuple(TargetView.of(target, now) for target in upstream.targets)
        return cls(**fields | {"targets": targets})


class UpstreamRoutes:
    """The handler of `/admin/v1/upstreams`."""

    def __init__(self, overview: Overview, now: Callable[[], float]) -> None:
        self._overview = overview
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/v1/upstreams", self.page, allow_head=False)]

    @needs(Right.READ)
    @describes(Description(answer=UpstreamView, is_page=True))
    async def page(self, request: web.Request) -> web.Response:
        """List all upstreams with their targets; there are never more than the configuration names."""
        read_query(request, ())
        now = self._now()
        return answer_page((UpstreamView.of(each, now) for each in await self._overview()), "")
