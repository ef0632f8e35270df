from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.telemetry.loop_lag import LoopLag


class Timers:
    """An event loop's timers, which run only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.armed: list[Armed] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object], /) -> Armed:
        timer = Armed(self, when, callback)
        self.armed.append(timer)
        return timer

    def fire(self, late: float = 0.0) -> None:
        timer = self.armed.pop()
        self.now = timer.when + late
        timer.callback()


class Armed:
    def __init__(self, timers: Timers, when: float, callback: Callable[[], object]) -> None:
        self.timers = timers
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        self.timers.armed.remove(self)


@pytest.fixture
def lags() -> list[float]:
    return []


def test_the_lateness_of_each_timer_is_told(lags: list[float]) -> None:
    timers = Timers()
    lag = LoopLag(lags.append, timers, interval_seconds=0.5)
    lag.start()
    timers.fire()
    timers.fire(late=0.25)
    timers.fire()
    assert lags == [0.0, 0.25, 0.0]


def test_a_timer_that_fires_early_has_no_negative_lag(lags: list[float]) -> None:
    timers = Timers()
    LoopLag(lags.append, timers).start()
    timers.fire(late=-0.0009)
    assert lags == [0.0]


def test_starting_twice_measures_once_and_stopping_ends_it(lags: list[float]) -> None:
    timers = Timers()
    lag = LoopLag(lags.append, timers)
    lag.stop()
    lag.start()
    lag.start()
    assert len(timers.armed) == 1
    lag.stop()
    lag.stop()
    assert timers.armed == []
    lag.start()
    assert len(timers.armed) == 1


async def test_it_runs_on_a_real_loop() -> None:
    heard = asyncio.get_running_loop().create_future()
    lag = LoopLag(heard.set_result, asyncio.get_running_loop(), interval_seconds=0.0)
    lag.start()
    try:
        assert await heard >= 0.0
    finally:
        lag.stop()
