"""The whole admin API, with every route that a running gateway has, over parts that do as they are told."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.admin.config import ConfigRoutes
from gateway.admin.usage import KeptUsage
from gateway.config.changes import Change
from gateway.config.reloading import Reloaded
from gateway.domain.streams import StreamKind
from gateway.keyring.door import Keyring
from gateway.stores.memory_usage import MemoryUsage
from tests.admin.caller import TOKEN
from tests.alerts.desk_samples import Room
from tests.open_streams import OneStream, SomeStreams
from tests.usage_samples import KEPT


class NoWorkers:
    """Implements `gateway.admin.workers.Workers` for a gateway that just started."""

    async def report(self) -> tuple[()]:
        return ()

    async def restart(self) -> int:
        return 0


async def _reloaded(_: object = None) -> Reloaded:
    return Reloaded(generation=2, changes=[Change("routes", "changed")], restart=["store.path"])


async def _no_upstreams() -> tuple[()]:
    return ()


def whole_app(keyring: Callable[[], Keyring]) -> web.Application:
    """Return the application; `TOKEN` opens it."""
    return create_admin_app(
        keyring,
        token=lambda: TOKEN,
        config=ConfigRoutes(_reloaded, _reloaded),
        upstreams=_no_upstreams,
        streams=SomeStreams(OneStream(1, StreamKind.SSE, "key_a")),
        workers=NoWorkers(),
        usage=KeptUsage(MemoryUsage(), lambda: KEPT),
        alerts=Room().desk,
    )
