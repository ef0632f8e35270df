from __future__ import annotations

import json
import platform
import sqlite3

import pytest

from gateway import __version__
from gateway.cli.main import main
from gateway.stores.migrations import newest


def test_it_names_what_runs_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tollhouse"] == __version__
    assert told["schema"] == newest()
    assert platform.python_version() in told["python"]
    assert told["sqlite"] == sqlite3.sqlite_version
    assert {"aiohttp", "uvloop", "openssl", "build"} <= told.keys()
