"""Imported by every interpreter whose path leads here, before anything else: the clock jumps, and memory leaks.

`TOLLHOUSE_CHAOS_CLOCK` names a file of eight bytes: by how many seconds the clock on the wall is wrong.
`TOLLHOUSE_CHAOS_LEAK` names a file: while it is there, a worker takes more and more memory.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from pathlib import Path


def _set_clock(path: Path) -> None:
    with path.open("r+b") as file:
        cell = memoryview(mmap.mmap(file.fileno(), 8)).cast("d")
    true = time.time
    time.time = lambda: true() + cell[0]


def _leak(path: Path) -> None:
    kept = []
    while True:
        time.sleep(0.1)
        if path.exists():
            kept.append(b"x" * 400_000)


if "TOLLHOUSE_CHAOS_CLOCK" in os.environ:
    _set_clock(Path(os.environ["TOLLHOUSE_CHAOS_CLOCK"]))
if "TOLLHOUSE_CHAOS_LEAK" in os.environ and "gateway.assembly.worker_process" in sys.orig_argv:
    threading.Thread(
        target=_leak, args=(Path(os.environ["TOLLHOUSE_CHAOS_LEAK"]),), daemon=True
    ).start()
