from __future__ import annotations

from gateway.telemetry.pace import Pace
from tests.clock import FakeClock


def test_the_first_time_is_due_and_the_next_only_after_the_pause() -> None:
    clock = FakeClock()
    pace = Pace(clock, seconds=10.0)
    said = []
    for pause in (0.0, 9.9, 0.1, 5.0, 100.0):
        clock.advance(pause)
        said.append(pace.is_due())
    assert said == [True, False, True, False, True]
