"""Hours of everything at once, and memory that does not grow: `python -m bench.soak --seconds 600`.

Requests of every kind (200 with bodies both ways, 401, 403, 404, 429, clients that leave in the middle), kept and new
connections, keys made, used and revoked, configurations that take turns. Memory, tasks, descriptors and connections
are read all the time; a line is fitted to the memory after a warm-up. Fails when it rises by more than `GROWTH_MAX`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shlex
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from bench.machine import PROC, Cores, Process, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.soak_report import Sample, told
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config

_EVERY_SECONDS: Final = 2.0
_KEY_SECONDS: Final = 1.0
_RELOAD_SECONDS: Final = 10.0
_SECRETS: Final = {name: mint(f"soak {name}") for name in ("full", "reader", "narrow")}

POLICY: Final = Policy(
    routes=(
        Route("status", "GET", "/v1/status", "load:read"),
        Route("bytes", "GET", "/v1/bytes/{id}", "load:read"),
        Route("echo", "POST", "/v1/echo", "load:write"),
    ),
    keys=(
        Key("full", _SECRETS["full"], ("load:read", "load:write"), WIDE),
        Key("reader", _SECRETS["reader"], ("load:read",), WIDE),
        Key("narrow", _SECRETS["narrow"], ("load:read",), 20),
    ),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request, the statuses that are right for it, and how often it comes."""

    method: str
    target: str
    key: str
    statuses: frozenset[int]
    weight: int
    body_bytes: int = 0


KINDS: Final = (
    Kind("GET", "/v1/status", "full", frozenset({200}), 40),
    Kind("GET", "/v1/bytes/4096", "full", frozenset({200}), 10),
    Kind("GET", "/v1/bytes/300000", "reader", frozenset({200}), 2),
    Kind("POST", "/v1/echo", "full", frozenset({200}), 10, 2000),
    Kind("POST", "/v1/echo", "full", frozenset({200}), 2, 200_000),
    Kind("POST", "/v1/echo", "reader", frozenset({403}), 8, 100),
    Kind("GET", "/v1/status", "narrow", frozenset({200, 429}), 8),
    Kind("GET", "/v1/status", "unknown", frozenset({401, 429}), 10),
    Kind("GET", "/v1/status", "malformed", frozenset({401, 429}), 5),
    Kind("GET", "/nowhere/{n}", "full", frozenset({404}), 10),
)


@dataclass
class Load:
    """What the clients saw."""

    port: int
    per_second: float
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    is_over: bool = False
    random: random.Random = field(default_factory=lambda: random.Random(4))

    async def client(self, *, leaves_early: bool) -> None:
        """Send requests of all kinds, on one connection after the other, until it is over."""
        weights = [kind.weight for kind in KINDS]
        while not self.is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for _ in range(self.random.choice((1, 1, 3, 50, 400))):
                    if self.is_over:
                        break
                    (kind,) = self.random.choices(KINDS, weights)
                    if leaves_early and self.random.random() < 0.3:
                        writer.write(self._request(kind)[: self.random.randrange(1, 300)])
                        break
                    await self._ask(reader, writer, kind)
                    await asyncio.sleep(1 / self.per_second)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"{error!r}")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind
    ) -> None:
        writer.write(self._request(kind))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            while (size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)) > 0:
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length or 0))
        self.statuses[status] += 1
        if status not in kind.statuses:
            self.failures.append(f"{kind.method} {kind.target} with key {kind.key}: {status}")

    def address(self) -> str:
        """Return one of 2,048 addresses: enough that none fails often, few enough that all are soon known."""
        return f"203.0.{self.random.randrange(16)}.{self.random.randrange(1, 129)}"

    def _request(self, kind: Kind) -> bytes:
        secret = _SECRETS.get(kind.key, "no key at all")
        if kind.key == "unknown":
            secret = mint(f"unknown {self.random.random()}")
        target = kind.target.replace("{n}", str(self.random.randrange(10**9)))
        head = (
            f"{kind.method} {target} HTTP/1.1\r\nHost: soak\r\nX-Forwarded-For: {self.address()}\r\n"
            f"Authorization: Bearer {secret}\r\nContent-Length: {kind.body_bytes}\r\n\r\n"
        )
        return head.encode() + b"x" * kind.body_bytes


