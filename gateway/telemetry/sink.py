"""Where access log lines go: a file that log rotation may move away, or standard output.

Knows descriptors. It must not know what a line says.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from typing import Final

STDOUT: Final = "-"
"""The path that means standard output."""

MODE: Final = 0o640


class Sink:
    """Appends bytes to the file at `path`, or to standard output for `-`.

    Opens at once: raises `OSError` (with the path) when the file cannot be opened. Writes block:
    call them off the event loop.

    Several processes may append to one path: what one `write` gives is not mixed with what others write. A file takes
    it as a whole (O_APPEND). A pipe takes at most PIPE_BUF bytes as a whole (POSIX, write()), so it gets whole lines of
    at most that together; only a line that is longer by itself may be mixed with others.
    """

    __slots__ = ("_descriptor", "_is_file", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = self._open()
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def write(self, data: bytes) -> None:
        """Write all of `data`, whole lines; raises `OSError`."""
        for part in [memoryview(data)] if self._is_file else _portions(data):
            rest = part
            while rest:
                written = os.write(self._descriptor, rest)
                rest = rest[written:]

    def reopen(self) -> None:
        """Go on in the file that now has the path (after rotation); the old one on `OSError`."""
        descriptor = self._open()
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def close(self) -> None:
        """Close the file (standard output stays open for others)."""
        os.close(self._descriptor)

    def _open(self) -> int:
        if self._path == STDOUT:
            return os.dup(1)
        # O_APPEND: several workers write to one file, and a rotated file is never overwritten.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, MODE)


def _portions(data: bytes) -> Iterator[memoryview]:
    """Yield whole lines, as many at once as a pipe takes as a whole, but one at least."""
    view, start = memoryview(data), 0
    while start < len(data):
        stop = data.rfind(b"\n", start, start + select.PIPE_BUF) + 1
        if not stop:
            stop = data.find(b"\n", start) + 1 or len(data)
        yield view[start:stop]
        start = stop
