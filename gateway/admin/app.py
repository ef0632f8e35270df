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
from gateway.admin.config import ConfigRoutes
from gateway.admin.deliveries import (
    DeliveryRoutes,
    LinkRoutes,
    create_delivery_app,
    link_under,
)
from gateway.admin.explain import Explaining, ExplainRoutes
from gateway.admin.incidents import IncidentRoutes
from gateway.admin.ip_test import IpTestRoutes
from gateway.admin.key_life import KeyLifeRoutes
from gateway.admin.keys import KeyRoutes
from gateway.admin.openapi import OpenApiRoutes
from gateway.admin.problems import answer_problems
from gateway.admin.reports import ReportRoutes
from gateway.admin.request_log import KeptLog, RequestLogRoutes
from gateway.admin.requests import mark_dry_runs
from gateway.admin.rotations import RotationRoutes
from gateway.admin.streams import StreamRoutes
from gateway.admin.templates import TemplateRoutes
from gateway.admin.tenants import TenantRoutes
from gateway.admin.upstreams import Overview, UpstreamRoutes
from gateway.admin.usage import KeptUsage, UsageRoutes
from gateway.admin.whence import Addresses
from gateway.admin.workers import WorkerRoutes, Workers
from gateway.alerts.desk import AlertDesk
from gateway.audit.room import AuditRoom
from gateway.domain.client_address import ClientAddressResolver
from gateway.keyring.door import Keyring
from gateway.ports import RequestLog, Streams

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
    audit: AuditRoom | None = None,
    request_log: KeptLog | None = None,
    link: Callable[[str], str] = link_under,
    explaining: Explaining | None = None,
    alerts: AlertDesk | None = None,
    addresses: Addresses = ClientAddressResolver,
    usage: KeptUsage | None = None,
) -> web.Application:
    """Return the application over the keyring in force when a request comes.

    Where a gateway runs, `config` can be reloaded, its `upstreams`, open `streams` and `workers` be looked at, and
    `explaining` done.

    A `request_log` tells what was done with a key, `usage` how much, and `alerts` what is not as it should be. `link`
    makes the link of what it holds.

    Admin tokens of the store open it everywhere, with the rights of their roles. `token` is that of the configuration,
    which has all rights; while there is one, unix sockets ask for a token, too. Otherwise whoever the mode of the
    socket's file lets connect there has all rights. `addresses` says whose word on the address of operators counts.
    """

    def requests() -> RequestLog | None:
        return request_log if request_log is not None and request_log.is_kept else None

    app = web.Application(
        middlewares=(answer_problems, Doorkeeper(keyring, token, addresses).admit, mark_dry_runs),
        client_max_size=BODY_BYTES_MAX,
    )
    app.add_routes(_of_keys(keyring, link, request_log, addresses))
    if config is not None:
        app.add_routes(config.routes())
    if upstreams is not None:
        app.add_routes(UpstreamRoutes(upstreams, lambda: keyring().now()).routes())
    app.add_routes(StreamRoutes(streams).routes())
    app.add_routes(ExplainRoutes(explaining).routes())
    app.add_routes(IpTestRoutes(keyring, explaining, requests).routes())
    app.add_routes(ReportRoutes(requests, lambda: keyring().now()).routes())
    if workers is not None:
        app.add_routes(WorkerRoutes(workers, lambda: keyring().now()).routes())
    if audit is not None:
        app.add_routes(AuditRoutes(audit).routes())
    if request_log is not None:
        app.add_routes(RequestLogRoutes(request_log).routes())
    if alerts is not None:
        app.add_routes(AlertRoutes(alerts, keyring).routes())
    if usage is not None:
        app.add_routes(UsageRoutes(usage, lambda: keyring().now()).routes())
    app.add_routes(OpenApiRoutes(app.router).routes())
    return app


def _of_keys(
    keyring: Callable[[], Keyring],
    link: Callable[[str], str],
    request_log: KeptLog | None,
    addresses: Addresses,
) -> list[web.RouteDef]:
    """Return what there is wherever keys are."""
    return [
        *KeyRoutes(keyring, link).routes(),
        *KeyLifeRoutes(keyring).routes(),
        *RotationRoutes(keyring, link, request_log).routes(),
        *IncidentRoutes(keyring, request_log).routes(),
        *DeliveryRoutes(lambda: keyring().deliveries, lambda: keyring().now()).routes(),
        *_links(keyring, addresses).routes(),
        *TemplateRoutes(keyring).routes(),
        *TenantRoutes(keyring).routes(),
        *AdminTokenRoutes(keyring).routes(),
    ]


def create_link_app(
    keyring: Callable[[], Keyring], addresses: Addresses = ClientAddressResolver
) -> web.Application:
    """Return the application that serves one-time links and nothing else."""
    return create_delivery_app(_links(keyring, addresses))


def _links(keyring: Callable[[], Keyring], addresses: Addresses) -> LinkRoutes:
    return LinkRoutes(lambda: keyring().deliveries, lambda: keyring().tenants, addresses)
