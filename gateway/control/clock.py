"""The clock of a running gateway."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from gateway.domain.key_snapshots import Moment
from gateway.ports import Clock


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


def boot_id() -> str:
    """Return what tells this start of the machine from others; empty where the system does not say."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""


_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Moments:
    """Tells the moment, by both clocks."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.now
        self._boot = boot_id()

    def __call__(self) -> Moment:
        return Moment(self._now(), uptime(), self._boot)
