from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.control.spawn import command, environment


def test_worker_imports_from_where_we_do_and_not_from_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(5)[:5] == [sys.executable, "-P", "-m", "gateway.assembly.worker_process", "5"]
    assert environment(["", "/somewhere"])["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/somewhere"


def test_worker_is_told_of_which_version_it_has_to_be() -> None:
    assert command(5)[5:] == [__version__]
