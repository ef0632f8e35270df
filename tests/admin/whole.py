"""The whole admin API, with every route that a running gateway has, over parts that do as they are told."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.admin.config import ConfigRoutes
from gateway.config.changes import Change
from gateway.config.differences import RouteChange, UpstreamChange
from gateway.config.planned import CallerChange, Callers, Planned
from gateway.config.reloading import Reloaded
from gateway.domain.access import Difference, Shift
from gateway.domain.limit_changes import LimitChange
from gateway.domain.streams import StreamKind
from gateway.keyring.door import Keyring
from tests.admin.caller import TOKEN
from tests.open_streams import OneStream, SomeStreams


class NoWorkers:
    """Implements `gateway.admin.workers.Workers` for a gateway that just started."""

    async def report(self) -> tuple[()]:
        return ()

    async def restart(self) -> int:
        return 0


async def _reloaded(_: object = None) -> Reloaded:
    return Reloaded(generation=2, changes=[Change("routes", "changed")], restart=["store.path"])


async def _planned(_: int) -> Planned:
    return a_plan(await _reloaded())


def a_plan(reloaded: Reloaded) -> Planned:
    return Planned(
        reloaded=reloaded,
        routes=[RouteChange(name="jobs", change="added", requests="GET /jobs")],
        upstreams=[UpstreamChange(name="u", change="removed", targets_removed=("http://a:1",))],
        limits=[LimitChange(policy="p/minute", before="", after="1 per minute", effect="shrinks")],
        anyone=Difference(),
        callers=Callers(
            keys=2,
            losing=1,
            first_losing=[
                CallerChange(
                    key_id="key_a",
                    name="A",
                    tenant_id="ten_a",
                    environment="live",
                    difference=Difference((Shift("jobs", "", "no_route"),)),
                )
            ],
            limited={"p/minute": 1},
        ),
    )


async def _no_upstreams() -> tuple[()]:
    return ()


def whole_app(keyring: Callable[[], Keyring]) -> web.Application:
    """Return the application; `TOKEN` opens it."""
    return create_admin_app(
        keyring,
        token=lambda: TOKEN,
        config=ConfigRoutes(_reloaded, _reloaded, roll_back=_reloaded, plan=_planned),
        upstreams=_no_upstreams,
        streams=SomeStreams(OneStream(1, StreamKind.SSE, "key_a")),
        workers=NoWorkers(),
    )
