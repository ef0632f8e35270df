"""`tollhouse db snapshot` says what a gateway would go by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.checkup.finding import Patient
from gateway.cli.checkup.store import snapshot as examine
from gateway.cli.main import main
from gateway.config.load import read
from tests.assembly.serving import EDGE, ROUTES
from tests.assembly.test_returning import prepared
from tests.config.sample import HEAD


def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    path = folder / "config.yaml"
    status = main(["db", "snapshot", "--config", str(path), "--output", "json"])
    return status, json.loads(capsys.readouterr().out)


def found(folder: Path, *, is_running: bool = False) -> list[tuple[str, str]]:
    path = folder / "config.yaml"
    loaded = read(path, {})
    assert loaded.config is not None
    patient = Patient(
        path=path, config=loaded.config, sources=loaded.sources, is_running=is_running, now=0.0
    )
    return [(each.level, each.text) for each in examine(patient)]


@pytest.fixture
async def left(tmp_path: Path) -> Path:
    await prepared(tmp_path)
    return tmp_path


def test_a_snapshot_that_is_true_is_shown_with_what_it_holds(
    left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = shown(left, capsys)
    assert status == 0
    assert told["valid"] is True
    assert told["why_not"] is None
    assert told["file"] == str(left / "keys.snapshot")
    assert (told["keys"], told["tenants"], told["changes"]) == (3, 1, 3)
    assert told["max_age_seconds"] == 3600.0
    [(level, text)] = found(left)
    assert level == "ok"
    assert "holds 3 keys" in text


def test_one_that_nobody_would_go_by_says_why(
    left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (left / "keys.snapshot").write_bytes(b"?" * 2000)
    status, told = shown(left, capsys)
    assert status == 1
    assert told["valid"] is False
    assert "damaged" in str(told["why_not"])
    assert found(left)[0][0] == "ok"
    assert found(left, is_running=True)[0][0] == "warn"


def test_where_none_is_kept_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge = EDGE.replace("poll: 50ms", "poll: 50ms, snapshot: ''")
    (tmp_path / "config.yaml").write_text(HEAD + edge + ROUTES)
    status, told = shown(tmp_path, capsys)
    assert status == 1
    assert told["file"] is None
    assert found(tmp_path) == [
        ("ok", "no snapshot of the keys is kept: a broken store is the end of service")
    ]


def test_a_configuration_with_mistakes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("version: 2\n")
    assert main(["db", "snapshot", "--config", str(tmp_path / "config.yaml")]) == 1
    assert "version" in capsys.readouterr().err
