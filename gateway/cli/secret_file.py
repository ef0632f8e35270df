"""Where the secret of a new key goes when it shall not be printed.

Knows how a file is made that nobody else can read. It must not know how the secret came about.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from gateway.cli.client import WrongUsage


class SecretFile:
    """A new file that only its owner can read; removed again if nothing was written to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_written = False

    def __enter__(self) -> Self:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise WrongUsage(f"--secret-file {self._path}: {error.strerror}") from error
        return self

    def write(self, secret: str) -> None:
        """Write the secret and a line end."""
        self._is_written = True
        os.write(self._descriptor, f"{secret}\n".encode())
        os.fsync(self._descriptor)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if not self._is_written:
            self._path.unlink()
