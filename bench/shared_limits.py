"""What it costs to count limits in Redis: `python -m bench.shared_limits` (needs nginx, wrk, redis-server).

The same gateway with everything on (three buckets per request: key, tenant, route), with its limits in memory, in Redis
asked for each request, and in Redis with leases. Slices alternate; on a busy machine only the ratios mean something.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis

from bench.everything import everything_on
from bench.facts import Facts
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port, program, running
from bench.policy import make_policy
from bench.slices import Slice
from bench.subjects import GATEWAY_COMMAND, Bench, Subject

_START_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Counted:
    """A slice, and what Redis did meanwhile: commands, and CPU seconds."""

    slice: Slice
    seconds: float
    commands: int
    cpu: float

    @property
    def requests(self) -> float:
        return self.slice.requests_per_second * self.seconds


@contextmanager
def _redis(folder: Path, core: int) -> Iterator[tuple[int, Process]]:
    port = free_port()
    command = [program("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
    with running(command, core, folder / "redis.log", folder, {}) as process:
        process.wait_for_port(port, _START_SECONDS)
        yield port, process


def _in_redis(port: int, mode: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what puts the limits of a configuration into Redis."""

    def change(config: dict[str, Any]) -> dict[str, Any]:
        limits = {"url": f"redis://127.0.0.1:{port}", "mode": mode, "prefix": mode, "timeout": 5}
        return everything_on(config) | {"limits": limits}

    return change


def main() -> int:
    """Measure and print; return 1 when that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m bench.shared_limits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="slices of each (5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice (2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-limits-") as folder:
            rows = _measured(options, Path(folder))
    except Unusable as problem:
        print(f"shared_limits: {problem}", file=sys.stderr)
        return 1
    print(report(rows))
    print(f"\n{Facts.of_this_machine()}")
    return 0


def _measured(options: argparse.Namespace, folder: Path) -> dict[str, list[Counted]]:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    with ExitStack() as stack:
        upstream = stack.enter_context(bench.upstream())
        port, process = stack.enter_context(_redis(folder, bench.cores.load))
        changes = {
            "in memory": everything_on,
            "in Redis, exact": _in_redis(port, "exact"),
            "in Redis, leased": _in_redis(port, "leased"),
        }
        subjects = [
            stack.enter_context(bench.tollhouse(options.command, name=name, change=change))
            for name, change in changes.items()
        ]
        client: Any = Redis(host="127.0.0.1", port=port)
        stack.callback(client.close)

        def counted(subject: Subject) -> Counted:
            commands, cpu = _commands(client), process.cpu_seconds()
            found = load.run(subject.port, subject.process, upstream, options.seconds)
            used = process.cpu_seconds() - cpu
            return Counted(found, options.seconds, _commands(client) - commands - 1, used)

        for subject in subjects:
            counted(subject)  # warm-up
        rows: dict[str, list[Counted]] = {subject.name: [] for subject in subjects}
        for number in range(options.rounds):
            for subject in subjects if number % 2 else reversed(subjects):
                rows[subject.name].append(counted(subject))
        return rows


def _commands(client: Any) -> int:
    """Return what was asked of Redis; what scripts do within is no command of a client."""
    stats = client.info("commandstats")
    asked = ("evalsha", "eval", "zrem")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in asked)


def report(rows: dict[str, list[Counted]]) -> str:
    """Return the table."""
    head = (
        "limits", "requests/s", "CPU of the gateway per request", "p50", "p99",
        "calls of Redis per request", "CPU of Redis per request", "failures",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, found in rows.items():

        def middle(read: Callable[[Counted], float], of: Sequence[Counted] = found) -> float:
            return statistics.median(map(read, of))

        cells = (
            name,
            f"{middle(lambda each: each.slice.requests_per_second):,.0f}",
            f"{middle(lambda each: each.slice.cpu_per_request) * 1e6:.0f} us",
            f"{middle(lambda each: each.slice.latency_p50) * 1e3:.1f} ms",
            f"{middle(lambda each: each.slice.latency_p99) * 1e3:.1f} ms",
            f"{middle(lambda each: max(0, each.commands) / max(1.0, each.requests)):.3f}",
            f"{middle(lambda each: each.cpu / max(1.0, each.requests)) * 1e6:.1f} us",
            f"{sum(each.slice.failures for each in found)}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
