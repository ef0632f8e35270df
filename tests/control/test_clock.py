from __future__ import annotations

import time

from gateway.control.clock import SystemClock
from gateway.ports import Clock


def test_the_wall_clock_is_epoch_seconds_and_the_other_one_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    assert before <= clock.now() <= time.time()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
