"""A gateway under load whose configuration changes all the time: `python -m bench.reload`.

Keep-alive clients and new connections, GET and POST, while two configurations that differ in routes, plans and
upstreams take turns, and one in ten files is bad. Fails when a request does, when a good configuration is refused or a
bad one taken, and when memory, tasks or descriptors grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.machine import PROC, Cores, Process, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config

GROWTH_MAX: Final = 8 * 2**20
"""Most bytes by which memory may grow after the first fifth of the reloads."""

GROWTH_COUNT_MAX: Final = 8
"""Most tasks and descriptors more than before: connections come and go at the moment of counting."""

BAD_EVERY: Final = 10
BODY: Final = b"x" * 2000

POLICY: Final = Policy(
    routes=(
        Route("status", "GET", "/v1/status", "load:read"),
        Route("bytes", "GET", "/v1/bytes/{n}", "load:read"),
        Route("echo", "POST", "/v1/echo", "load:write"),
    ),
    keys=(Key("load", mint("load"), ("load:read", "load:write"), WIDE),),
)
HEAD: Final = f"Host: bench\r\nAuthorization: Bearer {POLICY.keys[0].token}\r\n"
REQUESTS: Final = (
    f"GET /v1/status HTTP/1.1\r\n{HEAD}\r\n".encode(),
    f"POST /v1/echo HTTP/1.1\r\n{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY,
    f"GET /v1/bytes/4096 HTTP/1.1\r\n{HEAD}\r\n".encode(),
)


@dataclass
class Load:
    """What the clients saw: seconds per answered request, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_over: bool = False

    async def client(self, port: int, *, keeps_alive: bool) -> None:
        """Send requests until it is over, on one connection or on a new one for each."""
        number = 0
        while not self.is_over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while not self.is_over:
                    number += 1
                    await self._ask(reader, writer, REQUESTS[number % len(REQUESTS)])
                    if not keeps_alive:
                        break
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.failures.append(repr(error))

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> None:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next(
            (int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), None
        )
        if length is None:
            raise ValueError(f"no length in {head!r}")
        body = await reader.readexactly(length)
        self.seconds.append(time.perf_counter() - started)
        if not lines[0].startswith(b"HTTP/1.1 200"):
            self.failures.append(f"{lines[0].decode()} {body[:500]!r}")


@dataclass(frozen=True, slots=True)
class State:
    """What the process holds: resident bytes, tasks and open descriptors."""

    memory: int
    tasks: int
    descriptors: int


