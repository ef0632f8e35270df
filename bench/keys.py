"""What a million keys cost: `python -m bench.keys`.

Looks keys up in the store alone, then starts the gateway on it: time to the first answer, latency that a cold key adds,
a steady client beside a storm of cold keys, memory while keys are being bound, and beyond the most that are kept.
Fails when a promise is broken: cold look-up, memory, start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.key_store import KEYS_PER_TENANT, built, digest, token
from bench.machine import Cores, Process, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import GATEWAY_COMMAND, ROOT, Bench, gateway_config
from gateway.stores import sqlite

LOOKUP_P50_SECONDS_MAX: Final = 300e-6
MEMORY_BYTES_MAX: Final = 120_000_000
START_SECONDS_MAX: Final = 1.0

POLICY: Final = Policy(
    routes=(
        Route("jobs", "GET", "/v1/jobs", "jobs:read"),
        Route("offers", "GET", "/v1/offers", "offers:read"),
    ),
    keys=(Key("load", mint("load"), ("jobs:read", "offers:read"), WIDE),),
)
STEADY_RATE: Final = 300
TARGET: Final = "/v1/jobs"


class Client:
    """One keep-alive connection that asks with one key after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, secret: str) -> float:
        """Return the seconds until the whole answer was here. Raises `Unusable` unless it is 200."""
        started = time.perf_counter()
        self._writer.write(
            f"GET {TARGET} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        await self._reader.readexactly(int(length or 0))
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unusable(f"a stored key was answered with {head[:200]!r}")
        return time.perf_counter() - started

    def close(self) -> None:
        self._writer.close()


@dataclass(slots=True)
class Rows:
    """The table, and which promises were broken."""

    rows: list[tuple[str, str]]
    broken: list[str]

    def add(self, name: str, value: str, *, breaks: bool = False) -> None:
        self.rows.append((name, value))
        print(f"| {name} | {value} |", flush=True)
        if breaks:
            self.broken.append(f"{name}: {value}")


class Keys:
    """Numbers of stored keys that nobody asked for yet, in an order without any order."""

    def __init__(self, count: int) -> None:
        self._numbers = list(range(count))
        random.Random(4).shuffle(self._numbers)

    def taken(self, count: int) -> list[int]:
        """Return so many keys, never to be returned again."""
        if count > len(self._numbers):
            raise Unusable("the store has too few keys for this run: build one with more --keys")
        taken, self._numbers = self._numbers[:count], self._numbers[count:]
        return taken


def _micros(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99)]
    return f"{at[0] * 1e6:.0f} / {at[1] * 1e6:.0f} us"


