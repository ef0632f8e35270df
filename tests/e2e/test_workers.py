"""A gateway with several processes: what one worker's death costs, and what nothing may cost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.crew import (
    CONNECTIONS,
    Client,
    Clients,
    Load,
    Newcomers,
    admin,
    create_key,
    is_alive,
    pids,
    two_workers,
    workers,
)
from tests.e2e.process import ROOT, TOLLHOUSE, Running, tollhouse, write_config
from tests.e2e.waiting import eventually

STATUS = "/v1/status"


def serving_again(gateway: Running, dead: int) -> None:
    eventually(lambda: len(pids(gateway)) == 2 and dead not in pids(gateway))


@pytest.fixture(scope="module")
def crew(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one gateway for all tests that leave it as they found it."""
    with two_workers(tmp_path_factory.mktemp("crew"), demo_upstream) as gateway:
        yield gateway


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


def in_flight(gateway: Running) -> int:
    return sum(int(worker["in_flight"]) for worker in workers(gateway))


class Slow:
    """Requests that take seconds, one on each client."""

    def __init__(self, gateway: Running, clients: list[Client]) -> None:
        self.answers: list[int] = []
        self._threads = [threading.Thread(target=self._ask, args=(each,)) for each in clients]
        for thread in self._threads:
            thread.start()
        eventually(lambda: in_flight(gateway) == len(clients))

    def _ask(self, client: Client) -> None:
        self.answers.append(client.get("/v1/events?count=3"))

    def ended(self) -> list[int]:
        for thread in self._threads:
            thread.join(60)
        return self.answers


def test_killed_worker_costs_its_own_connections_and_nothing_else(
    crew: Running, clients: Clients
) -> None:
    all_of_them = clients.scattered(crew, STATUS)
    victim, other = workers(crew)
    assert victim["connections"] + other["connections"] == CONNECTIONS
    load, newcomers = Load(all_of_them, STATUS), Newcomers(crew, STATUS)
    load.answers_more()
    newcomers.served_more()
    os.kill(victim["pid"], signal.SIGKILL)
    load.answers_more()
    newcomers.served_more()
    serving_again(crew, victim["pid"])
    newcomers.served_more()
    load.stop()
    newcomers.stop()
    # Of the newcomers, one at most was being served by the worker that died.
    assert newcomers.failed <= 1
    assert len(load.broken) == victim["connections"]
    assert [worker["restarts"] for worker in workers(crew)] == [
        victim["restarts"] + 1,
        other["restarts"],
    ]
    assert pids(crew)[1] == other["pid"]
    assert "was killed by SIGKILL" in crew.log.read_text()


def test_revoked_key_is_refused_by_every_worker_from_the_next_request_on(
    crew: Running, clients: Clients
) -> None:
    key_id, secret = create_key(crew)
    other_id, other = create_key(crew)
    mine = clients.scattered(crew, STATUS, secret)
    others = clients.scattered(crew, STATUS, other)
    assert {client.get("/api/v1/jobs") for client in (*mine, *others)} == {200}
    admin(crew, "POST", f"/keys/{key_id}:revoke", {"reason": "leaked"})
    assert [client.get("/api/v1/jobs") for client in mine] == [401] * CONNECTIONS
    admin(crew, "POST", "/tenants/acme:suspend", {"reason": "unpaid"})
    assert [client.get("/api/v1/jobs") for client in others] == [403] * CONNECTIONS
    admin(crew, "POST", "/tenants/acme:resume")
    assert [client.get("/api/v1/jobs") for client in others] == [200] * CONNECTIONS
    crew.cli("keys", "revoke", other_id, "--reason", "leaked", "--offline")
    # Changed in the store by another process: the supervisor notices, and tells all workers.
    eventually(lambda: others[0].get("/api/v1/jobs") != 200)
    assert 200 not in {client.get("/api/v1/jobs") for client in others}


