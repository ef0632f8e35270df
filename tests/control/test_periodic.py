from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from gateway.control.periodic import Periodic

NEVER = 3600.0


class Work:
    """Counts its rounds and does what the test wants in each."""

    def __init__(self, *rounds: Callable[[], None]) -> None:
        self.rounds = rounds
        self.done = 0

    async def __call__(self) -> None:
        self.done += 1
        if self.done <= len(self.rounds):
            self.rounds[self.done - 1]()


def nothing() -> None:
    """Do nothing."""


def fail() -> None:
    raise OSError("store is away")


async def test_work_is_done_each_round_and_once_more_after_stop() -> None:
    def stop() -> None:
        periodic.stop()

    work = Work(nothing, nothing, stop)
    periodic = Periodic("work", lambda: 0.0, work)
    await periodic.run()
    assert work.done == 4


async def test_work_is_done_at_the_end_however_long_the_round() -> None:
    work = Work()
    periodic = Periodic("work", lambda: NEVER, work)
    running = asyncio.create_task(periodic.run())
    await asyncio.sleep(0)
    assert work.done == 0
    periodic.stop()
    await running
    assert work.done == 1


async def test_work_is_done_even_if_stopped_before_it_began() -> None:
    work = Work()
    periodic = Periodic("work", lambda: NEVER, work)
    periodic.stop()
    await periodic.run()
    assert work.done == 1


async def test_a_failure_does_not_end_the_work_and_is_logged_once_until_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop() -> None:
        periodic.stop()

    work = Work(fail, fail, nothing, nothing, fail, stop)
    periodic = Periodic("saving", lambda: 0.0, work)
    with caplog.at_level(logging.INFO):
        await periodic.run()
    assert work.done == 7
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "saving failed: OSError('store is away')"),
        ("WARNING", "saving works again"),
        ("ERROR", "saving failed: OSError('store is away')"),
        ("WARNING", "saving works again"),
    ]


async def test_cancellation_is_not_swallowed() -> None:
    work = Work()
    running = asyncio.create_task(Periodic("work", lambda: NEVER, work).run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.done == 0


async def test_cancellation_of_the_work_is_not_swallowed() -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Periodic("work", lambda: 0.0, Work(cancelled)).run()


async def test_work_that_is_wanted_soon_is_done_at_once_and_goes_on_in_its_rhythm() -> None:
    work = Work()
    periodic = Periodic("work", lambda: NEVER, work)
    running = asyncio.create_task(periodic.run())
    periodic.soon()
    periodic.soon()  # as well as once
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.done == 1
    periodic.stop()
    await running
    assert work.done == 2


async def test_what_is_wanted_while_the_work_is_done_is_done_after_it() -> None:
    def again() -> None:
        periodic.soon()

    work = Work(again, nothing)
    periodic = Periodic("work", lambda: NEVER, work)
    running = asyncio.create_task(periodic.run())
    periodic.soon()
    for _ in range(4):
        await asyncio.sleep(0)
    assert work.done == 2
    periodic.stop()
    await running
