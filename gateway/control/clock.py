"""The clock of a running gateway."""

from __future__ import annotations

import time
from typing import Final


class SystemClock:
    """Implements `ports.Clock` with the clocks of the operating system."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def uptime() -> float:
    """Return seconds that never go back and never stop, not even while the machine sleeps.

    The same in all processes of a machine. Where the system has no such clock, it is the monotonic one.
    """
    return time.clock_gettime(_UPTIME)


_UPTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
