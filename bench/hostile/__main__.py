"""Starts a gateway per attack, measures normal traffic without it and beside it, and prints the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.machine import Cores, Process, Unusable, free_port, program, running
from bench.peers.nginx import framed
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config

POLICY: Final = Policy(
    routes=(
        Route("jobs", "GET", "/api/v1/jobs", "jobs:read"),
        Route("large", "GET", "/v1/large", "jobs:read"),
        Route("upload", "POST", "/v1/upload", "jobs:read"),
    ),
    keys=(Key("steady", mint("steady"), ("jobs:read",), WIDE),),
)
TOKEN: Final = POLICY.keys[0].token
TARGET: Final = "/api/v1/jobs"
LARGE_BYTES: Final = 64 * 2**20

UPSTREAM: Final = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 '{json}'; }}
    location = /v1/large {{ root {folder}; }}
    location = /v1/upload {{ client_max_body_size 0; proxy_pass http://127.0.0.1:{port}/; }}
  }}
"""
"""Uploads are read to their end before they are answered, as backends do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One attack: its kind, how many connections it holds, and what the table calls it."""

    kind: str
    count: int
    title: str


SCENARIOS: Final = (
    Scenario("idle", 10_000, "10,000 idle connections, each after one request"),
    Scenario("slow-heads", 5_000, "5,000 heads that drip in without end, reconnecting"),
    Scenario("slow-bodies", 2_000, "2,000 bodies of one byte per second"),
    Scenario("slow-readers", 500, "500 readers of 64 MiB that read nothing"),
    Scenario("flood", 1, "up to 5,000 connections per second, opened and reset"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some seconds of normal traffic: milliseconds, requests per second, and what the gateway used."""

    p50: float
    p99: float
    worst: float
    rate: float
    failures: float
    cpu_share: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scenario: the slice before, the slice beside the attack, and what the attack held."""

    scenario: Scenario
    before: Slice
    beside: Slice
    held: int
    per_second: float
    causes: dict[str, int]


class Gateway:
    """A running gateway under measurement."""

    def __init__(self, port: int, metrics_port: int, process: Process, core: int) -> None:
        self.port = port
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._process = process
        self._core = core

    def steady(self, options: argparse.Namespace) -> Slice:
        """Send normal traffic for a while."""
        command = ["taskset", "--cpu-list", str(self._core), sys.executable]
        command += ["-m", "bench.hostile.steady", "--port", str(self.port), "--target", TARGET]
        command += ["--token", TOKEN, "--rate", str(options.rate)]
        command += ["--seconds", str(options.seconds)]
        spent, started = self._process.cpu_seconds(), time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise Unusable(f"the normal traffic failed: {done.stderr[-1000:]}")
        share = (self._process.cpu_seconds() - spent) / (time.monotonic() - started)
        memory, _ = self._process.memory_bytes()
        return Slice(**json.loads(done.stdout), cpu_share=share, memory_bytes=memory)

    def metric(self, name: str) -> dict[str, int]:
        """Return the samples of one metric that are not 0, by their first label, or by nothing."""
        with urllib.request.urlopen(self._metrics, timeout=30) as answer:
            text = answer.read().decode()
        pattern = rf'^tollhouse_{name}(?:\{{\w+="(\w+)"\}})? (\S+)$'
        samples = (
            (label, float(value)) for label, value in re.findall(pattern, text, re.MULTILINE)
        )
        return {label: int(value) for label, value in samples if value}


def main() -> int:
    """Measure every scenario; return 0, or 1 when the machine cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="normal requests per second")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a slice (12)")
    parser.add_argument("--only", help="one kind of attack")
    parser.add_argument("--scale", type=float, default=1.0, help="of the attacks' connections")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-hostile-") as folder:
            rows = _measure(options, Path(folder))
    except Unusable as problem:
        print(f"hostile: {problem}", file=sys.stderr)
        return 1
    _print(rows, options)
    return 0


def _measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    cores = Cores.of_this_machine()
    rows = []
    with _upstream(folder, cores.load) as upstream_port:
        for number, scenario in enumerate(SCENARIOS):
            if options.only in (None, scenario.kind):
                place = folder / scenario.kind
                place.mkdir()
                with _gateway(place, cores, upstream_port, options.command) as gateway:
                    rows.append(_attacked(gateway, scenario, number, options, cores.load))
                print(f"{scenario.title}: done", file=sys.stderr)
    return rows


def _attacked(
    gateway: Gateway, scenario: Scenario, number: int, options: argparse.Namespace, core: int
) -> Row:
    before = gateway.steady(options)
    count = max(1, int(scenario.count * options.scale))
    command = ["nice", "-n", "19", "taskset", "--cpu-list", str(core), sys.executable]
    command += ["-m", "bench.hostile.attack", scenario.kind, "--port", str(gateway.port)]
    command += ["--count", str(count), "--source", str(number), "--target", TARGET]
    attack = subprocess.Popen(
        [*command, "--token", TOKEN], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert attack.stdout is not None
    try:
        if attack.stdout.readline() != "ready\n":
            raise Unusable(f"the attack {scenario.kind} did not get ready")
        started = time.monotonic()
        beside = gateway.steady(options)
        held = sum(gateway.metric("connections").values())
        causes = gateway.metric("connections_closed_total")
        causes |= gateway.metric("connections_refused_total")
    finally:
        attack.terminate()
        rest = attack.stdout.read()
        attack.wait(30)
    seconds = time.monotonic() - started
    opened = json.loads(rest.splitlines()[-1])["opened"] if rest else 0
    return Row(
        scenario=scenario,
        before=before,
        beside=beside,
        held=held,
        per_second=opened / seconds,
        causes=causes,
    )


@contextmanager
def _upstream(folder: Path, core: int) -> Iterator[int]:
    port = free_port()
    place = folder / "upstream"
    (place / "v1").mkdir(parents=True)
    with (place / "v1" / "large").open("wb") as file:
        file.truncate(LARGE_BYTES)
    text = '{"data":"' + "x" * 1013 + '"}'
    body = UPSTREAM.format(port=port, json=text, folder=place)
    config = place / "nginx.conf"
    config.write_text(framed(place, body))
    command = [program("nginx", "nginx-light"), "-p", str(place), "-c", str(config)]
    with running(command, core, place / "out.log", place) as process:
        process.wait_for_port(port)
        yield port


@contextmanager
def _gateway(folder: Path, cores: Cores, upstream_port: int, command: str) -> Iterator[Gateway]:
    port = free_port()
    config: dict[str, Any] = gateway_config(POLICY, port, upstream_port)
    config["upstreams"]["backend"]["connections_max"] = 3000
    metrics_port = int(config["listeners"]["metrics"]["bind"].rpartition(":")[2])
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    words = [word.replace("{config}", str(path)) for word in shlex.split(command)]
    with running(words, cores.gateway, folder / "gateway.log", ROOT) as process:
        process.wait_for_port(port)
        yield Gateway(port, metrics_port, process, cores.load)


def _print(rows: list[Row], options: argparse.Namespace) -> None:
    print(
        "| beside normal traffic | p50 | p99 | worst | failed | CPU of one core | memory | "
        "connections held | memory per connection | ended by the gateway |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        print(_line("nothing", row.before, "", "", ""))
        grown = row.beside.memory_bytes - row.before.memory_bytes
        each = f"{grown / row.held / 1024:.1f} KiB" if row.held > 500 else ""
        causes = ", ".join(f"{name} {count:,}" for name, count in row.causes.items() if name)
        print(_line(row.scenario.title, row.beside, f"{row.held:,}", each, causes))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(
        f"\nNormal traffic: {options.rate:g} requests per second over 64 connections for "
        f"{options.seconds:g} s; {python}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Linux {platform.release().split('-')[0]}."
    )


def _line(title: str, part: Slice, held: str, each: str, causes: str) -> str:
    return (
        f"| {title} | {part.p50:.2f} ms | {part.p99:.2f} ms | {part.worst:.1f} ms "
        f"| {part.failures:g} | {part.cpu_share:.0%} | {part.memory_bytes / 2**20:.0f} MiB "
        f"| {held} | {each} | {causes} |"
    )


if __name__ == "__main__":
    sys.exit(main())
