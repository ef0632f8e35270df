"""Where a scene plays: real gateways, and the real servers that they need.

Gateways keep their addresses over a restart, so that clients find them again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.clients import Key, Keys, Kind
from tests.chaos.dial import Admin
from tests.chaos.operators import a_key
from tests.chaos.wire import Wire
from tests.e2e.cluster import config_text
from tests.e2e.process import Running, running, write_config
from tests.postgres import Server as Postgres
from tests.postgres import running as postgres_running
from tests.redis_server import Server as Redis
from tests.redis_server import free_port, own_server

QUOTA: Final = 60
RATE: Final = 8
BURST: Final = 16
SHARE: Final = 0.25
"""The part of each limit that one of two gateways lets in by itself while Redis is away."""

LEASE_SECONDS: Final = 3.0
COLD_KEYS: Final = 60
"""For each gateway: at the pace of their client they last for a quarter of a minute."""

_PLANS: Final = f"""
  counted: {{quota: {{per_month: {QUOTA}}}}}
  paced: {{rate: {{per_second: {RATE}, burst: {BURST}}}}}
"""


class Node:
    """One gateway: a folder, a configuration, and the process that runs on it, if it does."""

    def __init__(
        self,
        folder: Path,
        upstream: str,
        text: str,
        through: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.text = text
        self._upstream = upstream
        self._through = through
        self._environment = environment
        self._stack = ExitStack()
        self._running: Running | None = None

    @property
    def running(self) -> Running:
        assert self._running is not None, "it does not run"
        return self._running

    @property
    def pid(self) -> int:
        return self.running.process.pid

    @property
    def public(self) -> str:
        return self.running.public

    @property
    def admin_place(self) -> str:
        return f"unix:{self.folder / 'data' / 'admin.sock'}"

    def admin(self) -> Admin:
        return Admin(self.admin_place)

    def start(self) -> None:
        gateway = running(
            self.folder,
            self._upstream,
            self.text,
            through=self._through,
            environment=self._environment,
        )
        self._running = self._stack.enter_context(gateway)

    def kill(self, *, alone: bool = False) -> None:
        """End the process at once, and those that it leads, unless it is killed `alone`."""
        led = [] if alone else children(self.pid)
        self.running.process.kill()
        self.running.process.wait(15)
        for pid in led:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._stack.close()

    def stop(self) -> None:
        """End the process in good order."""
        self._stack.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def resident(self) -> int:
        """Return the bytes that the process and those that it leads have in memory."""
        return sum(resident(pid) for pid in (self.pid, *children(self.pid)))

    def metric(self, name: str) -> float:
        """Return the sum of the series of a metric."""
        import requests

        text = requests.get(f"http://{self.running.metrics}/metrics", timeout=10).text
        lines = [line for line in text.splitlines() if line.startswith(f"tollhouse_{name}")]
        return sum(float(line.split()[-1]) for line in lines)


@dataclass
class Place:
    """All of it. `keys` are those that clients use."""

    nodes: list[Node]
    keys: Keys = field(default_factory=Keys)
    redis: Redis | None = None
    postgres: Postgres | None = None
    wire: Wire | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """What a fault has to know besides."""

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def server(self) -> Redis:
        assert self.redis is not None
        return self.redis

    @property
    def database(self) -> Postgres:
        assert self.postgres is not None
        return self.postgres

    def prepare(self) -> None:
        """Make the keys that clients use, and one that is revoked."""
        admin = self.node.admin()
        admin.must("POST", "/tenants", {"tenant_id": "acme", "name": "Acme"})

        def made(plan: str = "unlimited") -> Key:
            answer = admin.must("POST", "/keys", a_key(plan))
            return Key(answer["key"]["key_id"], answer["secret"])

        plans = {Kind.KNOWN: "unlimited", Kind.QUOTA: "counted", Kind.RATE: "paced"}
        self.keys.fixed = {kind: made(plan) for kind, plan in plans.items()}
        self.keys.cold = [deque(made() for _ in range(COLD_KEYS)) for _ in self.nodes]
        revoked = made()
        admin.must("POST", f"/keys/{revoked.key_id}:revoke", {"reason": "chaos"})
        self.keys.revoked = [revoked._replace(since=time.monotonic())]
        admin.close()


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def resident(pid: int) -> int:
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def adapted(text: str, changes: Mapping[str, str]) -> str:
    """Return a configuration for clients that do wrong on purpose, all from one address, and with `changes`."""
    usual = {
        "\n  unlimited: {}\n": f"\n  unlimited: {{}}{_PLANS}",
        "#failures: 20": "failures: 1000000",
        "bind: 127.0.0.1:0": f"bind: 127.0.0.1:{free_port()}",
    }
    for old, new in {**usual, **changes}.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@contextmanager
def alone(
    folder: Path,
    upstream: str,
    *,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
    **changes: str,
) -> Iterator[Place]:
    """Run one gateway, which keeps everything in its file."""
    text = write_config(folder, upstream).read_text()
    if workers > 1:
        changes = {"#workers: 1": f"workers: {workers}", **changes}
    node = Node(folder, upstream, adapted(text, changes), through, environment)
    with ExitStack() as stack:
        stack.callback(node.stop)
        node.start()
        place = Place([node])
        place.prepare()
        yield place


@contextmanager
def together(
    folder: Path,
    upstream: str,
    *,
    wired: str = "",
    prepare: Any = None,
    settings: Mapping[str, Any] | None = None,
    lease: str = f"{LEASE_SECONDS:g}s",
) -> Iterator[Place]:
    """Run two gateways, which share a PostgreSQL and a Redis.

    `wired` is `redis` or `postgres`: the second gateway reaches it through a wire that can be slow or cut; a wire to
    Redis is there for both.
    """
    with ExitStack() as stack:
        postgres = stack.enter_context(
            postgres_running(prepare or (lambda _: None), **(settings or {}))
        )
        redis = stack.enter_context(own_server(folder))
        place = Place([], redis=redis, postgres=postgres)
        redis_url, urls = redis.url, [postgres.url()] * 2
        if wired == "redis":
            place.wire = stack.enter_context(Wire(redis.port))
            redis_url = f"redis://127.0.0.1:{place.wire.port}"
        elif wired == "postgres":
            place.wire = stack.enter_context(Wire(postgres.port))
            urls[1] = urls[1].replace(f":{postgres.port}/", f":{place.wire.port}/")
        for name, url in zip("ab", urls, strict=True):
            place.nodes.append(_member(folder, upstream, url, name, redis_url, lease))
        join(place, stack)
        yield place


def join(place: Place, stack: ExitStack) -> None:
    """Start all gateways of a place; all sign with the key of the first."""
    first = place.nodes[0]
    for node in place.nodes:
        own, shared = (each.folder / "data" / "audit.key" for each in (node, first))
        if node is not first:
            shutil.copy(shared, own)
        stack.callback(node.stop)
        node.start()
    place.prepare()


def _member(folder: Path, upstream: str, url: str, name: str, redis_url: str, lease: str) -> Node:
    home = folder / name
    home.mkdir()
    text = config_text(home, upstream, url, name, lease=lease)
    return Node(home, upstream, adapted(text, limits_in(redis_url)))


def limits_in(redis_url: str) -> dict[str, str]:
    """Return the change of the configuration that shares limits in a Redis."""
    settings = (f"url: {redis_url}", "retry: 250ms", f"local_share: {SHARE}")
    place = '  #url: ""\n  # exact asks'
    return {place: "\n".join(f"  {line}" for line in settings) + "\n  # exact asks"}
