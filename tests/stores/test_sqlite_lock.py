from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ports import StoreUnavailable
from gateway.stores import sqlite
from gateway.stores.sqlite_lock import InUse, alone, shared


def test_several_hold_a_store_together_and_nobody_alone_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "keys.db"
    with shared(path), shared(path), pytest.raises(InUse, match="stop the gateway"), alone(path):
        pass
    with alone(path), pytest.raises(InUse, match="being restored"), shared(path):
        pass
    with alone(path):
        pass
    assert (path.parent.stat().st_mode & 0o777) == 0o700
    assert (path.with_name("keys.db.lock").stat().st_mode & 0o777) == 0o600


async def test_an_open_store_is_held_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    async with sqlite.opened(path), sqlite.opened(path):
        with pytest.raises(InUse), alone(path):
            pass
    with alone(path), pytest.raises(StoreUnavailable, match="being restored"):
        async with sqlite.opened(path):
            pass


def test_the_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    code = (
        "import sys, pathlib; from gateway.stores.sqlite_lock import shared\n"
        "with shared(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InUse), alone(path):
            pass
        process.kill()
        process.wait(10)
        with alone(path):
            pass
