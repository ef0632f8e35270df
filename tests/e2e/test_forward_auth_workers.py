"""Proxies that ask a gateway with several processes: all workers answer, and one's death costs nothing for long."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path

from bench.machine import free_port
from tests.e2e.crew import admin, create_key, pids, two_workers
from tests.e2e.waiting import eventually


def ask(port: int, secret: str) -> int:
    """Ask about a request on a connection of its own; return the status, 0 where nobody answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    fields = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": "/api/v1/jobs",
        "X-Forwarded-For": "192.0.2.1",
        "Authorization": f"Bearer {secret}",
    }
    try:
        connection.request("GET", "/traefik", headers=fields)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_workers_answer_together_whoever_of_them_dies_and_a_revoked_key_passes_none(
    demo_upstream: str, tmp_path: Path
) -> None:
    port = free_port()
    bind = {"    #| bind: 127.0.0.1:9002": f"    bind: 127.0.0.1:{port}"}
    with two_workers(tmp_path, demo_upstream, **bind) as gateway:
        key_id, secret = create_key(gateway)
        assert [ask(port, secret) for _ in range(20)] == [200] * 20
        victim, survivor = pids(gateway)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(pids(gateway)) == 2 and victim not in pids(gateway))
        assert [ask(port, secret) for _ in range(20)] == [200] * 20
        os.kill(survivor, signal.SIGKILL)  # the one that took its place answers alone
        eventually(lambda: len(pids(gateway)) == 2 and survivor not in pids(gateway))
        assert ask(port, secret) == 200
        admin(gateway, "POST", f"/keys/{key_id}:revoke", {"reason": "leaked"})
        assert [ask(port, secret) for _ in range(20)] == [401] * 20
        assert gateway.stop() == 0
