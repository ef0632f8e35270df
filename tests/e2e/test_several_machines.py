"""Several gateways on one PostgreSQL database: a change on one holds on all when the call returns."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import acme, member
from tests.e2e.crew import Clients, admin, create_key
from tests.e2e.process import Running
from tests.e2e.waiting import eventually
from tests.postgres import fresh_now
from tests.postgres import postgres as postgres

JOBS = "/api/v1/jobs"


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with fresh_now(postgres) as address:
        yield address


@pytest.fixture
def pair(url: str, demo_upstream: str, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
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


def test_a_key_minted_on_one_gateway_works_on_the_other_at_once(
    pair: tuple[Running, Running], clients: Clients
) -> None:
    a, b = pair
    _, secret = create_key(a)
    [client] = clients.open(b, secret)
    assert client.get(JOBS) == 200


def test_a_key_revoked_on_one_gateway_is_refused_by_the_other_when_the_call_returns(
    pair: tuple[Running, Running], clients: Clients
) -> None:
    a, b = pair
    for _ in range(5):
        key_id, secret = create_key(a)
        [here], [there] = clients.open(a, secret), clients.open(b, secret)
        assert (here.get(JOBS), there.get(JOBS)) == (200, 200)
        began = time.monotonic()
        revoked = admin(a, "POST", f"/keys/{key_id}:revoke", {"reason": "test"})
        took = time.monotonic() - began
        assert (here.get(JOBS), there.get(JOBS)) == (401, 401)
        assert revoked["enforcement"]["silent"] == []
        assert revoked["enforcement"]["of"] == revoked["enforcement"]["acknowledged"] == 2
        assert took < 2
        print(f"revoked everywhere within {took * 1000:.1f} ms")


def test_a_gateway_that_stands_still_is_named_and_serves_nothing_that_was_before_once_it_goes_on(
    pair: tuple[Running, Running], clients: Clients
) -> None:
    a, b = pair
    key_id, secret = create_key(a)
    [there] = clients.open(b, secret)
    assert there.get(JOBS) == 200
    b.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        revoked = admin(a, "POST", f"/keys/{key_id}:revoke", {"reason": "test"}, 202)
        assert [name.split()[1] for name in revoked["enforcement"]["silent"]] == ["b"]
        eventually(lambda: states(a) == {"a": "live", "b": "lost"})
        # Its lease is over: the next change does not wait for it, and reaches everybody who serves.
        other, _ = create_key(a)
        assert admin(a, "POST", f"/keys/{other}:revoke", {"reason": "test"}, 200)
        assert time.monotonic() - began < 20
    finally:
        b.process.send_signal(signal.SIGCONT)
    assert there.get(JOBS) == 401
    eventually(lambda: states(a) == {"a": "live", "b": "live"})


def states(gateway: Running) -> dict[str, str]:
    return {node["name"]: node["state"] for node in admin(gateway, "GET", "/nodes")["data"]}
