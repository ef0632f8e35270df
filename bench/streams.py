"""Event streams and WebSockets through the gateway: `python -m bench.streams`.

Measures what the gateway adds between the upstream's write of an event and the client's read of it,
at rest and while 64 connections of ordinary load keep it busy: the same client listens to the same
upstream directly and through the gateway at the same time. Then opens a thousand WebSockets with a
hundred keys, reports the memory of each, and cuts those of ten keys: exactly these have to end, and
the others have to get every frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.feed_clients import (
    PATIENCE_SECONDS,
    Delays,
    Socket,
    listen,
    open_sockets,
    request,
)
from bench.load import CONNECTIONS, Load
from bench.machine import Cores, Process, Unusable, free_port, running
from bench.policy import Policy, Route, make_policy
from bench.subjects import ROOT, Bench, gateway_config

ADDED_MAX_MILLISECONDS: Final = 5.0
"""Most that the gateway may add to the way of 99 events out of 100 when no load keeps it busy."""

CUT_MAX_SECONDS: Final = 1.0
"""Most that may pass between the order to cut and the end of the last stream."""

GROUND: Final = 5
"""How many times as many WebSockets are open before the memory of some more is measured."""

KEYS_CUT: Final = 10
FRAMES: Final = 8
"""Frames that each WebSocket which stays has to get after the cut."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is measured: the gateway's port and process, and where it takes orders."""

    port: int
    process: Process
    orders: Path


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut did: streams ended, seconds of the act, and until the last client saw its end."""

    count: int
    act_seconds: float
    seen_seconds: float


def main() -> int:
    """Measure; return 0 when every promise was kept, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("--feeds", type=int, default=20, help="event streams on each way (20)")
    parser.add_argument("--seconds", type=int, default=10, help="how long to listen (10)")
    parser.add_argument("--sockets", type=int, default=1000, help="WebSockets to cut from (1000)")
    options = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-streams-") as folder:
            return _run(Path(folder), options)
    except Unusable as problem:
        print(f"streams: {problem}", file=sys.stderr)
        return 1


def _run(folder: Path, options: argparse.Namespace) -> int:
    policy = make_policy()
    bench = Bench(folder, Cores.of_this_machine(), policy, free_port())
    with (
        bench.upstream() as upstream,
        _feeds(bench) as feeds_port,
        _gateway(bench, feeds_port) as gateway,
    ):
        each = uvloop.run(_memory_of_sockets(gateway, policy, options.sockets))
        cut = uvloop.run(_cut(gateway, policy, options.sockets))
        load = Load(policy, bench.cores, folder)
        load.run(gateway.port, gateway.process, upstream, 1)  # warm-up
        ports = [feeds_port, gateway.port]
        raw = request("/feed", policy.load_keys[0].token)
        quiet = uvloop.run(listen(ports, raw, options.feeds, options.seconds))
        with ThreadPoolExecutor(1) as side:
            seconds = options.seconds + 2
            loading = side.submit(load.run, gateway.port, gateway.process, upstream, seconds)
            busy = uvloop.run(listen(ports, raw, options.feeds, options.seconds))
            rate = loading.result().requests_per_second
    _print_delays(quiet, busy, rate, options.feeds)
    _print_sockets(each, cut, options.sockets)
    return _judge(quiet, cut)


@contextmanager
def _feeds(bench: Bench) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.feeds", "--port", str(port)]
    with running(command, bench.cores.load, bench.folder / "feeds.log", ROOT) as process:
        process.wait_for_port(port)
        yield port


@contextmanager
def _gateway(bench: Bench, feeds_port: int) -> Iterator[Running]:
    port, folder = free_port(), bench.folder
    streams = Route("streams", "GET", "/feed", bench.policy.scopes[0])
    policy = Policy((*bench.policy.routes, streams), bench.policy.keys)
    config: dict[str, Any] = gateway_config(policy, port, bench.upstream_port)
    config["upstreams"]["feeds"] = {
        "targets": [f"http://127.0.0.1:{feeds_port}"],
        "connections_max": 65536,
    }
    config["routes"][-1]["upstream"] = "feeds"
    path, orders = folder / "config.yaml", folder / "orders.sock"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "bench.peers.cutting_gateway"]
    command += ["--config", str(path), "--orders", str(orders)]
    with running(command, bench.cores.gateway, folder / "gateway.log", ROOT) as process:
        process.wait_for_port(port)
        yield Running(port, process, orders)


