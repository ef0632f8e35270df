"""Small disks, full disks, disks that cannot be written any more. They need the right to mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_CHUNK: Final = 64 * 2**10


def _tried(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(
            f"NOT TRIED: {' '.join(command[:2])} is not allowed here: {done.stderr.strip()}"
        )


@contextmanager
def tiny_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of so many bytes at `folder`."""
    folder.mkdir(exist_ok=True)
    _tried("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "chaos", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on the disk at `folder`, whatever else is freed there meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (_CHUNK, 4096):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
        yield
    ballast.unlink()


@contextmanager
def failing_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk that can be made read-only while files are open: a file system that reacts to errors so."""
    folder.mkdir(exist_ok=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        os.truncate(file.fileno(), size)
    _tried("mkfs.ext4", "-q", "-F", "-e", "remount-ro", str(image))
    _tried("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def make_read_only(folder: Path) -> None:
    """Let the file system at `folder` find an error, after which nothing can be written to it."""
    device = folder.stat().st_dev
    name = (Path("/sys/dev/block") / f"{os.major(device)}:{os.minor(device)}").resolve().name
    trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
    if not trigger.exists():
        pytest.skip(f"NOT TRIED: {trigger} is missing")
    trigger.write_text("1\n")


def make_writable(folder: Path) -> None:
    """Undo it, as an operator does after the check of the file system."""
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True, capture_output=True)
