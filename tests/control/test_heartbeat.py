from __future__ import annotations

import asyncio
import os

from gateway.control.heartbeat import Heartbeat, Pulse, Watcher
from tests.wire import until


async def test_loop_that_turns_beats_and_one_that_stopped_does_not() -> None:
    seconds = iter(range(1, 100))
    heartbeat = Heartbeat.create()
    pulse = Pulse(heartbeat, asyncio.get_running_loop(), lambda: float(next(seconds)))
    assert heartbeat.last == 0
    pulse.start()
    await until(lambda: heartbeat.last >= 3)
    pulse.stop()
    last = heartbeat.last
    await asyncio.sleep(0)
    assert heartbeat.last == last
    heartbeat.close()


def test_beat_is_seen_by_whoever_shares_the_memory() -> None:
    ours = Heartbeat.create()
    theirs = Heartbeat(os.dup(ours.descriptor))
    theirs.beat(12.5)
    theirs.close()
    assert ours.last == 12.5
    ours.close()


def test_silence_is_counted_from_the_last_beat() -> None:
    watcher = Watcher(0.5)
    for now in (100.0, 100.5, 101.0):
        watcher.look(now)
    assert watcher.silence(100.75) == 0.25
    assert watcher.silence(101.5) == 0.0


def test_time_in_which_the_watcher_stood_still_as_well_counts_for_nobody() -> None:
    watcher = Watcher(0.5)
    watcher.look(100.0)
    watcher.look(160.0)  # the machine slept
    assert watcher.silence(100.0) == 0.0
    watcher.look(160.5)
    assert watcher.silence(100.0) == 0.5
    assert watcher.silence(160.4) == 160.5 - 160.4
