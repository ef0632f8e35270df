"""Start a cluster to try: `make cluster`, or `python -m bench.cluster`.

PostgreSQL and Redis from the test extra (or those of TOLLHOUSE_TEST_POSTGRES and TOLLHOUSE_TEST_REDIS), a demo
upstream, three gateways, and HAProxy in front of them if it is installed. Everything lives in a folder that goes with
it: Ctrl-C ends all that was started.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from bench.cluster import balancer, servers
from bench.cluster.nodes import JOBS, NAMES, ROOT, Cluster, Node, Settings, make_key, make_tenant
from bench.cluster.nodes import opened as gateways
from bench.machine import Absent, Unusable, free_port

PORTS: Final = {"a": (8101, 9101), "b": (8102, 9102), "c": (8103, 9103)}
"""Of requests and of metrics, where they are free."""

BALANCER_PORT: Final = 8100
DASHBOARD_PORT: Final = 9901
DASHBOARD_NODE: Final = "c"


class _Enough(KeyboardInterrupt):
    """Somebody has asked us to end; an interrupt, so that no event loop keeps it to itself."""


def main() -> int:
    """Start, say what can be tried, wait for Ctrl-C, end everything; return 1 when it cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--mode", choices=("exact", "leased"), default="exact", help="of limits")
    options = parser.parse_args()
    _on_signals(_stop)
    try:
        with ExitStack() as stack:
            _run(options.mode, stack)
            print("\nending ...", flush=True)
    except _Enough:
        print("stopped before everything ran", file=sys.stderr)
        return 1
    except Unusable as problem:
        print(f"cluster: {problem}", file=sys.stderr)
        return 1
    print("all processes have ended, nothing is left", flush=True)
    return 0


def _run(mode: str, stack: ExitStack) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollhouse-cluster-")))
    print("starting PostgreSQL, Redis and three gateways ...", flush=True)
    found = stack.enter_context(servers.opened(folder))
    settings = Settings(
        mode=mode,
        dashboard=DASHBOARD_NODE,
        dashboard_port=_port(DASHBOARD_PORT),
        ports={name: (_port(PORTS[name][0]), _port(PORTS[name][1])) for name in NAMES},
    )
    cluster = stack.enter_context(gateways(folder / "nodes", found, settings))
    try:
        port = stack.enter_context(balancer.opened(folder, cluster.nodes, _port(BALANCER_PORT)))
    except Absent:
        port = 0
    keys = asyncio.run(_keys(cluster.nodes[0]))
    print(told(cluster, keys, port), flush=True)
    try:
        while True:
            signal.pause()
    except _Enough:
        return


def _stop(_number: int, _frame: FrameType | None) -> None:
    _on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
    raise _Enough


def _on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _port(wanted: int) -> int:
    """Return `wanted`, or another port where somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
    return wanted


async def _keys(node: Node) -> dict[str, tuple[str, str]]:
    """Make a tenant and its keys at one gateway; return id and secret by plan."""
    async with node.admin() as session:
        await make_tenant(session)
        return {plan: await make_key(session, plan, plan) for plan in ("unlimited", "small")}


def told(cluster: Cluster, keys: dict[str, tuple[str, str]], balanced: int) -> str:
    """Return what can be tried, as commands to paste into another terminal of the repository."""
    a, b, c = cluster.nodes
    key_id, secret = keys["unlimited"]
    _, small = keys["small"]
    bearer = f"-H 'Authorization: Bearer {secret}'"
    command = _command()
    rotating = " ".join(node.url for node in cluster.nodes)
    front = f"HAProxy in front of all three: http://127.0.0.1:{balanced}"
    return "\n".join(
        [
            "",
            *(f"gateway {node.name}: {node.url}   {node.config}" for node in cluster.nodes),
            front if balanced else "no HAProxy is installed: use the three addresses",
            "",
            "Try it from another terminal, in this folder:",
            "",
            "  a key that was made at gateway a works at each",
            *_each(cluster.nodes, bearer),
            "",
            "  12 requests a minute, 4 at once, over all gateways: the fifth is refused, wherever it comes",
            f"       for at in {rotating} {rotating}; do curl -s -o /dev/null -w '%{{http_code}}\\n' \\",
            f"         $at{JOBS} -H 'Authorization: Bearer {small}'; done",
            "",
            "  revoke it at a, and no gateway knows it when the command returns",
            f"       {command} keys revoke {key_id} --reason test --config {a.config}",
            f"       curl -i {b.url}{JOBS} {bearer}",
            "",
            "  who shares the database, and who leads",
            f"       {command} nodes list --config {a.config}",
            "",
            "  kill gateway b; until its lease is over (10 s) changes name it in their answer",
            f"       kill -9 {b.pid}; {command} nodes list --config {a.config}",
            "",
            f"  the dashboard, of gateway {c.name}: http://127.0.0.1:{c.admin_port}/dashboard/",
            f"       sign in with this token: {c.token}",
            "",
            "Ctrl-C ends everything and removes what was written.",
            "",
        ]
    )


def _each(nodes: Iterable[Node], bearer: str) -> Iterable[str]:
    return (f"       curl -i {node.url}{JOBS} {bearer}" for node in nodes)


def _command() -> str:
    """Return how to call the command line: shorter where it lies in the repository."""
    here = Path(sys.executable).with_name("tollhouse")
    if not here.exists():
        return f"{sys.executable} -m gateway"
    return str(here.relative_to(ROOT)) if here.is_relative_to(ROOT) else str(here)


if __name__ == "__main__":
    sys.exit(main())
