"""A worker that takes too much memory is replaced by another one, which serves before it is drained."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.config.model import Supervision
from gateway.control.crew import WorkerState
from gateway.control.member import Member
from gateway.control.messages import Drain
from gateway.control.supervisor import StartFailed, Supervisor
from gateway.control.weight import YOUTH_SECONDS, Scales
from gateway.ports import Conflict
from tests.clock import FakeClock

MAX = 1000


class Worker:
    """A worker as its supervisor knows it; `told` is what it was told."""

    def __init__(self, pid: int, started: float) -> None:
        self.slot = 0
        self.process = SimpleNamespace(pid=pid)
        self.started = started
        self.state = WorkerState.SERVING
        self.gone = asyncio.Event()
        self.told: list[object] = []
        self.is_killed = False

    def __str__(self) -> str:
        return f"worker {self.process.pid}"

    def tell(self, message: object) -> None:
        self.told.append(message)
        self.gone.set()

    def ask(self, message: object) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def kill(self) -> bool:
        self.is_killed = True
        return True


class House(Supervisor):
    """One slot, in which `old` serves; who comes next is `successor`, None for nobody."""

    def __init__(self, clock: FakeClock, tasks: asyncio.TaskGroup, most: int | None = MAX) -> None:
        settings = Supervision(worker_memory_max=most)
        orders: Any = SimpleNamespace(settings=settings, drain_timeout=1.0)
        super().__init__(1, [], orders, clock, tasks)
        self.old = Worker(1, clock.monotonic())
        self.successor: Worker | None = Worker(2, clock.monotonic())
        self._current[0] = cast("Member", self.old)

    async def _hire(self, slot: int) -> Member:
        if self.successor is None:
            raise StartFailed("no memory")
        return cast("Member", self.successor)

    @property
    def in_service(self) -> list[object]:
        return [*self.serving]

    def look(self, weight: int) -> None:
        self._weigh(Scales(lambda _: weight))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_another_worker_serves_in_place_of_one_that_is_too_heavy_and_that_one_is_drained(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.TaskGroup() as tasks:
        house = House(clock, tasks)
        clock.advance(YOUTH_SECONDS)
        house.look(5 << 20)
    assert house.in_service == [house.successor]
    assert house.old.state is WorkerState.DRAINING
    assert house.old.told == [Drain(1.0)]
    assert "worker 1 has 5 MiB in memory" in caplog.text


async def test_a_worker_within_its_bound_is_left_alone(clock: FakeClock) -> None:
    async with asyncio.TaskGroup() as tasks:
        house, boundless = House(clock, tasks), House(clock, tasks, None)
        clock.advance(YOUTH_SECONDS)
        house.look(MAX)
        boundless.look(MAX + 1)
    assert house.in_service == [house.old]
    assert boundless.in_service == [boundless.old]


async def test_a_worker_whose_successor_does_not_come_up_goes_on(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.TaskGroup() as tasks:
        house = House(clock, tasks)
        house.successor = None
        clock.advance(YOUTH_SECONDS)
        house.look(MAX + 1)
    assert house.in_service == [house.old]
    assert house.old.told == []
    assert "worker 1 was not replaced: no memory" in caplog.text
    with pytest.raises(Conflict, match="no memory"):
        await house.restart()


async def test_nobody_is_replaced_for_weight_while_others_are_being_replaced(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with asyncio.TaskGroup() as tasks:
        house = House(clock, tasks)
        clock.advance(YOUTH_SECONDS)
        async with house._turn:
            house.look(MAX + 1)
    assert house.in_service == [house.old]
    assert caplog.text == ""


async def test_a_successor_of_a_worker_that_died_meanwhile_is_not_needed(clock: FakeClock) -> None:
    async with asyncio.TaskGroup() as tasks:
        house = House(clock, tasks)
        successor = house.successor
        assert successor is not None
        house._current.clear()
        await house._replace(cast("Member", house.old))
    assert successor.is_killed
    assert house.in_service == []
