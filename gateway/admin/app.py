"""The admin API as an aiohttp application: the rooms of this package put together.

Knows the order: first the answer's shape, then who asks, then what is asked. It must not know where
it listens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.admin_tokens import AdminTokenRoutes
from gateway.admin.alerts import AlertRoutes
from gateway.admin.audit import AuditRoutes
from gateway.admin.auth import Doorkeeper
from gateway.admin.catalog import CatalogRoutes
from gateway.admin.config import ConfigRoutes
from gateway.admin.dashboard.pages import DashboardRoutes
from gateway.admin.dashboard.sessions import Sessions
from gateway.admin.deliveries import (
    DeliveryRoutes,
    Link,
    LinkRoutes,
    create_delivery_app,
    link_under,
)
from gateway.admin.explain import Explaining, ExplainRoutes
from gateway.admin.incidents import IncidentRoutes
from gateway.admin.ip_test import IpTestRoutes
from gateway.admin.key_life import KeyLifeRoutes
from gateway.admin.key_reports import KeyFacts, KeyReportRoutes
from gateway.admin.keys import KeyRoutes
from gateway.admin.leaks import LeakRoutes
from gateway.admin.nodes import NodeRoutes, Nodes
from gateway.admin.openapi import OpenApiRoutes
from gateway.admin.problems import answer_problems
from gateway.admin.reports import ReportRoutes
from gateway.admin.request_log import KeptLog, RequestLogRoutes
from gateway.admin.requests import mark_dry_runs
from gateway.admin.rotations import RotationRoutes
from gateway.admin.routes import RouteRoutes
from gateway.admin.streams import StreamRoutes
from gateway.admin.templates import TemplateRoutes
from gateway.admin.tenants import TenantRoutes
from gateway.admin.upstreams import Overview, UpstreamRoutes
from gateway.admin.usage import UsageRoutes
from gateway.admin.whence import Addresses
from gateway.admin.workers import WorkerRoutes, Workers
from gateway.alerts.desk import AlertDesk
from gateway.audit.room import AuditRoom
from gateway.config.model import Config
from gateway.domain.client_address import ClientAddressResolver
from gateway.keyring.door import Keyring
from gateway.ports import KeptUsage, RequestLog, Streams

BODY_BYTES_MAX: Final = 64 * 1024
"""Many times the largest body that the rules allow; a longer one is a mistake or an attack."""


def create_admin_app(
    keyring: Callable[[], Keyring],
    *,
    token: Callable[[], str | None] = lambda: None,
    config: ConfigRoutes | None = None,
    upstreams: Overview | None = None,
    streams: Streams | None = None,
    workers: Workers | None = None,
    nodes: Nodes | None = None,
    audit: AuditRoom | None = None,
    request_log: KeptLog | None = None,
    link: Callable[[str], Link] = link_under,
    explaining: Explaining | None = None,
    alerts: AlertDesk | None = None,
    addresses: Addresses = ClientAddressResolver,
    settings: Callable[[], Config] | None = None,
    usage: KeptUsage | None = None,
    facts: KeyFacts | None = None,
    untold: Callable[[], None] = lambda: None,
) -> web.Application:
    """Return the application over the keyring in force when a request comes.

    Where a gateway runs, `config` can be reloaded, its `upstreams`, open `streams`, `workers` and `nodes` be looked
    at, and `explaining` done. A `request_log` tells what was done with a key, `usage` how much, `alerts` what is wrong.
    `link` makes the link of what it holds. With `settings`, the configuration in force, catalogue and dashboard are
    served, too, and with `facts` of keys reports on them. `untold` is called for each login that the audit trail
    misses.

    Admin tokens of the store open it everywhere, with the rights of their roles. `token` is that of the configuration,
    which has all rights; while there is one, unix sockets ask for a token, too. Otherwise whoever the mode of the
    socket's file lets connect there has all rights. `addresses` says whose word on the address of operators counts.
    """

    def requests() -> RequestLog | None:
        return request_log if request_log is not None and request_log.is_kept else None

    def now() -> float:
        return keyring().now()

    sessions = _sessions(keyring, settings)
    door = Doorkeeper(keyring, token, addresses, sessions, untold)
    app = web.Application(
        middlewares=(answer_problems, door.admit, mark_dry_runs),
        client_max_size=BODY_BYTES_MAX,
    )
    _add_records(app, keyring, link, request_log, addresses)
    if config is not None:
        app.add_routes(config.routes())
    _add_running(app, now, upstreams, workers, nodes)
    app.add_routes(StreamRoutes(streams).routes())
    app.add_routes(ExplainRoutes(explaining).routes())
    app.add_routes(IpTestRoutes(keyring, explaining, requests).routes())
    app.add_routes(ReportRoutes(requests, now).routes())
    _add_kept(app, keyring, audit, request_log, usage, alerts, facts, settings)
    if settings is not None and sessions is not None:
        app.add_routes(CatalogRoutes(settings).routes())
        app.add_routes(RouteRoutes(settings).routes())
        app.add_routes(DashboardRoutes(door, sessions).routes())
    app.add_routes(OpenApiRoutes(app.router).routes())
    return app


def _add_records(
    app: web.Application,
    keyring: Callable[[], Keyring],
    link: Callable[[str], Link],
    request_log: KeptLog | None,
    addresses: Addresses,
) -> None:
    """Add what is there wherever there is a store: keys, what happens to them, tenants, templates and tokens."""
    app.add_routes(KeyRoutes(keyring, link).routes())
    app.add_routes(KeyLifeRoutes(keyring).routes())
    app.add_routes(RotationRoutes(keyring, link, request_log).routes())
    app.add_routes(IncidentRoutes(keyring, request_log).routes())
    app.add_routes(DeliveryRoutes(lambda: keyring().deliveries, lambda: keyring().now()).routes())
    app.add_routes(_links(keyring, addresses).routes())
    app.add_routes(TemplateRoutes(keyring).routes())
    app.add_routes(TenantRoutes(keyring).routes())
    app.add_routes(AdminTokenRoutes(keyring).routes())


def _add_running(
    app: web.Application,
    now: Callable[[], float],
    upstreams: Overview | None,
    workers: Workers | None,
    nodes: Nodes | None,
) -> None:
    """Add what tells how a running gateway is."""
    if upstreams is not None:
        app.add_routes(UpstreamRoutes(upstreams, now).routes())
    if workers is not None:
        app.add_routes(WorkerRoutes(workers, now).routes())
    if nodes is not None:
        app.add_routes(NodeRoutes(nodes, now).routes())


def _add_kept(
    app: web.Application,
    keyring: Callable[[], Keyring],
    audit: AuditRoom | None,
    request_log: KeptLog | None,
    usage: KeptUsage | None,
    alerts: AlertDesk | None,
    facts: KeyFacts | None,
    settings: Callable[[], Config] | None,
) -> None:
    """Add what tells of the past, where it is kept, and what that says of keys."""
    if audit is not None:
        app.add_routes(AuditRoutes(audit).routes())
        app.add_routes(LeakRoutes(keyring, audit, settings).routes())
    if request_log is not None:
        app.add_routes(RequestLogRoutes(request_log).routes())
    if usage is not None:
        app.add_routes(UsageRoutes(usage, lambda: keyring().now()).routes())
    if alerts is not None:
        app.add_routes(AlertRoutes(alerts, keyring).routes())
    if facts is not None:
        app.add_routes(KeyReportRoutes(keyring, facts, usage).routes())


def _sessions(
    keyring: Callable[[], Keyring], settings: Callable[[], Config] | None
) -> Sessions | None:
    if settings is None:
        return None
    in_force = settings
    return Sessions(keyring().admin_tokens.clock, lambda: in_force().dashboard)


def create_link_app(
    keyring: Callable[[], Keyring], addresses: Addresses = ClientAddressResolver
) -> web.Application:
    """Return the application that serves one-time links and nothing else."""
    return create_delivery_app(_links(keyring, addresses))


def _links(keyring: Callable[[], Keyring], addresses: Addresses) -> LinkRoutes:
    return LinkRoutes(lambda: keyring().deliveries, lambda: keyring().tenants, addresses)
