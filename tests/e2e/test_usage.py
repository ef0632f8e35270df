"""Usage of real processes: what a `kill -9` loses, and what a graceful stop does not."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.usage import Interval
from tests.e2e.crew import Clients, admin, create_key, pids, two_workers
from tests.e2e.process import Running, running
from tests.e2e.waiting import eventually
from tests.usage_lines import of_lines

pytestmark = pytest.mark.slow

PATH = "/api/v1/jobs"
SLACK_SECONDS = 1.0
"""On top of the second that may be lost: a busy machine is late."""


def counted(gateway: Running, key_id: str) -> int:
    """Return how many requests of a key the store of a gateway that has ended knows of."""
    shown = gateway.cli(
        *("usage", "show", "--offline", "--interval", "total", "--key", key_id),
        *("--output", "json"),
    )
    return sum(row["requests"] for row in json.loads(shown))


def asked(gateway: Running, key_id: str) -> int:
    """Return how many requests of a key a running gateway knows of."""
    answer = admin(gateway, "GET", f"/usage?interval=total&key_id={key_id}")
    return sum(row["requests"] for row in answer["data"])


def lines(gateway: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.access_log.read_text().splitlines()]


class Busy:
    """Clients that ask without pause until stopped; `times` are when each request was answered."""

    def __init__(self, gateway: Running, secret: str, clients: Clients, count: int) -> None:
        self.times: list[float] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(client,))
            for client in clients.open(gateway, secret, count)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: Any) -> None:
        while not self._stopping.is_set() and client.holds(PATH):
            self.times.append(time.monotonic())

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def before(self, moment: float) -> int:
        return sum(each < moment for each in self.times)


@pytest.fixture
def clients() -> Any:
    made = Clients()
    yield made
    made.close()


def with_tenant(gateway: Running) -> tuple[str, str]:
    admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
    return create_key(gateway)


def test_a_killed_gateway_loses_at_most_the_last_second_of_usage(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with running(tmp_path, demo_upstream) as gateway:
        key_id, secret = with_tenant(gateway)
        busy = Busy(gateway, secret, clients, 4)
        time.sleep(3.5)
        killed = time.monotonic()
        gateway.stop(signal.SIGKILL)
        busy.stop()
        found = counted(gateway, key_id)
    due = busy.before(killed - 1 - SLACK_SECONDS)
    assert due > 100
    assert due <= found <= len(busy.times) + 4


def test_a_killed_worker_loses_at_most_its_last_second_of_usage(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        time.sleep(3.5)
        killed = time.monotonic()
        for pid in pids(gateway):
            os.kill(pid, signal.SIGKILL)
        busy.stop()
        due = busy.before(killed - 1 - SLACK_SECONDS)
        assert due > 100
        eventually(lambda: asked(gateway, key_id) >= due)
        assert gateway.stop() == 0
        assert due <= counted(gateway, key_id) <= len(busy.times) + 8


@pytest.mark.parametrize("workers", [1, 2])
def test_a_graceful_stop_loses_nothing(
    workers: int, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream, **{"workers: 2": f"workers: {workers}"}) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        eventually(lambda: len(busy.times) > 200)
        assert gateway.stop() == 0
        busy.stop()
        totals = of_lines(lines(gateway), Interval.DAY)
        logged = sum(total["requests"] for place, total in totals.items() if place[1] == key_id)
        assert logged >= len(busy.times)
        assert counted(gateway, key_id) == logged


def test_replacing_workers_loses_nothing(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        eventually(lambda: len(busy.times) > 100)
        before = pids(gateway)
        admin(gateway, "POST", "/workers:restart")
        busy.stop()
        assert not set(before) & set(pids(gateway))

        def logged() -> int:
            return sum(line["key_id"] == key_id for line in lines(gateway))

        # A client whose connection ended with its worker was answered, and did not hear it.
        eventually(lambda: logged() >= len(busy.times) and asked(gateway, key_id) == logged())
