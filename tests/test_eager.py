from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from gateway.eager import Signal, start


def run(story: Coroutine[Any, Any, None]) -> list[BaseException]:
    """Start a story; return the list of what crashes, now or later."""
    crashes: list[BaseException] = []
    start(story, crashes.append)
    return crashes


# ---- signals


def test_a_signal_that_is_set_does_not_suspend_the_story() -> None:
    signal: Signal[int] = Signal()
    signal.set(5)
    found: list[int] = []

    async def story() -> None:
        found.append(await signal)

    assert run(story()) == []
    assert found == [5]


def test_a_story_goes_on_within_the_call_that_sets_its_signal() -> None:
    signal: Signal[str] = Signal()
    found: list[str] = []

    async def story() -> None:
        found.append("before")
        found.append(await signal)

    run(story())
    assert found == ["before"]
    assert not signal.is_set
    signal.set("value")
    assert signal.is_set
    assert found == ["before", "value"]


def test_the_first_value_wins_and_wakes_once() -> None:
    signal: Signal[int] = Signal()
    found: list[int] = []

    async def story() -> None:
        found.append(await signal)
        found.append(await signal)

    run(story())
    signal.set(1)
    signal.set(2)
    assert found == [1, 1]


def test_a_signal_may_hold_nothing() -> None:
    signal: Signal[int | None] = Signal()
    signal.set(None)

    async def story() -> None:
        assert await signal is None

    assert run(story()) == []


def test_a_signal_set_by_the_story_itself_does_not_run_it_twice() -> None:
    signal: Signal[int] = Signal()
    found: list[int] = []

    async def story() -> None:
        signal.set(1)
        found.append(await signal)

    run(story())
    assert found == [1]


@pytest.mark.parametrize("are_set_before", [True, False])
def test_ten_thousand_signals_in_a_row_do_not_nest(are_set_before: bool) -> None:
    signals: list[Signal[int]] = [Signal() for _ in range(10_000)]
    total = 0

    async def story() -> None:
        nonlocal total
        for signal in signals:
            total += await signal

    def set_all() -> None:
        for signal in signals:
            signal.set(1)

    if are_set_before:
        set_all()
    crashes = run(story())
    set_all()
    assert (total, crashes) == (10_000, [])


def test_a_signal_set_by_the_next_wait_of_its_story_does_not_nest() -> None:
    signals: list[Signal[int]] = [Signal() for _ in range(10_000)]
    found = 0

    async def story() -> None:
        nonlocal found
        for number, signal in enumerate(signals):
            if number + 1 < len(signals):
                signals[number + 1].set(number)
            await signal
            found += 1

    crashes = run(story())
    assert found == 0
    signals[0].set(0)
    assert (found, crashes) == (10_000, [])


def test_stories_wake_one_another_within_one_call() -> None:
    signals: list[Signal[int]] = [Signal() for _ in range(51)]

    async def story(number: int) -> None:
        signals[number + 1].set(await signals[number] + 1)

    crashes = [run(story(number)) for number in range(50)]
    signals[0].set(0)
    assert signals[50].is_set
    assert not any(crashes)


# ---- futures


async def test_a_result_resumes_the_story() -> None:
    future: Future[int] = asyncio.get_running_loop().create_future()
    found: list[int] = []

    async def story() -> None:
        found.append(await future)

    crashes = run(story())
    future.set_result(5)
    assert found == []
    await asyncio.wait([future])
    assert (found, crashes) == ([5], [])


async def test_a_result_that_is_there_does_not_suspend_the_story() -> None:
    future: Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(5)
    found: list[int] = []

    async def story() -> None:
        found.append(await future)

    run(story())
    assert found == [5]


async def test_an_exception_is_raised_in_the_story() -> None:
    future: Future[int] = asyncio.get_running_loop().create_future()
    found: list[str] = []

    async def story() -> None:
        try:
            await future
        except OSError as error:
            found.append(str(error))

    crashes = run(story())
    future.set_exception(OSError("gone"))
    await asyncio.wait([future])
    assert (found, crashes) == (["gone"], [])


async def test_a_cancelled_future_is_told_to_the_story_and_not_swallowed() -> None:
    future: Future[int] = asyncio.get_running_loop().create_future()
    found: list[str] = []

    async def story() -> None:
        try:
            await future
        finally:
            found.append("cleaned up")

    crashes = run(story())
    future.cancel()
    await asyncio.wait([future])
    assert found == ["cleaned up"]
    assert [type(error) for error in crashes] == [CancelledError]


async def test_a_story_may_wait_for_tasks_futures_and_signals_in_turn() -> None:
    loop = asyncio.get_running_loop()
    future: Future[int] = loop.create_future()
    signal: Signal[int] = Signal()
    ended: Future[tuple[int, int, int]] = loop.create_future()

    async def later() -> int:
        await asyncio.sleep(0)
        return 1

    async def story() -> None:
        async with asyncio.Lock():
            ended.set_result((await asyncio.ensure_future(later()), await future, await signal))

    crashes = run(story())
    future.set_result(2)
    loop.call_soon(signal.set, 3)
    assert await ended == (1, 2, 3)
    assert crashes == []


# ---- crashes


def test_what_a_story_raises_is_handed_over_not_raised() -> None:
    async def story() -> None:
        raise ValueError("broken")

    assert [str(error) for error in run(story())] == ["broken"]


def test_what_a_story_raises_later_does_not_reach_who_set_the_signal() -> None:
    signal: Signal[int] = Signal()

    async def story() -> None:
        await signal
        raise ValueError("broken")

    crashes = run(story())
    signal.set(1)
    assert [str(error) for error in crashes] == ["broken"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_not_held_up(stop: type[BaseException]) -> None:
    async def story() -> None:
        raise stop

    with pytest.raises(stop):
        run(story())


class Bare:
    """Awaits something that is neither a signal nor a future."""

    def __init__(self, what: object) -> None:
        self.what = what

    def __await__(self) -> Generator[Any, None, None]:
        yield self.what


@pytest.mark.parametrize("make", [lambda: asyncio.sleep(0), lambda: Bare("x")])
def test_a_wait_that_nobody_would_end_is_a_crash_and_the_story_is_cleaned_up(
    make: Callable[[], Any],
) -> None:
    found: list[str] = []

    async def story() -> None:
        try:
            await make()
        finally:
            found.append("cleaned up")

    crashes = run(story())
    assert found == ["cleaned up"]
    assert [type(error) for error in crashes] == [TypeError]
    assert "signal or a future" in str(crashes[0])


def test_signal_shows_its_value_once_it_is_set() -> None:
    signal: Signal[int] = Signal()
    assert signal.value is None
    signal.set(7)
    signal.set(8)
    assert signal.value == 7
