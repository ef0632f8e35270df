"""The request log of real processes: what a `kill -9` loses, and what several workers keep together."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import requests

from tests.e2e.process import Running, running, write_config

pytestmark = pytest.mark.slow


def kept(gateway: Running, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        gateway.cli("requests", "query", "--limit", "10000", "--output", "json", *arguments)
    )
    return found


def test_a_killed_gateway_loses_at_most_the_last_second_of_requests(
    tmp_path: Path, demo_upstream: str
) -> None:
    with running(tmp_path, demo_upstream) as gateway, requests.Session() as session:
        sent = 0
        ended = time.monotonic() + 2.5
        times: list[float] = []
        while time.monotonic() < ended:
            assert session.get(f"{gateway.url}/v1/status?n={sent}", timeout=10).status_code == 200
            times.append(time.time())
            sent += 1
        killed = time.time()
        gateway.stop(signal.SIGKILL)
        found = {str(row["target"]) for row in kept(gateway, "--offline")}
    due = [n for n, moment in enumerate(times) if moment < killed - 1]
    assert len(due) > 10
    assert {f"/v1/status?n={n}" for n in due} <= found


def test_requests_of_all_workers_are_found_together_in_their_order(
    tmp_path: Path, demo_upstream: str
) -> None:
    config = write_config(tmp_path, demo_upstream)
    text = config.read_text().replace("#workers: 1", "workers: 2")
    with running(tmp_path, demo_upstream, text) as gateway:
        for number in range(40):
            requests.get(f"{gateway.url}/v1/status?n={number}", timeout=10)
        assert requests.get(f"{gateway.url}/v1/account/profile", timeout=10).status_code == 401
        time.sleep(1)
        found = kept(gateway)
        assert [row["target"] for row in found[1:]] == [
            f"/v1/status?n={n}" for n in range(39, -1, -1)
        ]
        assert (found[0]["status"], found[0]["reason"]) == (401, "missing_credentials")
    assert len([*(tmp_path / "data" / "requests").iterdir()]) == 2
