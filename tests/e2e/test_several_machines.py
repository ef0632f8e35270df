"""Several gateways on one PostgreSQL database: a change on one holds on all when the call returns."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import acme, member
from tests.e2e.crew import Clients, admin, create_key, pids
from tests.e2e.process import Running
from tests.e2e.waiting import eventually
from tests.postgres import Server, fresh_now, running
from tests.postgres import postgres as postgres

JOBS = "/api/v1/jobs"

Pair = tuple[Running, Running]


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with fresh_now(postgres) as address:
        yield address


@pytest.fixture
def pair(url: str, demo_upstream: str, tmp_path: Path) -> Iterator[Pair]:
    with (
        member(tmp_path, demo_upstream, url, "a") as a,
        member(tmp_path, demo_upstream, url, "b") as b,
    ):
        acme(a)
        yield a, b


@pytest.fixture
def clients() -> Iterator[Clients]:
    found = Clients()
    yield found
    found.close()


def states(gateway: Running) -> dict[str, str]:
    return {node["name"]: node["state"] for node in admin(gateway, "GET", "/nodes")["data"]}


def revoke(gateway: Running, key_id: str, status: int = 200) -> dict[str, object]:
    answer = admin(gateway, "POST", f"/keys/{key_id}:revoke", {"reason": "test"}, status)
    enforcement: dict[str, object] = answer["enforcement"]
    return enforcement


def names(enforcement: dict[str, object]) -> list[str]:
    silent = enforcement["silent"]
    assert isinstance(silent, list)
    return [name.split()[1] for name in silent]


def test_a_key_minted_on_one_gateway_works_on_the_other_at_once(
    pair: Pair, clients: Clients
) -> None:
    a, b = pair
    _, secret = create_key(a)
    [client] = clients.open(b, secret)
    assert client.get(JOBS) == 200


def test_a_key_revoked_on_one_gateway_is_refused_by_the_other_when_the_call_returns(
    pair: Pair, clients: Clients
) -> None:
    a, b = pair
    took = []
    for _ in range(10):
        key_id, secret = create_key(a)
        [here], [there] = clients.open(a, secret), clients.open(b, secret)
        assert (here.get(JOBS), there.get(JOBS)) == (200, 200)
        began = time.monotonic()
        enforcement = revoke(a, key_id)
        took.append(time.monotonic() - began)
        assert (here.get(JOBS), there.get(JOBS)) == (401, 401)
        assert enforcement["silent"] == []
        assert (enforcement["acknowledged"], enforcement["of"]) == (2, 2)
    print("revoked everywhere within", *(f"{each * 1000:.1f}" for each in sorted(took)), "ms")
    assert sorted(took)[5] < 2


def test_a_gateway_that_stands_still_is_named_and_serves_nothing_that_was_before_once_it_goes_on(
    pair: Pair, clients: Clients
) -> None:
    a, b = pair
    key_id, secret = create_key(a)
    [there] = clients.open(b, secret)
    assert there.get(JOBS) == 200
    b.process.send_signal(signal.SIGSTOP)
    try:
        assert names(revoke(a, key_id, 202)) == ["b"]
        eventually(lambda: states(a) == {"a": "live", "b": "lost"})
        # Its lease is over: the next change does not wait for it, and has reached everybody who serves.
        other, _ = create_key(a)
        assert names(revoke(a, other)) == []
    finally:
        b.process.send_signal(signal.SIGCONT)
    assert there.get(JOBS) == 401
    eventually(lambda: states(a) == {"a": "live", "b": "live"})


def test_a_gateway_that_is_killed_is_waited_for_no_longer_than_its_lease_and_another_leads(
    pair: Pair,
) -> None:
    a, b = pair

    def leader() -> str:
        found = [node["name"] for node in admin(b, "GET", "/nodes")["data"] if node["is_leader"]]
        return found[0] if len(found) == 1 else ""

    eventually(lambda: leader() == "a")
    key_id, _ = create_key(b)
    a.process.kill()
    a.process.wait(10)
    began = time.monotonic()
    assert names(revoke(b, key_id, 202)) == ["a"]
    eventually(lambda: states(b)["a"] == "lost")
    assert time.monotonic() - began < 15
    eventually(lambda: leader() == "b")
    other, _ = create_key(b)
    assert names(revoke(b, other)) == []


def test_workers_of_another_gateway_refuse_a_revoked_key_when_the_call_returns(
    url: str, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    two = {"#workers: 1": "workers: 2", "#failures: 20": "failures: 1000"}
    with (
        member(tmp_path, demo_upstream, url, "a") as a,
        member(tmp_path, demo_upstream, url, "b", **two) as b,
    ):
        acme(a)
        for _ in range(3):
            key_id, secret = create_key(a)
            there = clients.scattered(b, JOBS, secret)
            assert names(revoke(a, key_id)) == []
            assert {client.get(JOBS) for client in there} == {401}
        # Its supervisor stands still: its workers hear of nothing, and by the end of the lease believe nothing.
        key_id, secret = create_key(a)
        there = clients.scattered(b, JOBS, secret)
        assert len(pids(b)) == 2
        b.process.send_signal(signal.SIGSTOP)
        try:
            assert names(revoke(a, key_id, 202)) == ["b"]
            eventually(lambda: states(a)["b"] == "lost")
            assert {client.get(JOBS) for client in there} == {401}
        finally:
            b.process.send_signal(signal.SIGCONT)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def test_a_database_that_is_away_for_less_than_the_lease_is_noticed_by_no_known_key(
    server: Server, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with member(tmp_path, demo_upstream, server.url(), "a", lease="60s") as a:
        acme(a)
        _, secret = create_key(a)
        [client] = clients.open(a, secret)
        assert client.get(JOBS) == 200
        server.kill()
        for _ in range(20):
            assert client.get(JOBS) == 200
        server.start()
        eventually(lambda: can_change(a))
        assert client.get(JOBS) == 200
        key_id, fresh = create_key(a)
        [other] = clients.open(a, fresh)
        assert other.get(JOBS) == 200
        assert names(revoke(a, key_id)) == []
        assert other.get(JOBS) == 401


def can_change(gateway: Running) -> bool:
    try:
        admin(gateway, "POST", "/tenants", {"name": "T"}, 201)
    except AssertionError:
        return False
    return True


def test_a_database_that_is_away_for_longer_is_an_outage_for_known_keys_until_it_is_back(
    server: Server, demo_upstream: str, tmp_path: Path, clients: Clients
) -> None:
    with member(tmp_path, demo_upstream, server.url(), "a", lease="1s") as a:
        acme(a)
        _, secret = create_key(a)
        [client] = clients.open(a, secret)
        assert client.get(JOBS) == 200
        server.freeze()
        eventually(lambda: client.get(JOBS) == 503)
        server.thaw()
        eventually(lambda: client.get(JOBS) == 200)
        server.kill()
        eventually(lambda: client.get(JOBS) == 503)
        server.start()
        eventually(lambda: client.get(JOBS) == 200)
        # Look-ups work as soon as the database does; memory is believed again from the next sign of life on.
        eventually(lambda: "the store was out of reach for too long" in a.log.read_text())
        assert "Traceback" not in a.log.read_text()


def test_what_a_gateway_logs_of_a_database_holds_no_password(
    server: Server, demo_upstream: str, tmp_path: Path
) -> None:
    secret = server.url().replace("postgres@", "postgres:hunter2@")
    with member(tmp_path, demo_upstream, secret, "a", lease="1s") as a:
        acme(a)
        listed = a.cli("nodes", "list", "--output", "json")
        assert [node["name"] for node in json.loads(listed)] == ["a"]
        server.kill()
        eventually(lambda: "failed" in a.log.read_text())
        server.start()
        shown = a.log.read_text() + a.access_log.read_text() + listed
        assert "hunter2" not in shown
        assert re.search(r"postgresql://postgres@127\.0\.0\.1:\d+/postgres", shown)


def test_x_16_a_reminder_comes_from_one_gateway_and_is_in_the_trail_of_all(
    url: str, demo_upstream: str, tmp_path: Path
) -> None:
    settings = {
        "\n  #every: 1m\n": "\n  every: 1s\n",
        "\n  #reminders: [7d]\n": "\n  reminders: [58s]\n",
    }
    with (
        member(tmp_path, demo_upstream, url, "a", **settings) as a,
        member(tmp_path, demo_upstream, url, "b", **settings) as b,
    ):
        acme(a)
        wish = {"tenant_id": "acme", "name": "k", "environment": "live", "expires_in": "60s"}
        made = admin(a, "POST", "/keys", {**wish, "scopes": ["*"]}, 201)
        key_id = made["key"]["key_id"]

        def found() -> list[str]:
            return [
                alert["key_id"]
                for gateway in (a, b)
                for alert in admin(gateway, "GET", "/alerts?rule=ApiKeyExpiringSoon")["data"]
            ]

        eventually(lambda: found() == [key_id, key_id], seconds=15)
        time.sleep(3)  # three rounds of both
        assert found() == [key_id, key_id]  # the one that there is, shown by each
        for gateway in (a, b):
            [record] = admin(gateway, "GET", "/audit?type=alert.fired")["data"]
            assert record["key_id"] == key_id
