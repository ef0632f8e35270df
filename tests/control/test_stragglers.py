"""A worker that refuses to die: named, asked and killed again, until it is over."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.control.channel import Declined, Gone
from gateway.control.crew import Acknowledged, WorkerState
from gateway.control.member import Member
from gateway.control.messages import CutStreams, Forget
from gateway.control.remote_crew import RemoteCrew
from gateway.control.stragglers import OWED_MAX, REMIND_SECONDS, Stragglers
from gateway.control.supervisor import Supervisor
from gateway.domain.withdrawal import Withdrawals, withdrawn_of_tenant
from tests.assembly.serving import ROUTES
from tests.clock import FakeClock
from tests.config.sample import loaded
from tests.key_samples import a_tenant

ALL = Forget(None)


class Undead:
    """A worker as a crew sees it. `is_mortal` says whether SIGKILL ends it; what it is asked waits in `asked`."""

    def __init__(self, number: int, *, is_mortal: bool = False, answers: bool = False) -> None:
        self.number = number
        self.state = WorkerState.SERVING
        self.gone = asyncio.Event()
        self.signals: list[int] = []
        self.asked: list[tuple[object, asyncio.Future[Any]]] = []
        self._is_mortal = is_mortal
        self._answers = answers

    def __str__(self) -> str:
        return f"worker {self.number}"

    @property
    def may_know_keys(self) -> bool:
        return True

    def ask(self, message: object) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked.append((message, answer))
        if self._answers:
            answer.set_result(3 if isinstance(message, CutStreams) else None)
        return answer

    def signal(self, number: int) -> None:
        self.signals.append(number)

    async def kill(self) -> bool:
        self.signal(signal.SIGKILL)
        return self.dies() if self._is_mortal else False

    async def finish(self) -> bool:
        return await self.kill()

    def dies(self) -> bool:
        self.gone.set()
        for _, answer in self.asked:
            if not answer.done():
                answer.set_exception(Gone())
                answer.exception()
        return True

    def says(self, what: object) -> None:
        """Answer everything that is open."""
        for _, answer in self.asked:
            if answer.done():
                continue
            if isinstance(what, Exception):
                answer.set_exception(what)
            else:
                answer.set_result(what)

    @property
    def messages(self) -> list[object]:
        return [message for message, _ in self.asked]


class Office:
    """Who works, as a supervisor tells it."""

    def __init__(self, *members: Undead) -> None:
        self.all = list(members)
        self.left: list[Undead] = []

    @property
    def members(self) -> list[Undead]:
        return [each for each in self.all if not each.gone.is_set()]

    @property
    def leaving(self) -> list[Undead]:
        return self.left


def crew_of(folder: Path, *members: Undead) -> tuple[RemoteCrew, Office]:
    config = loaded(folder, ROUTES + "supervision: {acknowledge_timeout: 1ms}\n")
    office = Office(*members)
    return RemoteCrew(cast("Supervisor", office), 1, config, FakeClock()), office


def as_member(undead: Undead) -> Member:
    return cast("Member", undead)


async def test_a_worker_that_cannot_be_killed_is_named_and_tried_until_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, well = Undead(1), Undead(2, answers=True)
    crew, _ = crew_of(tmp_path, stuck, well)
    assert await crew.forget(["key_a"]) == Acknowledged(1, 2, ("worker 1",))
    assert crew.silent == ["worker 1"]
    assert stuck.state is WorkerState.STUCK
    for _ in range(3):
        await crew.stragglers.try_again()
    assert stuck.signals == [signal.SIGKILL] * 4
    assert crew.silent == ["worker 1"]
    stuck.dies()
    assert crew.silent == []
    await crew.stragglers.try_again()
    assert "worker 1 is gone" in caplog.text
    assert await crew.forget(["key_a"]) == Acknowledged(1, 1)


async def test_an_answer_is_enough_once_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = Undead(1)
    crew, _ = crew_of(tmp_path, stuck)
    await crew.forget(["key_a"])
    # What it was told first may have been lost: it is asked to forget everything.
    assert stuck.messages == [Forget(("key_a",)), ALL]
    stuck.says(Declined("not now"))
    await crew.stragglers.try_again()
    assert stuck.messages == [Forget(("key_a",)), ALL, ALL]
    assert crew.silent == ["worker 1"]
    stuck.says(None)
    await crew.stragglers.try_again()
    assert crew.silent == []
    assert "has done what it was told" in caplog.text


async def test_who_is_known_to_be_silent_holds_up_no_further_change(tmp_path: Path) -> None:
    stuck, well = Undead(1), Undead(2, answers=True)
    crew, _ = crew_of(tmp_path, stuck, well)
    await crew.forget(["key_a"])
    killed = len(stuck.signals)
    assert await crew.forget(["key_b"]) == Acknowledged(1, 2, ("worker 1",))
    condemn = Withdrawals((withdrawn_of_tenant(a_tenant(is_suspended=True)),))
    assert await crew.streams.cut(condemn) == 3
    assert len(stuck.signals) == killed
    assert stuck.messages[1:] == [ALL, ALL, CutStreams(condemn)]
    stuck.says(None)
    await crew.stragglers.try_again()
    assert crew.silent == []


async def test_a_worker_that_does_not_cut_and_does_not_die_owes_the_cut(tmp_path: Path) -> None:
    stuck = Undead(1)
    crew, _ = crew_of(tmp_path, stuck)
    condemn = Withdrawals((withdrawn_of_tenant(a_tenant(is_suspended=True)),))
    assert await crew.streams.cut(condemn) == 0
    assert crew.silent == ["worker 1"]
    assert stuck.messages == [CutStreams(condemn)] * 2


async def test_a_worker_that_declines_is_killed_like_one_that_says_nothing(tmp_path: Path) -> None:
    mortal = Undead(1, is_mortal=True)
    crew, _ = crew_of(tmp_path, mortal)
    asking = asyncio.ensure_future(crew.forget(["key_a"]))
    await asyncio.sleep(0)
    mortal.says(Declined("broken"))
    assert await asking == Acknowledged(1, 1)
    assert mortal.signals == [signal.SIGKILL]


async def test_who_left_the_line_counts_only_when_its_process_has_ended(tmp_path: Path) -> None:
    """It hears nothing any more, and would go on by what it knows."""
    crew, office = crew_of(tmp_path, Undead(1, answers=True))
    office.left = [Undead(2, is_mortal=True), Undead(3)]
    assert await crew.forget(["key_a"]) == Acknowledged(2, 3, ("worker 3",))
    assert [each.signals for each in office.left] == [[signal.SIGKILL]] * 2


async def test_from_who_owes_too_much_only_the_end_is_enough() -> None:
    stuck, stragglers = Undead(1), Stragglers(FakeClock().monotonic)
    for _ in range(OWED_MAX + 5):
        stragglers.owe(as_member(stuck), ALL)
    assert len(stuck.asked) == OWED_MAX
    stuck.says(None)
    await stragglers.try_again()
    assert len(stragglers.members) == 1
    stuck.dies()
    await stragglers.try_again()
    assert stragglers.members == []


async def test_the_log_says_once_a_minute_that_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    stragglers = Stragglers(clock.monotonic)
    stragglers.owe(as_member(Undead(1)), ALL)
    assert "cannot be killed" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(130):
            clock.advance(1)
            await stragglers.try_again()
    assert len(caplog.records) == 2
    assert caplog.records[0].getMessage().endswith(f"{REMIND_SECONDS:.0f} s, and cannot be killed")
