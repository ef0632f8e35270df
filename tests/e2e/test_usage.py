"""Usage of real processes: what a `kill -9` loses, and what a graceful stop does not.

How much is lost is counted in writes, which the store numbers, and not in seconds: a busy machine is late.
`tests/control/test_beat.py` proves that what was counted is told and written within a second.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.usage import Interval
from tests.e2e.crew import Clients, admin, create_key, pids, two_workers
from tests.e2e.process import Running
from tests.e2e.waiting import eventually
from tests.usage_lines import of_lines

pytestmark = pytest.mark.slow

PATH = "/api/v1/jobs"

UNDER_WAY = 2
"""A write that has begun does not know what is counted meanwhile: that is in the next one."""

LATE = 1
"""A process that tells another later than on the beat is heard one write later."""


def stored(gateway: Running, sql: str, *values: str) -> int:
    """Ask the file of a gateway for one number."""
    file = sqlite3.connect(f"file:{gateway.folder}/data/tollhouse.db?mode=ro", uri=True)
    try:
        return int(file.execute(sql, values).fetchone()[0] or 0)
    finally:
        file.close()


def written(gateway: Running) -> int:
    """Return how often usage was written."""
    return stored(gateway, "SELECT substr(batch, instr(batch, ':') + 1) FROM usage_state")


def visits(gateway: Running, key_id: str, kind: str) -> int:
    """Return how many requests of a key are known by who made them."""
    sql = "SELECT sum(requests) FROM usage_facets WHERE key_id = ? AND kind = ?"
    return stored(gateway, sql, key_id, kind)


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
    """Clients that ask without pause until stopped; `answers` counts what they were answered."""

    def __init__(self, gateway: Running, secret: str, clients: Clients, count: int) -> None:
        self._answers = [0] * count
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number, client))
            for number, client in enumerate(clients.open(gateway, secret, count))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def answers(self) -> int:
        return sum(self._answers)

    def _ask(self, number: int, client: Any) -> None:
        while not self._stopping.is_set() and client.holds(PATH):
            self._answers[number] += 1

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)


class Watch:
    """Looks how many answers there were before which write, for a few writes."""

    def __init__(self, gateway: Running, busy: Busy) -> None:
        self._answers: dict[int, int] = {}
        eventually(lambda: busy.answers > 100)
        first = written(gateway)
        while (now := self._look(gateway, busy)) < first + 4:
            eventually(lambda: self._look(gateway, busy) > now)

    def _look(self, gateway: Running, busy: Busy) -> int:
        answers = busy.answers
        number = written(gateway)  # afterwards: what was answered was so before the next one
        self._answers[number] = answers
        return number

    def before(self, number: int) -> int:
        """Return how many answers there were when `number` writes were done."""
        return max((n for at, n in self._answers.items() if at <= number), default=0)


@pytest.fixture
def clients() -> Any:
    made = Clients()
    yield made
    made.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_gateway_loses_at_most_the_last_second_of_usage(
    workers: int, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream, **{"workers: 2": f"workers: {workers}"}) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 4)
        watch = Watch(gateway, busy)
        gateway.stop(signal.SIGKILL)
        busy.stop()
        due = watch.before(written(gateway) - UNDER_WAY - (LATE if workers > 1 else 0))
        found = counted(gateway, key_id)
        told = [visits(gateway, key_id, kind) for kind in ("network", "user_agent")]
    assert due > 0
    assert due <= found <= busy.answers + 4
    assert told == [found, found]


def test_a_killed_worker_loses_at_most_its_last_second_of_usage(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        watch = Watch(gateway, busy)
        due = watch.before(written(gateway) - UNDER_WAY - LATE)
        for pid in pids(gateway):
            os.kill(pid, signal.SIGKILL)
        busy.stop()
        assert due > 0
        eventually(lambda: asked(gateway, key_id) >= due)
        assert gateway.stop() == 0
        assert due <= counted(gateway, key_id) <= busy.answers + 8


@pytest.mark.parametrize("workers", [1, 2])
def test_a_graceful_stop_loses_nothing(
    workers: int, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream, **{"workers: 2": f"workers: {workers}"}) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        eventually(lambda: busy.answers > 200)
        assert gateway.stop() == 0
        busy.stop()
        totals = of_lines(lines(gateway), Interval.DAY)
        logged = sum(total["requests"] for place, total in totals.items() if place[1] == key_id)
        assert logged >= busy.answers
        assert counted(gateway, key_id) == logged


def test_replacing_workers_loses_nothing(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        key_id, secret = create_key(gateway)
        busy = Busy(gateway, secret, clients, 8)
        eventually(lambda: busy.answers > 100)
        before = pids(gateway)
        admin(gateway, "POST", "/workers:restart")
        busy.stop()
        assert not set(before) & set(pids(gateway))

        def logged() -> int:
            return sum(line["key_id"] == key_id for line in lines(gateway))

        # A client whose connection ended with its worker was answered, and did not hear it.
        eventually(lambda: logged() >= busy.answers and asked(gateway, key_id) == logged())
