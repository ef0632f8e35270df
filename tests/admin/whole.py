"""The whole admin API, with every route that a running gateway has, over parts that do as they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, cast

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.admin.config import ConfigRoutes
from gateway.audit.chain import Report
from gateway.audit.room import AuditRoom, Pruned
from gateway.config.changes import Change
from gateway.config.differences import RouteChange, UpstreamChange
from gateway.config.model import Config
from gateway.config.planned import CallerChange, Callers, Planned
from gateway.config.reloading import Reloaded
from gateway.domain.access import Difference, Shift
from gateway.domain.audit import AuditRecord, Head, seal
from gateway.domain.change import Order
from gateway.domain.limit_changes import LimitChange
from gateway.domain.queries import AuditQuery
from gateway.domain.streams import StreamKind
from gateway.keyring.door import Keyring
from gateway.ports import KeptUsage
from gateway.stores.memory_usage import MemoryUsage
from gateway.telemetry.request_log import FileRequestLog
from tests.admin.caller import TOKEN
from tests.alerts.desk_samples import Room
from tests.clock import FakeClock
from tests.contracts.audit_trail import a_change
from tests.open_streams import OneStream, SomeStreams
from tests.usage_samples import KEPT


class NoWorkers:
    """Implements `gateway.admin.workers.Workers` for a gateway that just started."""

    async def report(self) -> tuple[()]:
        return ()

    async def restart(self) -> int:
        return 0


class OneRecord:
    """Does what an `AuditRoom` does, for a trail of one record."""

    fingerprints: Final = ["SHA256:none"]

    async def page(self, _: AuditQuery, *, after: int = 0, limit: int = 100) -> list[AuditRecord]:
        return [] if after else [seal(Head(), a_change(1))]

    async def verify(self) -> Report:
        return Report(records=1, first_seq=1, last_seq=1, checkpoints=0, signed_seq=0, fault=None)

    async def export(self, _: Order, since: float | None = None) -> AsyncIterator[bytes]:
        return _lines()

    async def prune(self, before: float, _: Order) -> Pruned:
        return Pruned(records=0, through_seq=0)


async def _lines() -> AsyncIterator[bytes]:
    yield b'{"kind":"header"}\n'


class NoFacts:
    """Implements `gateway.admin.key_reports.KeyFacts` for a configuration without plans and routes."""

    def is_limited(self, _key: object, _tenant: object) -> bool:
        return False

    def scopes_of_routes(self) -> dict[str, tuple[str, ...]]:
        return {}


class NoNodes:
    """Implements `gateway.admin.nodes.Nodes` for a gateway that nobody has heard of yet."""

    async def report(self) -> tuple[()]:
        return ()


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


CONFIG: Final = Config.model_validate(
    {"version": 1, "peppers": {"current": "p1", "p1": "0123456789abcdef" * 4}}
)


def whole_app(keyring: Callable[[], Keyring]) -> web.Application:
    """Return the application; `TOKEN` opens it."""
    return create_admin_app(
        keyring,
        token=lambda: TOKEN,
        config=ConfigRoutes(_reloaded, _reloaded, roll_back=_reloaded, plan=_planned),
        upstreams=_no_upstreams,
        streams=SomeStreams(OneStream(1, StreamKind.SSE, "key_a")),
        workers=NoWorkers(),
        settings=lambda: CONFIG,
        audit=cast("AuditRoom", OneRecord()),
        usage=KeptUsage(MemoryUsage(), lambda: KEPT),
        alerts=Room().desk,
        facts=NoFacts(),
        request_log=FileRequestLog(Path("nowhere"), FakeClock()),
        nodes=NoNodes(),
    )
