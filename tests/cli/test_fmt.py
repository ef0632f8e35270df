from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway.cli.main import main

UNTIDY = "version:    1   # the shape\nroutes:\n- {name:  x}\n"
TIDY = "version: 1      # the shape\nroutes:\n  - {name: x}\n"
HOPELESS = "a: [1, # one\n    2, # two\n    {x: 1, # three\n    y: 2}]\n"


def test_a_file_is_formatted_in_its_place_with_its_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(UNTIDY)
    path.chmod(0o640)
    assert main(["fmt", str(path)]) == 0
    assert path.read_text() == TIDY
    assert path.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().err == f"formatted {path}\n"
    assert main(["fmt", str(path)]) == 0
    assert capsys.readouterr().err == ""
    assert [each.name for each in tmp_path.iterdir()] == ["c.yaml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "c.yaml", tmp_path / "link.yaml"
    path.write_text(UNTIDY)
    link.symlink_to(path)
    assert main(["fmt", str(link)]) == 0
    assert link.is_symlink()
    assert path.read_text() == TIDY


def test_a_check_names_what_is_not_formatted_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untidy, tidy = tmp_path / "a.yaml", tmp_path / "b.yaml"
    untidy.write_text(UNTIDY)
    tidy.write_text(TIDY)
    assert main(["fmt", "--check", str(tidy)]) == 0
    assert main(["fmt", "--check", str(untidy), str(tidy)]) == 1
    assert capsys.readouterr().out == f"{untidy}\n"
    assert untidy.read_text() == UNTIDY


def test_what_cannot_be_formatted_is_left_alone_and_the_rest_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hopeless, broken, good = (tmp_path / f"{name}.yaml" for name in ("h", "b", "g"))
    hopeless.write_text(HOPELESS)
    broken.write_bytes(b"\xff\xfe\x00")
    good.write_text(UNTIDY)
    missing = tmp_path / "missing.yaml"
    assert main(["fmt", *map(str, (hopeless, broken, missing, good))]) == 1
    told = capsys.readouterr().err
    assert all(str(path) in told for path in (hopeless, broken, missing))
    assert hopeless.read_text() == HOPELESS
    assert good.read_text() == TIDY


def test_standard_input_is_formatted_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(UNTIDY))
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == TIDY
    monkeypatch.setattr("sys.stdin", io.StringIO(UNTIDY))
    assert main(["fmt", "-", "--check"]) == 1
    assert capsys.readouterr().out == "-\n"