class Gateway:
    """The process under test, its configurations and its admin and metrics sockets."""

    def __init__(self, folder: Path, texts: tuple[str, str], ports: tuple[int, int]) -> None:
        self.folder = folder
        self.texts = texts
        self.port, self._metrics_port = ports
        self.began = time.monotonic()

    async def sample(self, process: Process) -> Sample:
        """Read everything at once."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        pids = process.pids()
        return Sample(
            seconds=time.monotonic() - self.began,
            resident=sum(_rollup(pid, "Rss") for pid in pids),
            proportional=sum(_rollup(pid, "Pss") for pid in pids),
            tasks=_gauge(text, "event_loop_tasks"),
            descriptors=sum(len(list((PROC / str(pid) / "fd").iterdir())) for pid in pids),
            connections=_gauge(text, "connections"),
        )

    async def operate(self, load: Load) -> None:
        """Make, use and revoke keys, and let the configurations take turns."""
        connector = aiohttp.UnixConnector(str(self.folder / "admin.sock"))
        base = "http://tollhouse/admin/v1"
        reloaded, number = time.monotonic(), 0
        async with aiohttp.ClientSession(connector=connector) as session:
            while not load.is_over:
                await self._life_of_a_key(session, base, load)
                if time.monotonic() - reloaded > _RELOAD_SECONDS:
                    number, reloaded = number + 1, time.monotonic()
                    _replace(self.folder / "config.yaml", self.texts[number % 2])
                    await _answered(session, f"{base}/config:reload", {}, 200)
                await asyncio.sleep(_KEY_SECONDS)

    async def _life_of_a_key(self, session: aiohttp.ClientSession, base: str, load: Load) -> None:
        wish = {
            "tenant_id": "bench",
            "name": "soak",
            "environment": "live",
            "scopes": ["load:read"],
            "plan": "wide",
        }
        made = await _answered(session, f"{base}/keys", wish, 201)
        headers = {"Authorization": f"Bearer {made['secret']}", "X-Forwarded-For": load.address()}
        url, key_id = f"http://127.0.0.1:{self.port}/v1/status", made["key"]["key_id"]
        async with aiohttp.ClientSession() as caller:
            for expected in (200, 401):
                async with caller.get(url, headers=headers) as answer:
                    load.statuses[answer.status] += 1
                    if answer.status != expected:
                        load.failures.append(f"a key's life: {answer.status}, not {expected}")
                if expected == 200:
                    revoke = f"{base}/keys/{key_id}:revoke"
                    await _answered(session, revoke, {"reason": "soak"}, 200)


async def _answered(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], status: int
) -> dict[str, Any]:
    async with session.post(url, json=body) as answer:
        text = await answer.text()
        if answer.status != status:
            raise Unusable(f"POST {url} was answered with {answer.status}: {text[:500]}")
        found: dict[str, Any] = json.loads(text)
        return found


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def _rollup(pid: int, name: str) -> int:
    text = (PROC / str(pid) / "smaps_rollup").read_text("ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name)) * 1024


def _gauge(text: str, name: str) -> int:
    start = f"tollhouse_{name}"
    return sum(
        int(float(line.split()[-1]))
        for line in text.splitlines()
        if line.startswith((f"{start} ", f"{start}{{"))
    )


async def _soak(
    gateway: Gateway, process: Process, options: argparse.Namespace
) -> tuple[Load, list[Sample]]:
    load = Load(gateway.port, options.rate / options.clients)
    samples = [await gateway.sample(process)]
    until = time.monotonic() + options.seconds
    async with asyncio.TaskGroup() as tasks:
        for n in range(options.clients):
            tasks.create_task(load.client(leaves_early=n % 4 == 0))
        tasks.create_task(gateway.operate(load))
        while time.monotonic() < until:
            await asyncio.sleep(_EVERY_SECONDS)
            samples.append(await gateway.sample(process))
        load.is_over = True
    await asyncio.sleep(3)  # connections end
    samples.append(await gateway.sample(process))
    return load, samples


def _configurations(ports: tuple[int, int], upstream_port: int) -> tuple[str, str]:
    """Return the two configurations that take turns."""
    texts = []
    for burst in (WIDE, WIDE + 1):
        config = gateway_config(POLICY, ports[0], upstream_port)
        config["listeners"]["metrics"]["bind"] = f"127.0.0.1:{ports[1]}"
        config["client_address"] = {"trusted_proxies": ["127.0.0.1"]}
        config["plans"]["other"] = {"rate": {"per_minute": burst}}
        config["reload"] = {"watch": False}
        config["telemetry"] = {"access_log": {"path": "/dev/null"}}
        texts.append(json.dumps(config))
    return texts[0], texts[1]


def _run(folder: Path, options: argparse.Namespace, stack: ExitStack) -> int:
    cores = Cores.of_this_machine()
    upstream_port, ports = free_port(), (free_port(), free_port())
    command = [sys.executable, "-m", "gateway.demo", "--port", str(upstream_port)]
    upstream = stack.enter_context(running(command, cores.load, folder / "upstream.log", ROOT))
    upstream.wait_for_port(upstream_port)
    texts = _configurations(ports, upstream_port)
    path = folder / "config.yaml"
    path.write_text(texts[0])
    words = [word.replace("{config}", str(path)) for word in shlex.split(options.command)]
    process = stack.enter_context(running(words, cores.gateway, folder / "gateway.log", ROOT))
    for port in ports:
        process.wait_for_port(port)
    load, samples = uvloop.run(_soak(Gateway(folder, texts, ports), process, options))
    status = told(load.statuses, load.failures, samples, options)
    if status:
        print((folder / "gateway.log").read_text()[-3000:], file=sys.stderr)
    return status


def main() -> int:
    """Run; return 0 when nothing failed and nothing grew, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--clients", type=int, default=24, help="clients at the same time (24)")
    parser.add_argument(
        "--rate", type=float, default=480.0, help="requests per second, about (480)"
    )
    parser.add_argument("--out", type=Path, help="folder for soak.md and soak.svg")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tollhouse-soak-") as folder,
            ExitStack() as stack,
        ):
            return _run(Path(folder), options, stack)
    except Unusable as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
