"""Which worker has to be replaced because it takes too much memory.

Knows how much a process has resident, and that a replacement takes a while and may be no smaller: one at a time, and
nobody who is young. It must not know how a worker is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 2.0
"""How often workers are weighed: a file of `/proc` is read for each."""

YOUTH_SECONDS: Final = 30.0
"""How long a worker lives before it may be replaced for that: a limit below what every worker needs then costs one
replacement in that time, and no more."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_RESIDENT: Final = 1
"""Which number of `/proc/<pid>/statm` counts the pages that a process has in memory."""


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory, what it shares with others included; 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[_RESIDENT]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE_BYTES


class Scales:
    """Finds who is too heavy; `weigh` takes the id of a process."""

    def __init__(self, weigh: Callable[[int], int] = resident_bytes) -> None:
        self._weigh = weigh
        self._looked = 0.0

    def heaviest(
        self, ages: Iterable[tuple[int, float]], most: int | None, now: float
    ) -> tuple[int, int] | None:
        """Return pid and bytes of the heaviest process that has more than `most`; None for nobody.

        `ages` are the processes and how many seconds each has lived; `now` is on a clock that never goes back.
        """
        if most is None or now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        weights = [(self._weigh(pid), pid) for pid, age in ages if age >= YOUTH_SECONDS]
        weight, pid = max(weights, default=(0, 0))
        return (pid, weight) if weight > most else None
