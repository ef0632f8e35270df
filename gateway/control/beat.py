"""A beat that all processes of a machine keep, so that what one tells another does right after.

Knows that the monotonic clock is the machine's. Usage goes by it: workers tell on the beat, the supervisor writes a
moment later, and what a `kill -9` of all of them loses is not two pauses but one. It must not know what is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

USAGE_SECONDS: Final = 0.75
"""From one beat of usage to the next."""

WRITTEN_AFTER_SECONDS: Final = 0.1
"""How long after the beat it is written: what workers tell on the beat has come by then.

Together 0.85 s: the rest of the second that may be lost is for making, sending and storing it.
"""


class Beat:
    """Says, to a `Periodic`, how long it is until the next beat, or `after` that; never twice for the same one."""

    def __init__(
        self, monotonic: Callable[[], float], seconds: float, *, after: float = 0.0
    ) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._after = after
        self._number = -1

    def __call__(self) -> float:
        """Return the seconds until then."""
        now = self._monotonic() - self._after
        # A timer that rings early must not let the same beat be kept again.
        self._number = max(int(now // self._seconds), self._number) + 1
        return max(0.0, self._number * self._seconds - now)