def _median(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


async def _store_alone(path: Path, numbers: Sequence[int]) -> list[float]:
    digests = [digest(n) for n in numbers]
    taken = []
    async with sqlite.opened(path) as store:
        await store.find([digest(0)])
        for each in digests:
            started = time.perf_counter()
            if await store.find([each]) is None:
                raise Unusable(f"{path} does not hold the keys that it should: remove it")
            taken.append(time.perf_counter() - started)
    return taken


def _evict(path: Path) -> None:
    """Let the kernel forget the pages of the file, so that it is read from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


async def _first_answer(process: Process, port: int, started: float) -> float:
    """Return the seconds from `started` until a request with a known key was answered."""
    while time.monotonic() < started + 60:
        try:
            client = await Client.connected(port)
        except OSError:
            await asyncio.sleep(0.002)
            continue
        await client.ask(POLICY.keys[0].token)
        client.close()
        return time.monotonic() - started
    raise Unusable(f"no answer in a minute:\n{process.log.read_text()[-2000:]}")


async def _added(port: int, numbers: Sequence[int]) -> tuple[list[float], list[float]]:
    """Return the latency of keys that are asked for the first time, and of the same when they are known."""
    client, cold, warm = await Client.connected(port), [], []
    for n in numbers:
        secret = token(n)
        cold.append(await client.ask(secret))
        warm.append(await client.ask(secret))
    client.close()
    return cold, warm


async def _bind(port: int, secrets: Iterator[str], clients: int) -> int:
    """Ask once with each of `secrets`, over `clients` connections at once; return how many there were."""

    async def lane() -> int:
        client, asked = await Client.connected(port), 0
        for secret in secrets:
            await client.ask(secret)
            asked += 1
        client.close()
        return asked

    async with asyncio.TaskGroup() as tasks:
        lanes = [tasks.create_task(lane()) for _ in range(clients)]
    return sum(lane.result() for lane in lanes)


async def _steady(port: int, core: int, seconds: float) -> dict[str, float]:
    command = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "bench.hostile.steady"]
    command += ["--port", str(port), "--target", TARGET, "--token", POLICY.keys[0].token]
    command += ["--rate", str(STEADY_RATE), "--seconds", str(seconds)]
    steady = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await steady.communicate()
    found: dict[str, float] = json.loads(output)
    return found


async def _storm(port: int, core: int, secrets: list[str], options: argparse.Namespace) -> Rows:
    """Return the rows of a steady client, alone and beside a storm of cold keys."""
    rows = Rows([], [])
    calm = await _steady(port, core, options.seconds)
    rows.add("steady client alone, p50 / p99", f"{calm['p50']:.2f} / {calm['p99']:.2f} ms")
    started, waiting = time.monotonic(), iter(secrets)

    def until_over() -> Iterator[str]:
        while time.monotonic() - started < options.seconds:
            secret = next(waiting, None)
            if secret is None:
                return
            yield secret

    bound, beside = await asyncio.gather(
        _bind(port, until_over(), options.clients), _steady(port, core, options.seconds)
    )
    rate = bound / options.seconds
    rows.add(f"beside {rate:,.0f} cold keys/s", f"{beside['p50']:.2f} / {beside['p99']:.2f} ms")
    failures = int(beside["failures"])
    rows.add("steady requests that failed", str(failures), breaks=failures > 0)
    return rows


async def _measure(options: argparse.Namespace, folder: Path, path: Path, stack: ExitStack) -> Rows:
    rows, keys, cores = Rows([], []), Keys(options.keys), Cores.of_this_machine()
    taken = await _store_alone(path, keys.taken(options.lookups))
    rows.add(
        "look-up in the store, p50 / p99",
        _micros(taken),
        breaks=_median(taken) > LOOKUP_P50_SECONDS_MAX,
    )
    _evict(path)
    taken = await _store_alone(path, keys.taken(options.lookups))
    rows.add("the same, first read from the disk", _micros(taken))
    bench = Bench(folder, cores, POLICY, free_port())
    stack.enter_context(bench.upstream())
    port = free_port()
    started = time.monotonic()
    process = _gateway(options, folder, path, port, bench.upstream_port, stack)
    first = await _first_answer(process, port, started)
    rows.add("start to first answer", f"{first:.2f} s", breaks=first > START_SECONDS_MAX)
    await asyncio.sleep(2)
    rows.add("memory, one key bound", _mebibytes(process))
    cold, warm = await _added(port, keys.taken(options.lookups))
    added = _median(cold) - _median(warm)
    rows.add("request with a cold key, p50 / p99", _micros(cold))
    rows.add("the same key again, p50 / p99", _micros(warm))
    rows.add(
        "latency that a cold key adds, p50",
        f"{added * 1e6:.0f} us",
        breaks=added > LOOKUP_P50_SECONDS_MAX,
    )
    secrets = [token(n) for n in keys.taken(min(60_000, options.bound // 2))]
    storm = await _storm(port, cores.load, secrets, options)
    rows.rows += storm.rows
    rows.broken += storm.broken
    await _fill(options, keys, port, process, rows)
    return rows


async def _fill(
    options: argparse.Namespace, keys: Keys, port: int, process: Process, rows: Rows
) -> None:
    numbers = keys.taken(options.bound)
    secrets = [token(n) for n in numbers]
    await _bind(port, iter(secrets), options.clients)
    await asyncio.sleep(2)
    memory = process.memory_bytes()[0]
    rows.add(
        f"memory, {options.bound:,} keys in the cache",
        _mebibytes(process),
        breaks=memory > MEMORY_BYTES_MAX,
    )
    client = await Client.connected(port)
    some = secrets[:: max(1, options.bound // options.lookups)]
    again = [await client.ask(secret) for secret in some]
    client.close()
    rows.add("request with one of them, p50 / p99", _micros(again))
    more = iter([token(n) for n in keys.taken(options.bound)])
    started = time.monotonic()
    count = await _bind(port, more, options.clients)
    rows.add(f"{options.bound:,} more keys", f"{count / (time.monotonic() - started):,.0f} /s")
    rows.add("memory after them", _mebibytes(process))


def _mebibytes(process: Process) -> str:
    memory = process.memory_bytes()[0]
    return f"{memory / 2**20:.1f} MiB ({memory / 1e6:.0f} MB)"


def _gateway(
    options: argparse.Namespace,
    folder: Path,
    path: Path,
    port: int,
    upstream_port: int,
    stack: ExitStack,
) -> Process:
    config: dict[str, Any] = gateway_config(POLICY, port, upstream_port)
    config["store"] = {"path": str(path.resolve()), "cache_keys_max": options.bound}
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    words = [word.replace("{config}", str(file)) for word in shlex.split(options.command)]
    core = Cores.of_this_machine().gateway
    return stack.enter_context(running(words, core, folder / "gateway.log", ROOT))


def _page(rows: Rows, options: argparse.Namespace) -> str:
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.rows)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"""# Figures: a million keys

`make bench-keys` builds a store with {options.keys:,} keys of {options.keys // KEYS_PER_TENANT:,} tenants once, looks
keys up in no order, first in the store alone, then through a gateway that starts on it, and fills the cache
(`store.cache_keys_max: {options.bound}`). A cold key is one that this gateway has not seen since it started; the steady
client sends {STEADY_RATE} requests per second with a key that is known.

| {options.keys:,} keys in SQLite | |
|---|---:|
{table}

{python}, {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}.
"""


def main() -> int:
    """Measure; return 0, or 1 when a promise is broken or the machine cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.keys", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys stored (1,000,000)")
    parser.add_argument("--bound", type=int, default=100_000, help="keys in the cache (100,000)")
    parser.add_argument("--lookups", type=int, default=3000, help="cold look-ups timed (3,000)")
    parser.add_argument("--clients", type=int, default=16, help="clients of the storm (16)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the storm (5)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "tollhouse-bench-keys",
        help="where the store is kept between runs (1 GiB for a million keys)",
    )
    parser.add_argument("--out", type=Path, help="folder for keys.md")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        path = built(options.folder, options.keys)
        with (
            tempfile.TemporaryDirectory(prefix="tollhouse-keys-") as folder,
            ExitStack() as stack,
        ):
            size = path.stat().st_size / 2**20
            print(f"| {options.keys:,} keys in SQLite ({size:.0f} MiB) | |\n|---|---:|")
            rows = uvloop.run(_measure(options, Path(folder), path, stack))
    except Unusable as problem:
        print(f"keys: {problem}", file=sys.stderr)
        return 1
    if options.out is not None:
        (options.out / "keys.md").write_text(_page(rows, options))
    for each in rows.broken:
        print(f"keys: {each}", file=sys.stderr)
    return 1 if rows.broken else 0


if __name__ == "__main__":
    sys.exit(main())