def _wanted(policy: Policy, number: int) -> list[tuple[str, bytes]]:
    keys = policy.load_keys
    chosen = (keys[n % len(keys)] for n in range(number))
    return [(key.name, request("/feed", key.token, is_upgrade=True)) for key in chosen]


async def _memory_of_sockets(gateway: Running, policy: Policy, number: int) -> float:
    """Return the bytes that the gateway takes for one open WebSocket.

    The first ones use memory that was freed after the start, so it is measured on top of more.
    """
    held = []
    sockets = []
    for count in (GROUND * number, number):
        sockets += await open_sockets(gateway.port, _wanted(policy, count))
        await asyncio.sleep(1)
        held.append(gateway.process.memory_bytes()[0])
    for socket in sockets:
        socket.transport.abort()
    return (held[1] - held[0]) / number


async def _cut(gateway: Running, policy: Policy, number: int) -> Cut:
    """Open the WebSockets, cut those of some keys and watch the others."""
    sockets = await open_sockets(gateway.port, _wanted(policy, number))
    doomed = {key.name for key in policy.load_keys[:KEYS_CUT]}
    ordered_at = time.monotonic()
    reader, writer = await asyncio.open_unix_connection(gateway.orders)
    writer.write(" ".join(doomed).encode() + b"\n")
    count, seconds = (await reader.readline()).split()
    writer.close()
    staying = [each for each in sockets if each.key not in doomed]
    goal = max(each.last for each in sockets) + FRAMES
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(each.last < goal for each in staying):  # noqa: ASYNC110 - see `open_sockets`
            await asyncio.sleep(0.1)
    _verify(sockets, doomed, int(count))
    seen = max((each.ended_at - ordered_at for each in sockets if each.key in doomed), default=0.0)
    for each in staying:
        each.transport.abort()
    return Cut(int(count), float(seconds), seen)


def _verify(sockets: list[Socket], doomed: set[str], count: int) -> None:
    ended = [each for each in sockets if each.ended_at]
    if {id(each) for each in ended} != {id(each) for each in sockets if each.key in doomed}:
        raise Unusable(f"{len(ended)} WebSockets ended, not exactly those that were cut")
    if len(ended) != count or any(each.close_code != 1008 for each in ended):
        raise Unusable("a WebSocket that was cut was not told so (close code 1008)")
    if not all(each.is_whole for each in sockets):
        raise Unusable("a WebSocket missed a frame")


def _print_delays(quiet: list[Delays], busy: list[Delays], rate: float, feeds: int) -> None:
    print("| from the upstream's write to the client's read | p50 | p99 |")
    print("|---|---:|---:|")
    loaded = f"beside {CONNECTIONS} connections of load ({rate:,.0f} requests/s)"
    for when, (direct, through) in (("at rest", quiet), (loaded, busy)):
        for way, delays in (("direct", direct), ("through the gateway", through)):
            print(f"| {way}, {when} | {delays.at(0.5):.2f} ms | {delays.at(0.99):.2f} ms |")
        added = (f"{through.at(share) - direct.at(share):.2f} ms" for share in (0.5, 0.99))
        print(f"| **added**, {when} | {' | '.join(added)} |")
    print(
        f"\n{feeds} feeds on each way; {quiet[1].count:,} events at rest, {busy[1].count:,} beside "
        "load; medians over slices of one second."
    )


def _print_sockets(each: float, cut: Cut, number: int) -> None:
    print(
        f"\nAn open WebSocket takes {each / 1024:.1f} KiB of memory. Of {number:,}, "
        f"{cut.count} were cut in {cut.act_seconds * 1e3:.1f} ms;\nthe last client saw its end "
        f"{cut.seen_seconds * 1e3:.0f} ms after the order, with close code 1008. The others missed "
        "no frame."
    )


def _judge(quiet: list[Delays], cut: Cut) -> int:
    broken = []
    if quiet[1].at(0.99) - quiet[0].at(0.99) > ADDED_MAX_MILLISECONDS:
        broken.append(f"events took more than {ADDED_MAX_MILLISECONDS:.0f} ms longer")
    if cut.seen_seconds > CUT_MAX_SECONDS:
        broken.append(f"a stream outlived its cut by more than {CUT_MAX_SECONDS:.0f} s")
    for promise in broken:
        print(f"NOT KEPT: {promise}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
