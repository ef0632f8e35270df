"""How many workers fill this machine.

Knows what of the machine's processors the operating system lets this process use. It must not know what workers do.
"""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path
from typing import Final, Literal

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Where a container's share of processor time is told (cgroup v2): `quota period` in microseconds, or `max period`."""


def worker_count(setting: int | Literal["auto"], quota: Path = _QUOTA) -> int:
    """Return how many workers `setting` means here; `auto` is one per core that this process may use.

    A container often sees all cores of its host and may use the time of few: more workers than that would take turns.
    """
    if setting != "auto":
        return setting
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _cores_within(quota) or cores or 1))


def _cores_within(quota: Path) -> int:
    """Return how many cores the processor time of this container fills; 0 for as many as there are."""
    try:
        limit, _, period = quota.read_text("ascii").partition(" ")
        return ceil(int(limit) / int(period))
    except (OSError, ValueError):
        return 0