def test_worker_that_stands_still_is_replaced_and_a_revocation_does_not_wait_for_it(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    patience = {"#stuck_timeout: 10s": "stuck_timeout: 5m"}
    patience["  #acknowledge_timeout: 3s\n  # "] = "  acknowledge_timeout: 2s\n  # "
    with two_workers(tmp_path, demo_upstream, **patience) as gateway:
        key_id, secret = create_key(gateway)
        stopped = pids(gateway)[0]
        os.kill(stopped, signal.SIGSTOP)
        done = admin(gateway, "POST", f"/keys/{key_id}:revoke", {"reason": "leaked"})["enforcement"]
        # It is dead, and the dead serve nobody: that is an acknowledgement.
        assert (done["acknowledged"], done["of"], done["silent"]) == (2, 2, [])
        eventually(lambda: not is_alive(stopped))
        serving_again(gateway, stopped)
        assert {client.get("/api/v1/jobs") for client in clients.open(gateway, secret, 8)} == {401}
        text = (tmp_path / "config.yaml").read_text().replace("_timeout: 5m", "_timeout: 3s")
        (tmp_path / "config.yaml").write_text(text)
        admin(gateway, "POST", "/config:reload")
        stopped = pids(gateway)[1]
        os.kill(stopped, signal.SIGSTOP)
        eventually(lambda: not is_alive(stopped))
        serving_again(gateway, stopped)
        assert "has stood still" in gateway.log.read_text()


def test_worker_says_where_it_stands_when_asked_by_signal(crew: Running, clients: Clients) -> None:
    os.kill(pids(crew)[0], signal.SIGUSR2)
    eventually(lambda: "most recent call first" in crew.log.read_text())
    assert len(pids(crew)) == 2


def test_without_a_supervisor_workers_end_what_they_have_and_then_themselves(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        _, secret = create_key(gateway)
        found = pids(gateway)
        slow = Slow(gateway, clients.open(gateway, secret, 8))
        gateway.process.kill()
        assert slow.ended() == [200] * 8
        eventually(lambda: not any(is_alive(pid) for pid in found))
        with pytest.raises(OSError):  # noqa: PT011 - refused
            clients.open(gateway)


@pytest.mark.parametrize("step", range(3))
def test_supervisor_that_dies_while_workers_start_leaves_no_orphan(
    step: int, demo_upstream: str, tmp_path: Path
) -> None:
    path = write_config(tmp_path, demo_upstream)
    path.write_text(path.read_text().replace("#workers: 1", "workers: 2"))
    with subprocess.Popen(
        [*TOLLHOUSE, "run", "--config", str(path)], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        eventually(lambda: len(children(process.pid)) == 2)
        found = children(process.pid)
        # At whatever point of their beginning that is.
        eventually(lambda: all(cpu_seconds(pid) >= 0.15 * step for pid in found))
        process.kill()
    eventually(lambda: not any(is_alive(pid) for pid in found))


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Return the time that a process has computed, which is how far it came however busy the machine is."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def generations(gateway: Running) -> list[int]:
    return [worker["generation"] for worker in workers(gateway)]


def test_reload_reaches_all_workers_or_none(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream, **{"  #watch: true": "  watch: false"}) as gateway:
        path = tmp_path / "config.yaml"
        good = path.read_text()
        all_of_them = clients.scattered(gateway, STATUS)
        added = "\nroutes:\n  - {name: added, match: {path: /added}, auth: none, handler: proxy, upstream: demo}\n"
        path.write_text(good.replace("\nroutes:\n", added))
        assert [client.get("/added") for client in all_of_them] == [404] * CONNECTIONS
        admin(gateway, "POST", "/config:reload")
        assert generations(gateway) == [2, 2]
        told = {requests.get(gateway.url + "/added", timeout=10).headers["Content-Type"]}
        assert "application/problem+json" not in told
        # A log that cannot be opened is found by those who write it.
        path.write_text(good.replace('#path: "-"', "path: missing/folder/access.log"))
        refused = admin(gateway, "POST", "/config:reload", status=422)
        assert "missing/folder/access.log" in refused["detail"]
        assert generations(gateway) == [2, 2]
        assert {client.get(STATUS) for client in all_of_them} == {200}
        killed = pids(gateway)[0]
        os.kill(killed, signal.SIGKILL)
        serving_again(gateway, killed)
        assert generations(gateway) == [2, 2]


def test_drain_ends_every_request_of_every_worker(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with two_workers(tmp_path, demo_upstream) as gateway:
        _, secret = create_key(gateway)
        slow = Slow(gateway, clients.open(gateway, secret, 8))
        assert gateway.stop() == 0
        assert slow.ended() == [200] * 8


def test_workers_are_replaced_one_after_the_other_without_failing_anybody(
    crew: Running, clients: Clients
) -> None:
    _, secret = create_key(crew)
    before = pids(crew)
    newcomers = Newcomers(crew, STATUS)
    newcomers.served_more()
    asked = clients.open(crew, secret)
    slow = threading.Thread(target=lambda: answers.append(asked[0].get("/v1/events?count=3")))
    answers: list[int] = []
    slow.start()
    assert admin(crew, "POST", "/workers:restart")["workers"] == 2
    newcomers.served_more()
    newcomers.stop()
    slow.join(30)
    assert newcomers.failed == 0
    assert answers == [200]
    assert not set(pids(crew)) & set(before)
    eventually(lambda: not any(is_alive(pid) for pid in before))


def test_gateway_whose_workers_cannot_start_says_why_and_leaves_nobody(tmp_path: Path) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    text = path.read_text().replace("#workers: 1", "workers: 2")
    path.write_text(text.replace('#path: "-"', "path: missing/folder/access.log"))
    done = tollhouse("run", "--config", str(path))
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert "missing/folder/access.log" in done.stderr
    assert not (tmp_path / "data" / "admin.sock").exists()


def test_worker_that_cannot_come_back_is_tried_ever_more_rarely_until_it_can(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with two_workers(tmp_path, demo_upstream, **{'#path: "-"': "path: logs/access.log"}) as gateway:
        logs.rename(tmp_path / "gone")
        killed = pids(gateway)[0]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: "died early 3 times in a row" in gateway.log.read_text())
        assert [client.get(STATUS) for client in clients.open(gateway, count=8)] == [200] * 8
        assert "worker 1 could not be started" in gateway.log.read_text()
        logs.mkdir()
        serving_again(gateway, killed)


def test_workers_share_one_unix_socket(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    bound = {"bind: 127.0.0.1:0\n    # TLS": "bind: unix:public.sock\n    # TLS"}
    with two_workers(tmp_path, demo_upstream, **bound) as gateway:
        for _ in range(4):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(str(tmp_path / "public.sock"))
                client.sendall(
                    b"GET /v1/status HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
                )
                assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert requests.get(f"http://{gateway.metrics}/readyz", timeout=10).status_code == 200
    assert not (tmp_path / "public.sock").exists()


def test_second_gateway_cannot_join_the_sockets_of_the_first(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with two_workers(first, demo_upstream) as gateway:
        path = write_config(second, demo_upstream)
        text = path.read_text().replace("#workers: 1", "workers: 2")
        path.write_text(text.replace("bind: 127.0.0.1:0", f"bind: {gateway.public}", 1))
        done = tollhouse("run", "--config", str(path))
        assert done.returncode == 1
        assert f"cannot listen on {gateway.public}" in done.stderr


def test_limits_hold_over_all_workers_and_all_that_they_did_is_counted_once(
    demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    exact = {"\nplans:\n": "\nplans:\n  exact: {quota: {per_month: 100}}\n"}
    with two_workers(tmp_path, demo_upstream, **exact) as gateway:
        key_id, secret = create_key(gateway)
        admin(gateway, "PATCH", f"/keys/{key_id}", {"plan": "exact"})
        mine = clients.scattered(gateway, STATUS, secret)
        answers: list[int] = []

        def ask(client: Client) -> None:
            answers.extend(client.get("/api/v1/jobs") for _ in range(10))

        threads = [threading.Thread(target=ask, args=(client,)) for client in mine]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (answers.count(200), answers.count(429)) == (100, 60)
        killed = pids(gateway)[0]
        os.kill(killed, signal.SIGKILL)
        serving_again(gateway, killed)
        (fresh,) = clients.open(gateway, secret)
        assert fresh.get("/api/v1/jobs") == 429
        assert counted(gateway, 'tollhouse_requests_total{code="200",.*route="jobs.list"') == 100
        assert counted(gateway, 'tollhouse_requests_total{code="429",.*route="jobs.list"') == 61
        assert counted(gateway, "tollhouse_connections ") == (
            sum(worker["connections"] for worker in workers(gateway))
        )


def counted(gateway: Running, series: str) -> float:
    """Return the sum of the series whose lines begin with a pattern."""
    text = requests.get(f"http://{gateway.metrics}/metrics", timeout=10).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(series, line))


def test_use_of_a_key_by_any_worker_is_written_down(crew: Running, clients: Clients) -> None:
    used, secret = create_key(crew)
    unused, _ = create_key(crew)
    assert {each.get("/api/v1/jobs") for each in clients.open(crew, secret, 4)} == {200}
    eventually(lambda: admin(crew, "GET", f"/keys/{used}")["last_used_at"] is not None)
    assert admin(crew, "GET", f"/keys/{unused}")["last_used_at"] is None
