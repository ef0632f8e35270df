from __future__ import annotations

import subprocess
import sys
import time

from gateway.control.clock import SystemClock, uptime
from gateway.ports import Clock


def test_the_wall_clock_is_epoch_seconds_and_the_other_one_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    assert before <= clock.now() <= time.time()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_uptime_goes_on_and_is_the_same_in_every_process() -> None:
    before = uptime()
    told = subprocess.run(
        [sys.executable, "-c", "from gateway.control.clock import uptime; print(uptime())"],
        check=True,
        capture_output=True,
    )
    assert before <= float(told.stdout) <= uptime()
