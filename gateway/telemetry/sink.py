"""Where access log lines go: a file that log rotation may move away, or standard output.

Knows descriptors. It must not know what a line says.
"""

from __future__ import annotations

import os
from typing import Final

STDOUT: Final = "-"
"""The path that means standard output."""

MODE: Final = 0o640


class Sink:
    """Appends bytes to the file at `path`, or to standard output for `-`.

    Opens at once: raises `OSError` (with the path) when the file cannot be opened. Writes block:
    call them off the event loop.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = self._open()

    def write(self, data: bytes) -> None:
        """Write all of `data`; raises `OSError`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def reopen(self) -> None:
        """Go on in the file that now has the path (after rotation); the old one on `OSError`."""
        descriptor = self._open()
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)

    def close(self) -> None:
        """Close the file (standard output stays open for others)."""
        os.close(self._descriptor)

    def _open(self) -> int:
        if self._path == STDOUT:
            return os.dup(1)
        # O_APPEND: several workers write to one file, and a rotated file is never overwritten.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, MODE)
