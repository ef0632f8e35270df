"""`make cluster` starts everything, prints what works when it is pasted, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bench.machine import Process
from tests.e2e.crew import is_alive
from tests.e2e.process import ROOT
from tests.e2e.waiting import eventually
from tests.postgres import binaries
from tests.redis_server import needed

pytestmark = [pytest.mark.slow, pytest.mark.pure]  # starts the gateways from the sources

LAST_LINE = "Ctrl-C ends everything"


class Started:
    """The command, and what it has said so far."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.cluster"], stdout=output, stderr=output, cwd=ROOT
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def says(self, words: str) -> None:
        eventually(lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said, self.said

    def everybody(self) -> list[int]:
        """Return all that it has started: what is no child any more would not be found later."""
        return Process(self.process, self.output).pids()[1:]

    def commands(self, words: str) -> list[list[str]]:
        return [shlex.split(line) for line in self.said.splitlines() if words in line]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    binaries()
    needed()
    command = Started(tmp_path)
    yield command
    if command.process.poll() is None:
        command.process.send_signal(signal.SIGTERM)
        command.process.wait(60)


def asked(command: list[str]) -> int:
    done = subprocess.run(
        [*command, "-o", "/dev/null", "-w", "%{http_code}", "-s"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return int(done.stdout[-3:])


def test_what_it_prints_works_and_ctrl_c_leaves_nothing(started: Started) -> None:
    started.says(LAST_LINE)
    curls = started.commands("curl -i http")
    assert len(curls) == 4
    assert [asked(curl) for curl in curls] == [200] * 4
    [revoke] = started.commands(" keys revoke ")
    done = subprocess.run(revoke, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [asked(curl) for curl in curls] == [401] * 4
    listing = started.commands(" nodes list ")[0]
    listed = subprocess.run(
        [*listing, "--output", "json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    nodes = json.loads(listed.stdout)
    assert {node["name"]: node["state"] for node in nodes} == dict.fromkeys("abc", "live")
    [dashboard] = re.findall(r"http://[\d.:]+/dashboard/", started.said)
    [token] = re.findall(r"with this token: (\w+)", started.said)
    assert "<html" in requests.get(dashboard, timeout=10).text
    api = dashboard.replace("/dashboard/", "/admin/v1/whoami")
    fields = {"Authorization": f"Bearer {token}"}
    assert requests.get(api, headers=fields, timeout=10).status_code == 200
    [config] = re.findall(r"gateway a: \S+ +(\S+)", started.said)
    folder = Path(config).parents[2]
    assert folder.name.startswith("tollhouse-cluster-")
    everybody = started.everybody()
    assert len(everybody) >= 6  # three gateways, PostgreSQL, Redis, the upstream
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(60) == 0, started.said
    assert not any(map(is_alive, everybody))
    assert not folder.exists()


def test_ctrl_c_while_it_starts_leaves_nothing_either(started: Started) -> None:
    eventually(lambda: len(started.everybody()) >= 2)
    everybody = started.everybody()
    started.process.send_signal(signal.SIGINT)
    started.process.send_signal(signal.SIGINT)  # who is impatient does no harm
    assert started.process.wait(60) == 1
    eventually(lambda: not any(map(is_alive, everybody)))
