"""A database that says nothing: who waits for it, for how long, and when it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from gateway.stores.postgres.silence import Silence
from tests.wire import until

LATE = [TimeoutError(), asyncpg.LockNotAvailableError("locked"), asyncpg.QueryCanceledError("slow")]


class Line:
    """What is asked, one future for each question, which the test answers."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[asyncio.Future[str]] = asyncio.Queue()

    async def question(self) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(answer)
        return await answer


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def silence() -> AsyncIterator[Silence]:
    silence = Silence(pause_seconds=0)
    yield silence
    await silence.close()


async def begun(
    silence: Silence, line: Line, why: Exception = LATE[0]
) -> Callable[[], Awaitable[asyncio.Future[str]]]:
    """Let somebody find out that the database is silent; return what waits for it to be asked on."""
    first = asyncio.create_task(silence.heard(line.question))
    (await line.asked.get()).set_exception(why)
    with pytest.raises(type(why)):
        await first
    return line.asked.get


@pytest.mark.parametrize("why", LATE, ids=lambda why: type(why).__name__)
async def test_after_one_who_waited_in_vain_nobody_begins_to_wait(
    silence: Silence, line: Line, why: Exception
) -> None:
    await begun(silence, line, why)
    asked: list[str] = []

    async def ask() -> None:
        asked.append("asked")

    with pytest.raises(TimeoutError):
        await silence.heard(ask)
    assert asked == []


async def test_who_waits_when_it_is_found_out_waits_no_longer(silence: Silence, line: Line) -> None:
    waiting = [asyncio.create_task(silence.heard(line.question)) for _ in range(3)]
    answers = [await line.asked.get() for _ in waiting]
    answers[1].set_exception(TimeoutError())
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [TimeoutError] * 3
    assert answers[0].cancelled()
    assert answers[2].cancelled()


async def test_it_is_asked_on_until_it_says_something(silence: Silence, line: Line) -> None:
    asked_on = await begun(silence, line)
    for _ in range(3):
        (await asked_on()).set_exception(TimeoutError())
    last = await asked_on()
    with pytest.raises(TimeoutError):
        await silence.heard(line.question)
    last.set_result("anything")
    await until(lambda: not silence.is_begun)
    assert await _heard(silence) == "well"
    assert line.asked.empty()


async def test_an_error_that_comes_in_time_is_an_answer(silence: Silence, line: Line) -> None:
    asked_on = await begun(silence, line)
    (await asked_on()).set_exception(ConnectionRefusedError())
    await until(lambda: not silence.is_begun)
    assert await _heard(silence) == "well"


async def _heard(silence: Silence) -> str:
    async def answer() -> str:
        return "well"

    return await silence.heard(answer)


@pytest.mark.parametrize("others_answer", ["well", ConnectionRefusedError()])
async def test_one_that_waits_in_vain_while_others_are_answered_is_no_silence(
    silence: Silence, line: Line, others_answer: str | Exception
) -> None:
    """Too much to do, or one connection that hangs: who comes next may well be answered."""
    unlucky, waiting, lucky = (asyncio.create_task(silence.heard(line.question)) for _ in range(3))
    late, early, other = [await line.asked.get() for _ in range(3)]
    if isinstance(others_answer, Exception):
        other.set_exception(others_answer)
    else:
        other.set_result(others_answer)
    await asyncio.gather(lucky, return_exceptions=True)
    late.set_exception(TimeoutError())
    with pytest.raises(TimeoutError):
        await unlucky
    assert await _heard(silence) == "well"
    early.set_result("well")
    assert await waiting == "well"


async def test_errors_reach_whoever_asked(silence: Silence, line: Line) -> None:
    asking = asyncio.create_task(silence.heard(line.question))
    (await line.asked.get()).set_exception(ConnectionRefusedError())
    with pytest.raises(ConnectionRefusedError):
        await asking


async def test_who_goes_away_leaves_nothing_behind(silence: Silence, line: Line) -> None:
    gone = asyncio.create_task(silence.heard(line.question))
    answer = await line.asked.get()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert answer.cancelled()
    await begun(silence, line)


async def test_a_database_that_is_closed_is_not_asked_on(line: Line) -> None:
    silence = Silence(pause_seconds=0)
    asked_on = await begun(silence, line)
    answer = await asked_on()
    await silence.close()
    assert answer.cancelled()
    await silence.close()
