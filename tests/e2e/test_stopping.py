"""How a gateway starts and ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.e2e.process import ROOT, TOLLHOUSE, Running, running, tollhouse, write_config


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_ends_before_the_process_does(
    how: signal.Signals, demo_upstream: str, tmp_path: Path
) -> None:
    with running(tmp_path, demo_upstream) as gateway:
        gateway.cli("tenants", "create", "--id", "acme", "--name", "Acme")
        _, secret = gateway.create_key(
            "--tenant", "acme", "--name", "k", "--environment", "live", "--scope", "*"
        )
        fields = {"Authorization": f"Bearer {secret}"}
        answers: list[requests.Response] = []
        first = requests.get(gateway.url + "/v1/events?count=1", headers=fields, timeout=10)
        assert first.status_code == 200

        def ask() -> None:
            url = gateway.url + "/v1/events?count=2"
            answers.append(requests.get(url, headers=fields, timeout=10))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.5)
        assert gateway.stop(how) == 0
        thread.join(10)
        assert answers[0].status_code == 200
        assert answers[0].text.count("event: tick") == 2
        with pytest.raises(requests.ConnectionError):
            requests.get(gateway.url + "/v1/status", timeout=2)
        assert not (tmp_path / "data" / "admin.sock").exists()


def test_a_second_gateway_on_the_same_files_does_not_start(
    demo_upstream: str, tmp_path: Path
) -> None:
    with running(tmp_path, demo_upstream) as gateway:
        second = tollhouse("run", "--config", str(tmp_path / "config.yaml"))
        assert second.returncode == 1
        assert "admin.sock" in second.stderr
        assert requests.get(gateway.url + "/v1/status", timeout=10).status_code == 200


def test_a_bad_configuration_starts_nothing_and_names_every_mistake(tmp_path: Path) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    text = path.read_text().replace("version: 1\n", "version: 1\nrutes: []\n")
    path.write_text(text.replace("bind: 127.0.0.1:0", "bind: nowhere", 1))
    done = tollhouse("run", "--config", str(path))
    assert done.returncode == 1
    assert "rutes" in done.stderr
    assert "routes" in done.stderr
    assert "bind" in done.stderr
    assert not (tmp_path / "data" / "tollhouse.db").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_quotas_and_last_use_survive_a_restart(
    demo_upstream: str, tmp_path: Path, workers: int
) -> None:
    fields: dict[str, str] = {}
    key_id = ""
    remaining: list[int] = []
    text = write_config(tmp_path, demo_upstream).read_text()
    assert "\n#workers: 1\n" in text
    text = text.replace("\n#workers: 1\n", f"\nworkers: {workers}\n")
    for _ in range(2):
        with running(tmp_path, demo_upstream, text) as gateway:
            if not fields:
                gateway.cli("tenants", "create", "--id", "acme", "--name", "Acme")
                key_id, secret = gateway.create_key(
                    *("--tenant", "acme", "--name", "k", "--environment", "live"),
                    *("--scope", "*", "--plan", "professional"),
                )
                fields = {"Authorization": f"Bearer {secret}"}
            for _ in range(5):
                answer = requests.get(gateway.url + "/api/v1/jobs", headers=fields, timeout=10)
                assert answer.status_code == 200
            told = requests.get(
                gateway.url + "/v1/account/profile", headers=fields, timeout=10
            ).json()
            monthly = next(line for line in told["limits"] if "month" in line["policy"])
            remaining.append(monthly["limit"] - monthly["remaining"])
            assert gateway.stop() == 0
            assert '"level":"error"' not in gateway.log.read_text()
            shown = gateway.cli("keys", "show", key_id, "--offline", "--output", "json")
            assert '"last_used_at":null' not in shown.replace(" ", "")
    assert remaining == [6, 12]


def readiness(gateway: Running) -> int:
    return requests.get(f"http://{gateway.metrics}/readyz", timeout=10).status_code


def unready(gateway: Running) -> None:
    for _ in range(200):
        if readiness(gateway) == 503:
            return
        time.sleep(0.05)
    raise AssertionError("it is still ready")


def with_drain(folder: Path, upstream: str, setting: str) -> str:
    text = write_config(folder, upstream).read_text()
    assert "    #drain_timeout: 10s\n" in text
    return text.replace("    #drain_timeout: 10s\n", f"    {setting}\n")


def test_load_balancers_learn_of_the_end_while_connections_are_still_served(
    demo_upstream: str, tmp_path: Path
) -> None:
    text = with_drain(tmp_path, demo_upstream, "drain_delay: 5m")
    with running(tmp_path, demo_upstream, text) as gateway:
        assert readiness(gateway) == 200
        gateway.process.send_signal(signal.SIGTERM)
        unready(gateway)
        for _ in range(3):
            assert requests.get(gateway.url + "/v1/status", timeout=10).status_code == 200
        assert gateway.process.poll() is None
        assert gateway.stop(signal.SIGTERM) == 0  # the second one waits for nothing


def test_a_second_signal_cuts_what_the_first_one_waits_for(
    demo_upstream: str, tmp_path: Path
) -> None:
    text = with_drain(tmp_path, demo_upstream, "drain_timeout: 5m")
    with running(tmp_path, demo_upstream, text) as gateway:
        gateway.cli("tenants", "create", "--id", "acme", "--name", "Acme")
        _, secret = gateway.create_key(
            "--tenant", "acme", "--name", "k", "--environment", "live", "--scope", "*"
        )
        stream = requests.get(
            gateway.url + "/v1/events?count=100000",
            headers={"Authorization": f"Bearer {secret}"},
            stream=True,
            timeout=10,
        )
        gateway.process.send_signal(signal.SIGTERM)
        unready(gateway)
        assert gateway.process.poll() is None
        assert gateway.stop(signal.SIGINT) == 0
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            for _ in stream.iter_content(None):
                pass


def test_of_two_gateways_that_start_at_once_on_one_port_one_serves_and_one_changes_nothing(
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        path = write_config(folder, "http://127.0.0.1:1")
        path.write_text(path.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}", 1))
        command = [*TOLLHOUSE, "run", "--config", str(path)]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )
    lost: list[Path] = []
    for _ in range(600):
        lost = [
            tmp_path / name
            for name, process in zip(("one", "two"), processes, strict=True)
            if process.poll() is not None
        ]
        if lost:
            break
        time.sleep(0.05)
    # Who serves answers; before that it would not know yet what SIGTERM means.
    assert requests.get(f"http://127.0.0.1:{port}/nowhere", timeout=60).status_code == 404
    for process in processes:
        process.terminate()
    told = [process.communicate(timeout=30)[1].decode() for process in processes]
    assert len(lost) == 1
    assert sorted(process.returncode for process in processes) == [0, 1]
    assert sum(f"cannot listen on 127.0.0.1:{port}" in text for text in told) == 1
    assert not (lost[0] / "data" / "tollhouse.db").exists()
