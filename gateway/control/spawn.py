"""Starts worker processes: a fresh interpreter with the descriptors that it is to have, and nothing else of ours.

Knows how a process is executed. By exec and not by fork: a copy of a running event loop, with its threads and locks,
is not a sound beginning. It must not know what a worker does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from gateway import __version__

DUMP_SIGNAL: Final = signal.SIGUSR2
"""Lets a worker write its Python stack to the log, even while its event loop stands still."""

_MODULE: Final = "gateway.assembly.worker_process"


def command(channel: int) -> list[str]:
    """Return the command of a worker that speaks over the descriptor `channel`, and is of our version or none.

    `-P`: a folder in which somebody happens to stand must not lend its modules to a worker.
    """
    return [sys.executable, "-P", "-m", _MODULE, str(channel), __version__]


def environment(path: Sequence[str]) -> dict[str, str]:
    """Return our environment, such that a worker imports from the same folders as we do."""
    folders = [str(Path(folder).absolute()) for folder in path]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


def spawn(channel: int, descriptors: Iterable[int]) -> subprocess.Popen[bytes]:
    """Start a worker that inherits `channel` and `descriptors` under the same numbers. Raises `OSError`."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command(channel),
        stdin=subprocess.DEVNULL,
        pass_fds=(channel, *descriptors),
        env=environment(sys.path),
    )
