"""Workers over the admin API and the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.control.crew import WorkerReport, WorkerState
from gateway.ports import Conflict
from tests.cli.serving import command, served
from tests.config.sample import HEAD, write


class Crew:
    """Two workers, who can be replaced or not."""

    def __init__(self, *, can_restart: bool = True) -> None:
        self._can_restart = can_restart

    async def report(self) -> Sequence[WorkerReport]:
        return [
            WorkerReport(
                slot=slot,
                pid=100 + slot,
                state=state,
                generation=3,
                connections=7,
                in_flight=2,
                restarts=slot,
                age_seconds=60.0,
            )
            for slot, state in enumerate((WorkerState.SERVING, WorkerState.DRAINING))
        ]

    async def restart(self) -> int:
        if not self._can_restart:
            raise Conflict("one process serves by itself")
        return 2


def test_workers_are_listed_with_what_they_have_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock", workers=Crew()) as address:
        assert command("workers", "list", "--admin", address, "--output", "json") == 0
        first, second = json.loads(capsys.readouterr().out)
        assert (first["worker"], first["pid"], first["state"]) == (1, 100, "serving")
        assert (second["state"], second["restarts"], second["connections"]) == ("draining", 1, 7)
        assert first["since"].endswith("Z")
        assert command("workers", "list", "--admin", address, "--output", "table") == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split()[:4] == ["WORKER", "PID", "STATE", "SINCE"]
        assert len(rows) == 2


def test_workers_are_replaced_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock", workers=Crew()) as address:
        assert command("workers", "restart", "--admin", address) == 0
    assert "2 workers replaced" in capsys.readouterr().err


def test_refused_replacement_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(tmp_path / "admin.sock", workers=Crew(can_restart=False)) as address:
        assert command("workers", "restart", "--admin", address) == 1
    assert "one process serves by itself" in capsys.readouterr().err


def test_workers_are_asked_of_a_running_gateway_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, HEAD)
    assert command("workers", "list", "--offline", "--config", str(path)) == 2
    assert "running gateway" in capsys.readouterr().err
