from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.control.retirement import Retirement
from tests.wire import until


class Retiree:
    def __init__(self) -> None:
        self.is_used = True
        self.closed = 0

    def ask(self) -> bool:
        return self.is_used

    def close(self) -> None:
        self.closed += 1


async def test_what_is_still_used_is_closed_when_it_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    retiree = Retiree()
    async with asyncio.TaskGroup() as tasks:
        retirement = Retirement(tasks)
        retirement.retire("it", retiree.ask, retiree.close, 60)
        await asyncio.sleep(0)
        assert (retirement.waiting, retiree.closed) == (1, 0)
        retiree.is_used = False
        await until(lambda: retiree.closed == 1)
    assert retirement.waiting == 0
    assert not caplog.records


async def test_what_nobody_uses_is_closed_at_once() -> None:
    retiree = Retiree()
    retiree.is_used = False
    async with asyncio.TaskGroup() as tasks:
        Retirement(tasks).retire("it", retiree.ask, retiree.close, 60)
    assert retiree.closed == 1


async def test_when_its_time_is_over_it_is_cut_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    retiree = Retiree()
    with caplog.at_level(logging.WARNING):
        async with asyncio.TaskGroup() as tasks:
            Retirement(tasks).retire("upstream u", retiree.ask, retiree.close, 0.01)
    assert retiree.closed == 1
    assert "upstream u is still used 0.01 s after" in caplog.text


async def test_the_end_waits_for_nobody() -> None:
    retirees = [Retiree() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        retirement = Retirement(tasks)
        for retiree in retirees:
            retirement.retire("it", retiree.ask, retiree.close, 60)
        await asyncio.sleep(0)
        retirement.stop()
    assert [retiree.closed for retiree in retirees] == [1, 1, 1]
    assert retirement.waiting == 0


async def test_last_work_that_fails_is_told_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise OSError("disk full")

    async with asyncio.TaskGroup() as tasks:
        Retirement(tasks).finish("the access log", fail())
    assert "the access log was not finished: OSError('disk full')" in caplog.text
