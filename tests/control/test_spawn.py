from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.control.spawn import command, environment


def test_worker_imports_from_where_we_do_and_not_from_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(5) == [sys.executable, "-P", "-m", "gateway.assembly.worker", "5"]
    assert environment(["", "/somewhere"])["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/somewhere"
