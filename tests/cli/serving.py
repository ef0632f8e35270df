"""An admin API for commands to talk to, in a thread of its own: a command blocks its caller."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.admin.config import ConfigRoutes
from gateway.admin.nodes import Nodes
from gateway.admin.request_log import KeptLog
from gateway.admin.upstreams import Overview
from gateway.admin.workers import Workers
from gateway.alerts.desk import AlertDesk
from gateway.audit.room import AuditRoom
from gateway.cli import admin, deliveries, incidents, keys, leaks, rotations, templates, tenants
from gateway.cli import alerts as alert_verbs
from gateway.cli import db as db_verbs
from gateway.cli import nodes as node_verbs
from gateway.cli import streams as stream_verbs
from gateway.cli import upstreams as upstream_verbs
from gateway.cli import usage as usage_verbs
from gateway.cli import workers as worker_verbs
from gateway.ports import KeptUsage, Streams
from tests.admin.test_leaks import Pages
from tests.key_samples import a_tenant
from tests.keyring.house import House


@contextmanager
def served(
    path: Path | None,
    token: str | None = None,
    *,
    upstreams: Overview | None = None,
    streams: Streams | None = None,
    config: ConfigRoutes | None = None,
    workers: Workers | None = None,
    nodes: Nodes | None = None,
    request_log: KeptLog | None = None,
    usage: KeptUsage | None = None,
    alerts: AlertDesk | None = None,
) -> Iterator[str]:
    """Serve a keyring with the tenant `ten_a` on a unix socket or on TCP; yield its address."""
    is_ready = threading.Event()
    addresses: list[str] = []
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        house = House()
        await house.store.save_tenant(a_tenant())
        app = create_admin_app(
            lambda: house.keyring,
            token=lambda: token,
            config=config,
            upstreams=upstreams,
            streams=streams,
            workers=workers,
            nodes=nodes,
            request_log=request_log,
            usage=usage,
            alerts=alerts,
            audit=cast("AuditRoom", Pages(house)),
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        if path is not None:
            await web.UnixSite(runner, str(path)).start()
            addresses.append(f"unix:{path}")
        else:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            addresses.append(f"127.0.0.1:{runner.addresses[0][1]}")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        is_ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_ready.wait(10)
    try:
        yield addresses[0]
    finally:
        stops[0]()
        thread.join(10)


def command(*arguments: str) -> int:
    """Run `tollhouse` with the verbs under test and return its exit status."""
    parser = argparse.ArgumentParser(prog="tollhouse")
    verbs = parser.add_subparsers(required=True)
    keys.register(verbs)
    for module in (rotations, incidents, leaks, deliveries, templates, tenants, admin):
        module.register(verbs)
    upstream_verbs.register(verbs)
    stream_verbs.register(verbs)
    worker_verbs.register(verbs)
    usage_verbs.register(verbs)
    node_verbs.register(verbs)
    db_verbs.register(verbs)
    alert_verbs.register(verbs)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status
