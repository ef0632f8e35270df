"""The benchmark itself, tiny: what is installed here really carries out the policy and can be measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import Absent, Cores, free_port, program
from bench.policy import make_policy
from bench.subjects import ROOT, Bench, all_subjects


@pytest.fixture(autouse=True)
def _installed() -> None:
    for name, package in {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}.items():
        try:
            program(name, package)
        except Absent as problem:
            pytest.skip(f"THE BENCHMARK IS NOT TESTED: {problem}")


def test_every_installed_peer_carries_out_the_policy(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Cores.of_this_machine(), make_policy(), free_port())
    with bench.upstream(), all_subjects(bench, "", has_gateway=False) as taking_part:
        assert taking_part.failed == {}
        names = {subject.name for subject in taking_part.subjects}
    assert {"plain nginx", "aiohttp proxy"} <= names
    assert not names & taking_part.absent.keys()


def test_a_tiny_run_measures_the_gateway_and_writes_its_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--subjects", "everything", "--rounds", "1"]
    command += ["--other-rounds", "1", "--loads", "get1k", "latency", "steady"]
    command += ["--write", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| Tollhouse, everything on |" in done.stdout
    assert "at a constant rate of" in (tmp_path / "peers.md").read_text()
    assert (tmp_path / "peers.svg").read_text().startswith("<svg")


def test_what_cannot_be_measured_is_said_and_fails() -> None:
    command = [sys.executable, "-m", "bench", "--subjects", "everything", "--command", "false"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "does not listen" in done.stderr
