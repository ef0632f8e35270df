"""A network between gateways and their servers that is cut: a namespace of its own for one gateway.

Its clients reach it over a unix socket, which needs no network. It needs the right to make namespaces.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.limits_faults import shares
from tests.chaos.place import LEASE_SECONDS, Node, Place, adapted, join, limits_in
from tests.chaos.scene import Scene
from tests.chaos.wire import Wire
from tests.e2e.cluster import config_text
from tests.postgres import running as postgres_running
from tests.redis_server import own_server

_HOLD: Final = LEASE_SECONDS + 4.0
_HERE: Final = "10.213.77.1"
_THERE: Final = "10.213.77.2"


@dataclass
class Island:
    """A network of its own, and the one link from there to here."""

    pid: int
    link: str

    @property
    def entry(self) -> tuple[str, ...]:
        """Return the command that goes there and becomes another one."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    def set(self, state: str) -> None:
        _ip("link", "set", self.link, state)


def _ip(*arguments: str, through: tuple[str, ...] = ()) -> None:
    command = [*through, "ip", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"NOT TRIED: {' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def island() -> Iterator[Island]:
    """Make a network that is connected to this one by a pair of interfaces."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready && exec sleep 600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    link, far = f"chaos{os.getpid() % 10_000}", f"soahc{os.getpid() % 10_000}"
    try:
        if holder.stdout.readline().strip() != "ready":
            pytest.skip("NOT TRIED: network namespaces are not allowed here")
        found = Island(holder.pid, link)
        _ip("link", "add", link, "type", "veth", "peer", "name", far, "netns", str(holder.pid))
        _ip("addr", "add", f"{_HERE}/24", "dev", link)
        _ip("link", "set", link, "up")
        _ip("addr", "add", f"{_THERE}/24", "dev", far, through=found.entry)
        for device in (far, "lo"):
            _ip("link", "set", device, "up", through=found.entry)
        yield found
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=10)


@contextmanager
def apart(folder: Path, upstream: str) -> Iterator[Place]:
    """Run two gateways on PostgreSQL and Redis; the second lives on an island."""
    with ExitStack() as stack:
        there = stack.enter_context(island())

        def prepare(data: Path) -> None:
            with (data / "pg_hba.conf").open("a") as file:
                file.write(f"host all all {_THERE}/32 trust\n")

        settings: dict[str, Any] = {"listen_addresses": f"127.0.0.1,{_HERE}"}
        postgres = stack.enter_context(postgres_running(prepare, **settings))
        options = ("--bind", "127.0.0.1", _HERE, "--protected-mode", "no")
        redis = stack.enter_context(own_server(folder, *options))
        road = stack.enter_context(Wire(int(upstream.rpartition(":")[2]), host=_HERE))
        place = Place([], redis=redis, postgres=postgres, extra={"island": there})
        for name in "ab":
            home = folder / name
            home.mkdir()
            url, limits, target = postgres.url(), redis.url, upstream
            through: tuple[str, ...] = ()
            changes = {"bind: 127.0.0.1:": f"bind: unix:{home}/public.sock #"}
            if name == "b":
                url = url.replace("127.0.0.1", _HERE) + "?sslmode=disable"
                limits, through = limits.replace("127.0.0.1", _HERE), there.entry
                target = f"http://{_HERE}:{road.port}"
            text = config_text(home, target, url, name, lease=f"{LEASE_SECONDS:g}s")
            place.nodes.append(
                Node(home, target, adapted(text, limits_in(limits) | changes), through)
            )
        join(place, stack)
        yield place


@contextmanager
def cut(place: Place) -> Iterator[None]:
    place.extra["island"].set("down")
    yield
    there: Island = place.extra["island"]
    there.set("up")


SCENES: Final = (
    Scene(
        name="network-cut",
        group="Network",
        what="one of two gateways cut off from PostgreSQL and Redis for twice the lease",
        place=apart,
        fault=cut,
        hold=_HOLD,
        bounds=shares(_HOLD),
    ),
)
