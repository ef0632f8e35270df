"""The gateways that share a store, over the admin API.

Knows paths and JSON. It must not know how they hear of each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

from aiohttp import web

from gateway.admin.described import Description, describes
from gateway.admin.requests import answer_page, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right
from gateway.domain.nodes import Node

_PATH: Final = "/admin/v1/nodes"


class Report(Protocol):
    """One gateway; `age_seconds` since its last sign of life was seen."""

    @property
    def node(self) -> Node: ...
    @property
    def is_self(self) -> bool: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def age_seconds(self) -> float: ...


class Nodes(Protocol):
    """All gateways that share the store."""

    def report(self) -> Awaitable[Sequence[Report]]:
        """Return them, this one included."""
        ...


class NodeView(View):
    """A gateway. One that is `lost` gave no sign of life for longer than its lease: it serves nothing from memory.

    Up to `acknowledged_revision` of the store it goes by every change. `is_self` is who answers.
    """

    node_id: str
    name: str
    address: str
    version: str
    state: Literal["live", "lost"]
    is_self: bool
    is_leader: bool
    started_at: str | None
    seen_at: str | None
    lease_seconds: float
    acknowledged_revision: int

    @classmethod
    def of(cls, report: Report, now: float) -> NodeView:
        """Show `report`; `now` is epoch seconds."""
        node = report.node
        return cls(
            node_id=node.node_id,
            name=node.name,
            address=node.address,
            version=node.version,
            state="live" if report.is_live else "lost",
            is_self=report.is_self,
            is_leader=node.is_leader and report.is_live,
            started_at=instant(round(node.started_at, 3)),
            seen_at=instant(round(now - report.age_seconds, 3)),
            lease_seconds=node.lease_seconds,
            acknowledged_revision=node.acknowledged_revision,
        )


class NodeRoutes:
    """The handlers of `/admin/v1/nodes`."""

    def __init__(self, nodes: Nodes, now: Callable[[], float]) -> None:
        self._nodes = nodes
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(_PATH, self.page, allow_head=False)]

    @needs(Right.READ)
    @describes(Description(answer=NodeView, is_page=True))
    async def page(self, request: web.Request) -> web.Response:
        """List the gateways that share the store; one that keeps its keys in a file is alone."""
        read_query(request, ())
        found, now = await self._nodes.report(), self._now()
        return answer_page((NodeView.of(each, now) for each in found), "")
