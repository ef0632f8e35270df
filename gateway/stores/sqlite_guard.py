"""Whether what is committed to a SQLite file will be found again.

Knows that a file which was removed or replaced still takes writes of whoever has it open, and that they are gone with
the process; and that a damaged file may take them into pages that nobody can read. It must not know what is written.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_BESIDE: Final = ("", "-wal")
"""Where a commit lies: in the file, or beside it until it is moved there."""


class NotKept(OSError):
    """What would be written now would be lost; the text says why and is for the operator."""


class Guard:
    """Looks after the file at `path`, which is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[Path, tuple[int, int] | None] = {path: _identity(path)}
        self._damage = ""

    def require(self) -> None:
        """Raise `NotKept` unless the names of the file still lead to what is open, and it was never found damaged."""
        if self._damage:
            raise NotKept(
                f"it is damaged ({self._damage}): restore a backup; nothing is written any more"
            )
        for end in _BESIDE:
            path = self._path.with_name(self._path.name + end)
            found = _identity(path)
            if found is None and path not in self._known:
                continue  # nothing was written yet
            if self._known.setdefault(path, found) != found:
                raise NotKept(
                    f"{path.name} was removed or replaced while it was in use, so nothing is written: put it back"
                )

    def heard(self, error: BaseException) -> None:
        """Take note of an error of the driver."""
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(_DAMAGE):
                self._damage = name


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what a name leads to, None for nothing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