class Gateway:
    """The process under test: its configurations, and its admin and metrics sockets."""

    def __init__(self, folder: Path, port: int, metrics_port: int, process: Process) -> None:
        self.folder = folder
        self.port = port
        self._metrics_port = metrics_port
        self._process = process

    async def reload(self, session: aiohttp.ClientSession, text: str) -> int:
        """Put the configuration in its place, let the gateway take it, and return the status of its answer."""
        fresh = self.folder / "config.yaml.new"
        fresh.write_text(text)
        fresh.rename(self.folder / "config.yaml")
        async with session.post("http://tollhouse/admin/v1/config:reload") as answer:
            await answer.read()
            return answer.status

    async def state(self) -> State:
        """Return what the process holds now."""
        text = await self.scrape()
        (pid,) = self._process.pids()
        return State(
            self._process.memory_bytes()[0],
            int(_sample(text, "tollhouse_event_loop_tasks ")),
            len(list((PROC / str(pid) / "fd").iterdir())),
        )

    def tell_failures(self) -> None:
        """Print what the gateway says of the first requests that failed."""
        with (self.folder / "access.log").open() as lines:
            failed = [line for line in lines if '"status":200' not in line]
        print("".join(failed[:20]), end="", file=sys.stderr)

    async def scrape(self) -> str:
        """Return the metrics."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()


def _sample(text: str, start: str) -> float:
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start))


def _lag_above(text: str, seconds: str) -> int:
    """Return how many ticks of the loop were later than `seconds`, a bound of the histogram."""
    name = "tollhouse_event_loop_lag_seconds"
    within = _sample(text, f'{name}_bucket{{le="{seconds}"}}')
    return int(_sample(text, f"{name}_count") - within)


def configurations(
    port: int, metrics_port: int, upstreams: tuple[int, int], routes: int
) -> tuple[str, str]:
    """Return the two configurations that take turns."""
    texts = []
    for which, upstream_port in enumerate(upstreams):
        config: dict[str, Any] = gateway_config(POLICY, port, upstream_port)
        config["listeners"]["metrics"]["bind"] = f"127.0.0.1:{metrics_port}"
        plan = f"plan-{which}"
        config["plans"] = {plan: {"rate": {"per_minute": WIDE + which}}}
        for key in config["bootstrap"]["keys"]:
            key["plan"] = plan
        config["routes"] += [
            {
                "name": f"only-{which}-{n}",
                "match": {"methods": ["GET"], "path": f"/only/{which}/{n}/{{id}}"},
                "scopes": ["load:read"],
                "upstream": "backend",
            }
            for n in range(routes)
        ]
        config["reload"] = {"watch": False}
        config["telemetry"] = {"access_log": {"path": "access.log"}}
        texts.append(json.dumps(config))
    return texts[0], texts[1]


@dataclass
class Reloads:
    """How the attempts went, and how long each took."""

    applied: int = 0
    refused: int = 0
    surprises: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def _keep_reloading(
    gateway: Gateway,
    texts: tuple[str, str],
    every: float,
    is_over: Callable[[], bool],
    settled: list[State],
    settle_after: int,
) -> Reloads:
    reloads = Reloads()
    connector = aiohttp.UnixConnector(str(gateway.folder / "admin.sock"))
    async with aiohttp.ClientSession(connector=connector) as session:
        number = 0
        while not is_over():
            number += 1
            is_bad = number % BAD_EVERY == 0
            text = texts[number % 2].replace('"routes"', '"rutes"') if is_bad else texts[number % 2]
            started = time.perf_counter()
            status = await gateway.reload(session, text)
            took = time.perf_counter() - started
            reloads.seconds.append(took)
            if status == (422 if is_bad else 200):
                reloads.refused += is_bad
                reloads.applied += not is_bad
            else:
                reloads.surprises.append(f"reload {number} was answered with {status}")
            if number == settle_after:
                settled.append(await gateway.state())
            await asyncio.sleep(max(0.0, every - took))
    return reloads


async def _measure(gateway: Gateway, texts: tuple[str, str], options: argparse.Namespace) -> int:
    calm = await _under_load(gateway, options, min(5.0, options.seconds / 4), None)
    load = Load()
    settled = [await gateway.state()]
    until = time.monotonic() + options.seconds
    settle_after = max(1, round(options.seconds / options.every / 5))
    async with asyncio.TaskGroup() as tasks:
        for number in range(options.clients):
            tasks.create_task(load.client(gateway.port, keeps_alive=number % 4 != 0))
        reloads = await _keep_reloading(
            gateway, texts, options.every, lambda: time.monotonic() > until, settled, settle_after
        )
        load.is_over = True
    await asyncio.sleep(1.5)  # connections end, and what retired is let go
    status = _report(calm, load, reloads, settled, await gateway.state(), await gateway.scrape())
    if status:
        gateway.tell_failures()
    return status


async def _under_load(
    gateway: Gateway, options: argparse.Namespace, seconds: float, _: None
) -> Load:
    """Return the load without any reload."""
    load = Load()
    async with asyncio.TaskGroup() as tasks:
        for number in range(options.clients):
            tasks.create_task(load.client(gateway.port, keeps_alive=number % 4 != 0))
        await asyncio.sleep(seconds)
        load.is_over = True
    return load


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _report(
    calm: Load, load: Load, reloads: Reloads, before: list[State], after: State, metrics: str
) -> int:
    problems = [*calm.failures, *load.failures, *reloads.surprises]
    settled = before[-1]
    growth = after.memory - settled.memory
    rows = (
        ("requests sent", f"{len(load.seconds):,}"),
        ("requests failed", str(len(calm.failures) + len(load.failures))),
        ("reloads applied / refused", f"{reloads.applied} / {reloads.refused}"),
        ("time of a reload, median / p99", _pair(reloads.seconds)),
        ("latency with reloads, median / p99", _pair(load.seconds)),
        ("latency without, median / p99", _pair(calm.seconds)),
        ("loop later than 5 / 25 / 100 ms (ticks)", " / ".join(
            str(_lag_above(metrics, bound)) for bound in ("0.005", "0.025", "0.1")
        )),
        ("memory before / settled / after", " / ".join(
            f"{state.memory / 2**20:.1f} MiB" for state in (before[0], settled, after)
        )),
        ("tasks before / after", f"{before[0].tasks} / {after.tasks}"),
        ("descriptors before / after", f"{before[0].descriptors} / {after.descriptors}"),
    )  # fmt: skip
    print("| under reload | |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    if growth > GROWTH_MAX:
        problems.append(f"memory grew by {growth / 2**20:.1f} MiB")
    if after.tasks > before[0].tasks + GROWTH_COUNT_MAX:
        problems.append(f"tasks grew from {before[0].tasks} to {after.tasks}")
    if after.descriptors > before[0].descriptors + GROWTH_COUNT_MAX:
        problems.append(f"descriptors grew from {before[0].descriptors} to {after.descriptors}")
    for problem in problems[:20]:
        print(f"reload: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _pair(seconds: list[float]) -> str:
    return f"{_quantile(seconds, 0.5) * 1000:.1f} / {_quantile(seconds, 0.99) * 1000:.1f} ms"


def main() -> int:
    """Run; return 0 when nothing failed and nothing grew, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.reload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to reload (60)")
    parser.add_argument("--every", type=float, default=0.1, help="seconds between reloads (0.1)")
    parser.add_argument("--clients", type=int, default=16, help="clients at the same time (16)")
    parser.add_argument("--routes", type=int, default=20, help="further routes of each (20)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tollhouse-reload-") as folder,
            ExitStack() as stack,
        ):
            return _run(Path(folder), options, stack)
    except Unusable as problem:
        print(f"reload: {problem}", file=sys.stderr)
        return 1


def _run(folder: Path, options: argparse.Namespace, stack: ExitStack) -> int:
    cores = Cores.of_this_machine()
    ports = (free_port(), free_port())
    for port in ports:
        command = [sys.executable, "-m", "gateway.demo", "--port", str(port)]
        process = stack.enter_context(running(command, cores.load, folder / "upstream.log", ROOT))
        process.wait_for_port(port)
    port, metrics_port = free_port(), free_port()
    texts = configurations(port, metrics_port, ports, options.routes)
    path = folder / "config.yaml"
    path.write_text(texts[0])
    words = [word.replace("{config}", str(path)) for word in shlex.split(options.command)]
    process = stack.enter_context(running(words, cores.gateway, folder / "gateway.log", ROOT))
    process.wait_for_port(port)
    process.wait_for_port(metrics_port)
    return asyncio.run(_measure(Gateway(folder, port, metrics_port, process), texts, options))


if __name__ == "__main__":
    sys.exit(main())
