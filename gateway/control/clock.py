"""The clock of a running gateway."""

from __future__ import annotations

import time


class SystemClock:
    """Implements `ports.Clock` with the clocks of the operating system."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
