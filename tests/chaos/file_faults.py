"""What may happen to the SQLite file, which holds the keys of one gateway."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.facts import Bounds
from tests.chaos.filling import failing_disk, filled, make_read_only, tiny_disk
from tests.chaos.place import BURST, QUOTA, Node, Place, alone
from tests.chaos.scene import EVERYBODY, IN_MEMORY, Scene
from tests.e2e.process import tollhouse

_PAGE_BYTES: Final = 4096
BESIDE: Final = ("", "-wal", "-shm")


def store_of(node: Node) -> Path:
    return node.folder / "data" / "tollhouse.db"


@contextmanager
def moved_away(place: Place) -> Iterator[None]:
    """Move the store elsewhere, and back."""
    store = store_of(place.node)
    away = store.with_name("elsewhere.db")
    for end in BESIDE:
        Path(f"{store}{end}").rename(f"{away}{end}")
    yield
    for end in BESIDE:
        Path(f"{away}{end}").rename(f"{store}{end}")


@contextmanager
def moved_from_workers(place: Place) -> Iterator[None]:
    """Move the store elsewhere, and let a worker start without it."""
    with moved_away(place):
        admin = place.node.admin()
        os.kill(admin.must("GET", "/workers")["data"][0]["pid"], signal.SIGKILL)
        admin.close()
        yield


@contextmanager
def removed(place: Place) -> Iterator[None]:
    """Remove the store; get it back as docs/failure-matrix.md says: out of the process that still has it open."""
    store = store_of(place.node)
    for end in BESIDE:
        Path(f"{store}{end}").unlink()
    yield
    for end in BESIDE[:2]:
        shutil.copyfile(_still_open(place.node.pid, f"{store}{end}"), f"{store}{end}.saved")
    place.node.stop()
    for end in BESIDE:
        Path(f"{store}{end}").unlink(missing_ok=True)
    for end in BESIDE[:2]:
        Path(f"{store}{end}.saved").rename(f"{store}{end}")
    place.node.start()


def _still_open(pid: int, path: str) -> Path:
    """Return the way to a file that was removed and that a process has open."""
    for each in Path(f"/proc/{pid}/fd").iterdir():
        if str(each.readlink()) == f"{path} (deleted)":
            return each
    raise AssertionError(f"{pid} does not have {path} open")


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let another process write, and not end."""
    with closing(sqlite3.connect(store_of(place.node), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(place: Place) -> Iterator[None]:
    """Leave no room on its disk, and none in the file that is appended to: SQLite would write over its beginning."""
    with closing(sqlite3.connect(store_of(place.node))) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with filled(place.extra["disk"]):
        yield


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    """Let the file system find an error; check it, and start again."""
    disk = place.extra["disk"]
    make_read_only(disk)
    yield
    place.node.stop()
    place.extra["check"](disk)
    place.node.start()


@contextmanager
def damaged(place: Place) -> Iterator[None]:
    """Overwrite a half of the file; restore a backup that was made before."""
    store = store_of(place.node)
    config = str(place.node.folder / "config.yaml")
    backup = place.node.folder / "backup.db"
    _succeeds("db", "backup", str(backup), "--config", config)
    with closing(sqlite3.connect(store)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = store.stat().st_size // _PAGE_BYTES
    with store.open("r+b") as file:
        file.seek(pages // 4 * _PAGE_BYTES)
        file.write(os.urandom(pages // 2 * _PAGE_BYTES))
    yield
    place.node.stop()
    _succeeds("db", "restore", str(backup), "--reason", "chaos", "--config", config)
    place.node.start()


def _succeeds(*arguments: str) -> None:
    done = tollhouse(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout


@contextmanager
def on_tiny_disk(folder: Path, upstream: str) -> Iterator[Place]:
    with ExitStack() as stack:
        disk = stack.enter_context(tiny_disk(folder / "data", 48 * 2**20))
        disk.chmod(0o700)
        place = stack.enter_context(alone(folder, upstream))
        place.extra["disk"] = disk
        yield place


@contextmanager
def on_failing_disk(folder: Path, upstream: str) -> Iterator[Place]:
    with ExitStack() as stack:
        disk = stack.enter_context(failing_disk(folder / "data", 96 * 2**20))
        disk.chmod(0o700)
        place = stack.enter_context(alone(folder, upstream))
        place.extra["disk"] = disk
        place.extra["check"] = _checked
        subprocess.run(
            ["sync", "-f", str(disk)], check=True
        )  # what nobody writes again is safe, as it is after a minute
        yield place


def _checked(disk: Path) -> None:
    """Do what an operator does with a file system that went read-only."""
    image = disk.with_suffix(".img")
    for command in (
        ("umount", str(disk)),
        ("fsck.ext4", "-y", str(image)),
        ("mount", "-o", "loop,errors=remount-ro", str(image), str(disk)),
    ):
        done = subprocess.run(command, check=False, capture_output=True, timeout=60)
        assert done.returncode in (0, 1), done.stderr  # fsck: 1 is `corrected`


_UNWRITTEN: Final = Bounds(quota=QUOTA, rate=BURST)
"""What a gateway that is restarted may let in again: the counts that it could not write down, and full rates."""
_NOT_WRITTEN: Final = "usage that waited to be written when it was stopped"

_scene = partial(Scene, group="SQLite")

SCENES: Final = (
    _scene(
        name="sqlite-moved",
        what="moved away, and back",
        place=alone,
        fault=moved_away,
        unharmed=EVERYBODY,
    ),
    _scene(
        name="sqlite-removed",
        what="removed; got back from the running process, restarted",
        place=alone,
        fault=removed,
        bounds=_UNWRITTEN,
        may_miss=_NOT_WRITTEN,
    ),
    _scene(
        name="sqlite-moved-workers",
        what="moved away from a gateway with two workers, one of which is killed meanwhile, and back",
        place=partial(alone, workers=2),
        fault=moved_from_workers,
        may_miss="usage of the last second, log lines of the last quarter",
    ),
    _scene(
        name="sqlite-read-only",
        what="its disk turns read-only; checked, restarted",
        place=on_failing_disk,
        fault=read_only,
        bounds=_UNWRITTEN,
        may_miss=_NOT_WRITTEN,
    ),
    _scene(
        name="sqlite-locked",
        what="locked by another process for six seconds",
        place=alone,
        fault=locked,
        hold=6.0,
        unharmed=EVERYBODY,
    ),
    _scene(
        name="sqlite-damaged",
        what="a half of it overwritten; a backup restored",
        place=alone,
        fault=damaged,
        bounds=_UNWRITTEN,
        may_miss=_NOT_WRITTEN,
        may_lose="what was acknowledged before the damage was found",
    ),
    _scene(
        name="sqlite-full",
        what="its disk is full",
        place=on_tiny_disk,
        fault=full,
        unharmed=IN_MEMORY,
    ),
)
