"""The configuration of a real process changes, in all the ways in which it can be asked to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.e2e.crew import create_key, two_workers, workers
from tests.e2e.process import ROOT, Running, running, tollhouse

ADDED = "routes:\n  - {name: added, match: {path: /added}, auth: none, upstream: demo}\n"


def generation(gateway: Running) -> int:
    number: int = requests.get(f"http://{gateway.metrics}/readyz", timeout=10).json()["generation"]
    return number


def reaches(gateway: Running, number: int) -> None:
    for _ in range(400):
        if generation(gateway) >= number:
            return
        time.sleep(0.05)
    raise AssertionError(f"generation {generation(gateway)}: {gateway.log.read_text()}")


def change(gateway: Running, old: str, new: str) -> None:
    """Replace the configuration in one step, as everybody should."""
    path = gateway.folder / "config.yaml"
    text = path.read_text()
    assert old in text
    fresh = path.with_suffix(".new")
    fresh.write_text(text.replace(old, new, 1))
    fresh.replace(path)


def is_there(gateway: Running) -> bool:
    """Tell whether a route leads to `/added`: the upstream, which knows no such path, answers for itself."""
    answer = requests.get(gateway.url + "/added", timeout=10)
    return answer.headers["Content-Type"] != "application/problem+json"


def test_a_changed_file_a_signal_and_the_command_each_reload(
    demo_upstream: str, tmp_path: Path
) -> None:
    with running(tmp_path, demo_upstream) as gateway:
        assert not is_there(gateway)
        change(gateway, "\nroutes:\n", f"\n{ADDED}")
        reaches(gateway, 2)
        assert is_there(gateway)

        change(gateway, "  #watch: true", "  watch: false")
        gateway.process.send_signal(signal.SIGHUP)
        reaches(gateway, 3)
        number = generation(gateway)

        change(gateway, ADDED, "routes:\n")
        told = json.loads(gateway.cli("reload", "--check", "--output", "json"))
        assert (told["result"], generation(gateway)) == ("checked", number)
        told = json.loads(gateway.cli("reload", "--output", "json"))
        assert told["changes"] == [{"path": "routes[added]", "change": "removed"}]
        assert told["generation"] == generation(gateway) == number + 1
        assert not is_there(gateway)


def test_a_bad_file_is_refused_and_the_gateway_goes_on(demo_upstream: str, tmp_path: Path) -> None:
    with running(tmp_path, demo_upstream) as gateway:
        admin = f"unix:{tmp_path / 'data' / 'admin.sock'}"
        change(gateway, "\nroutes:\n", "\nrutes:\n")
        done = tollhouse("reload", "--admin", admin, "--output", "json")
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)["problems"]
        assert "rutes" in [problem["path"] for problem in found]
        assert all(problem["file"].endswith("config.yaml") for problem in found)
        assert requests.get(gateway.url + "/v1/status", timeout=10).status_code == 200
        metrics = requests.get(f"http://{gateway.metrics}/metrics", timeout=10).text
        assert "tollhouse_config_last_reload_successful 0.0" in metrics
        assert "tollhouse_config_generation 1.0" in metrics
        change(gateway, "\nrutes:\n", "\nroutes:\n")
        reaches(gateway, 2)


def test_a_change_is_planned_taken_and_rolled_back_on_every_worker(
    demo_upstream: str, tmp_path: Path
) -> None:
    """D12: a plan that names callers, and the state before kept for a rollback."""
    with two_workers(tmp_path, demo_upstream) as gateway:
        key_id, secret = create_key(gateway)
        fields = {"Authorization": f"Bearer {secret}"}

        def jobs() -> int:
            return requests.get(
                gateway.url + "/api/v1/jobs", headers=fields, timeout=10
            ).status_code

        assert jobs() == 200
        text = (tmp_path / "config.yaml").read_text()
        change(gateway, "  #watch: true", "  watch: false")
        gateway.cli("reload")
        change(gateway, "      path: /api/v1/jobs\n", "      path: /elsewhere\n")
        told = json.loads(gateway.cli("plan", "--output", "json"))
        [losing] = told["callers"]["first_losing"]
        assert losing["key_id"] == key_id
        assert losing["losses"][0]["before"] == "jobs.list"
        assert losing["losses"][0]["reason"] == "no_route"
        assert told["result"] == "planned"
        assert jobs() == 200

        gateway.cli("reload")
        assert {jobs() for _ in range(8)} == {405}
        told = json.loads(
            gateway.cli("rollback", "--reason", "nobody finds jobs", "--output", "json")
        )
        assert (told["result"], told["again"]) == ("rolled_back", told["generation"] - 2)
        assert {jobs() for _ in range(8)} == {200}
        assert {worker["generation"] for worker in workers(gateway)} == {told["generation"]}
        metrics = requests.get(f"http://{gateway.metrics}/metrics", timeout=10).text
        assert "tollhouse_config_rolled_back 1.0" in metrics
        (tmp_path / "config.yaml").write_text(text)
        gateway.cli("reload")
        assert jobs() == 200


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs util-linux")
def test_no_request_fails_while_the_configuration_changes_all_the_time() -> None:
    command = [sys.executable, "-m", "bench.reload", "--seconds", "3", "--clients", "8"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| requests failed | 0 |" in done.stdout
