"""Who uses a SQLite store: everybody who may write to it together, or one alone who replaces the file.

Knows the lock, which lies in a file of its own beside the store: SQLite locks the store itself, and the store is what
gets replaced. The kernel lets go of it with the process that holds it. It must not know what is done meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
_MODE: Final = 0o600
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.05
"""Somebody may only be looking whether it is in use, which takes microseconds."""


class InUse(Exception):
    """Somebody else holds the store; the text is for the operator."""


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the store at `path` together with others. Raises `InUse` while it is being replaced, and `OSError`."""
    with _locked(path, fcntl.LOCK_SH, f"the store {path} is being restored or rebuilt: wait"):
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the store at `path` alone. Raises `InUse` while a gateway or a command has it open, and `OSError`."""
    with _locked(
        path, fcntl.LOCK_EX, f"the store {path} is in use: stop the gateway that runs on it first"
    ):
        yield


@contextmanager
def _locked(path: Path, kind: int, refusal: str) -> Iterator[None]:
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.lock")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        _lock(descriptor, kind, refusal)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, refusal: str) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not tries_left:
                raise InUse(refusal) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            return
