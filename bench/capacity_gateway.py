"""A gateway of its own on a given store, with hands to load it, for `bench.capacity_figures`.

It answers by itself (no upstream), so that what is measured is what it writes, remembers and asks, not how fast it
forwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.key_store import token
from bench.keys import POLICY, Client
from bench.machine import Cores, Process, Unusable, free_port, running
from bench.subjects import ROOT, gateway_config

ROUTES: Final = ("/v1/jobs", "/v1/offers")
_START_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway that serves: where, and how much CPU time it took until it answered."""

    folder: Path
    port: int
    process: Process
    start_seconds: float

    @property
    def config(self) -> Path:
        """The file of its configuration."""
        return self.folder / "config.yaml"

    def cli(self, *words: str) -> float:
        """Run a command of the gateway; return how long it took. Raises `Unusable`."""
        return command(self.config, *words).seconds

    async def ask(self, secrets: Sequence[str], *, clients: int = 8) -> None:
        """Make one request with each of `secrets`."""
        waiting = iter(secrets)

        async def lane() -> None:
            client = await Client.connected(self.port)
            for secret in waiting:
                await client.ask(secret)
            client.close()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(lane())

    async def steadily(self, secret: str, rate: float, seconds: float) -> int:
        """Make `rate` requests a second with one key; return how many."""
        client, made, began = await Client.connected(self.port), 0, time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            while made < rate * passed:
                await client.ask(secret)
                made += 1
            await asyncio.sleep(0.005)
        client.close()
        return made

    async def change(self, method: str, path: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
        """Ask the admin API, once for each body; `{}` in the path is its `id`."""
        answers = []
        connector = aiohttp.UnixConnector(str(self.folder / "admin.sock"))
        async with aiohttp.ClientSession("http://admin", connector=connector) as session:
            for body in bodies:
                where = f"/admin/v1{path.format(body.get('id', ''))}"
                given = {name: value for name, value in body.items() if name != "id"}
                async with session.request(method, where, json=given) as response:
                    answer = await response.json()
                if response.status >= 400:
                    raise Unusable(f"{method} {where}: {answer}")
                answers.append(answer)
        return answers


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    memory_bytes: int


def command(config: Path, *words: str) -> Ran:
    """Run a command of the gateway. Raises `Unusable`."""
    return ran([sys.executable, "-m", "gateway", *words, "--config", str(config)])


def ran(words: Sequence[str]) -> Ran:
    """Run a program to its end. Raises `Unusable`."""
    began, memory = time.monotonic(), 0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=said)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            memory = max(memory, _peak_bytes(process.pid))
            time.sleep(0.02)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)  # nobody else waits for it
        if process.returncode:
            said.seek(0)
            raise Unusable(f"{' '.join(words)}: {said.read().decode(errors='replace')}")
    return Ran(time.monotonic() - began, used.ru_utime + used.ru_stime, memory)


def _peak_bytes(pid: int) -> int:
    """Return the most memory that a process had since it began with its program, 0 when it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def configure(folder: Path, store: dict[str, Any], **sections: Any) -> tuple[Path, int]:
    """Write a configuration into `folder`; return its path and the public port."""
    port = free_port()
    config: dict[str, Any] = gateway_config(POLICY, port, free_port())
    for route in config["routes"]:
        del route["upstream"]
        route["handler"] = "introspect"
    path = folder / "config.yaml"
    path.write_text(json.dumps({**config, "store": store, **sections}))
    return path, port


@contextmanager
def gateway(
    folder: Path, store: dict[str, Any], *, first: str = "", audit_key: Path | None = None, **sections: Any
) -> Iterator[Site]:  # fmt: skip
    """Run a gateway in `folder` until it answers, and while the context lasts.

    `first` is the secret of the first request, by default that of a key which is always there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if audit_key is not None:
        shutil.copy(audit_key, folder / "audit.key")
    path, port = configure(folder, store, **sections)
    words = [sys.executable, "-m", "gateway", "run", "--config", str(path)]
    with running(words, Cores.of_this_machine().gateway, folder / "log", ROOT) as process:
        asyncio.run(_first_answer(port, first or POLICY.keys[0].token, process))
        yield Site(folder, port, process, process.cpu_seconds())


async def _first_answer(port: int, secret: str, process: Process) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            client = await Client.connected(port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        await client.ask(secret)
        client.close()
        return
    raise Unusable(f"no answer in time:\n{process.log_tail()}")


def stored(first: int, count: int) -> list[str]:
    """Return the secrets of keys of `bench.key_store`."""
    return [token(n) for n in range(first, first + count)]
