"""`tollhouse run`: serves requests until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from gateway import __version__
from gateway.assembly.access_logs import redactor
from gateway.assembly.errors import CannotStart
from gateway.assembly.gateway import Gateway, opened
from gateway.build import BUILD
from gateway.cli.pepper import create_pepper
from gateway.config import model
from gateway.config.load import Loaded, read
from gateway.control.garbage import keep_imported, not_looking, settle_memory
from gateway.control.run import Signals
from gateway.control.service_manager import ServiceManager, inherited_sockets
from gateway.ports import StoreUnavailable
from gateway.telemetry import log

_log = logging.getLogger("tollhouse")


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "run",
        help="serve requests",
        description="Serve requests until SIGTERM or SIGINT (Ctrl-C), which drain; a second one cuts what is left."
        " SIGHUP reloads the configuration, SIGUSR1 reopens the access log.",
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), help="configuration file"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="also start a demo backend, create a pepper if there is none, mint demo keys and print "
        "a curl for each answer",
    )
    parser.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error")
    )
    parser.add_argument(
        "--log-format", default="", choices=("json", "text"), help="default: text on a terminal"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    path: Path = options.config
    keep_imported()
    if options.demo:
        with contextlib.suppress(FileExistsError):
            create_pepper(path.parent / "data" / "pepper")
    with not_looking():
        loaded = read(path, os.environ)
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    config = loaded.config
    if config is None:
        return 1
    is_json = options.log_format == "json" or (not options.log_format and not sys.stderr.isatty())
    formatter = log.configure(options.log_level, is_json=is_json, redactor=redactor(config))
    try:
        return uvloop.run(_serve(config, path, loaded, formatter, is_demo=options.demo))
    except (CannotStart, StoreUnavailable, OSError) as error:
        _log.error("cannot start: %s", error)
        return 1


async def _serve(
    config: model.Config,
    path: Path,
    loaded: Loaded,
    formatter: log.LogFormatter,
    *,
    is_demo: bool,
) -> int:
    manager = ServiceManager(os.environ)
    try:
        sockets = inherited_sockets(os.environ, os.getpid())
    except ValueError as error:
        raise CannotStart(str(error)) from error
    heeded: list[Signals] = []

    def begin(gateway: Gateway) -> None:
        gateway.on_follow.append(_redacting(formatter, config))
        heeded.append(_signals(gateway))

    opening = opened(
        *(config, path),
        environ=os.environ,
        sources=loaded.sources,
        texts=loaded.texts,
        sockets=sockets,
        on_serving=begin,
    )
    async with contextlib.AsyncExitStack() as stack:
        if is_demo:
            from gateway.cli.demo import demo_backend, show_demo

            await stack.enter_async_context(demo_backend())
        gateway = await stack.enter_async_context(opening)
        [signals] = heeded
        _log.info(
            "tollhouse %s (%s) serves on %s, admin on %s, metrics on %s",
            __version__,
            BUILD,
            gateway.public_address,
            gateway.admin_address,
            gateway.metrics_address,
        )
        dashboard = _dashboard_url(gateway)
        if dashboard:
            _log.info("the dashboard is at %s", dashboard)
        if gateway.delivery_address:
            _log.info("links to take keys with are served on %s", gateway.delivery_address)
        settle_memory()
        if is_demo:
            await show_demo(gateway, dashboard)
        manager.ready(_status(gateway))
        gateway.on_follow.append(lambda _: manager.status(_status(gateway)))
        await signals.stopped()
        manager.stopping()
        _log.info("draining")
    _log.info("stopped")
    return 0


def _signals(gateway: Gateway) -> Signals:
    """Heed signals from now on: whoever was answered may expect that SIGTERM cuts nobody off."""
    return Signals(
        asyncio.get_running_loop(),
        reopen=gateway.reopen_logs,
        reload=gateway.reloads.ask,
        hurry=gateway.hurry,
    )


def _status(gateway: Gateway) -> str:
    return f"serving on {gateway.public_address}, generation {gateway.number}"


def _redacting(formatter: log.LogFormatter, config: model.Config) -> Callable[[model.Config], None]:
    """Return what lets our own log follow the formats of keys."""
    latest = config

    def follow(config: model.Config) -> None:
        nonlocal latest
        formatter.redactor = redactor(config, latest)
        latest = config

    return follow


def _dashboard_url(gateway: Gateway) -> str:
    """Return where a browser on this machine finds the dashboard, empty where none can."""
    config = gateway.config
    address = gateway.dashboard_address or gateway.admin_address
    if not config.dashboard.enabled or address.startswith("unix:"):
        return ""
    scheme = "http" if config.listeners.admin.tls is None else "https"
    return f"{scheme}://{address}/"
