"""The admin API as an aiohttp application: the rooms of this package put together.

Knows the order: first the answer's shape, then who asks, then what is asked. It must not know where
it listens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.auth import authentication
from gateway.admin.config import ConfigRoutes
from gateway.admin.explain import Explaining, ExplainRoutes
from gateway.admin.ip_test import IpTestRoutes
from gateway.admin.keys import KeyRoutes
from gateway.admin.problems import answer_problems
from gateway.admin.reports import ReportRoutes
from gateway.admin.streams import StreamRoutes
from gateway.admin.tenants import TenantRoutes
from gateway.admin.upstreams import Overview, UpstreamRoutes
from gateway.admin.workers import WorkerRoutes, Workers
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
    explaining: Explaining | None = None,
    requests: Callable[[], RequestLog | None] = lambda: None,
) -> web.Application:
    """Return the application over the keyring in force when a request comes.

    Where a gateway runs, `config` can be reloaded, its `upstreams`, open `streams` and `workers` be looked at, and
    `explaining` done; `requests` is its request log, None where it keeps none.

    With a token, every request must bear it. Without, only unix sockets are served: the mode of the
    socket's file says who may connect.
    """
    app = web.Application(
        middlewares=(answer_problems, authentication(token)), client_max_size=BODY_BYTES_MAX
    )
    app.add_routes(KeyRoutes(keyring).routes())
    app.add_routes(TenantRoutes(lambda: keyring().tenants).routes())
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
    return app
