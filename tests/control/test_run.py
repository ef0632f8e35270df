from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator

import pytest

from gateway.control.run import Signals

STOPPING = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process with the handlers that it had."""
    numbers = (*STOPPING, signal.SIGUSR1, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def nobody() -> None:
    raise AssertionError("nobody asked for that")


def listening(
    reopen: Callable[[], None] = nobody,
    reload: Callable[[], None] = nobody,
    hurry: Callable[[], None] = nobody,
) -> Signals:
    return Signals(asyncio.get_running_loop(), reopen=reopen, reload=reload, hurry=hurry)


def is_usual(number: signal.Signals) -> bool:
    """Tell whether the signal ends the process as it would without us."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


@pytest.mark.parametrize("number", STOPPING)
async def test_the_process_is_asked_to_stop(number: signal.Signals) -> None:
    signals = listening()
    stopped = asyncio.ensure_future(signals.stopped())
    await asyncio.sleep(0)
    assert not stopped.done()
    signal.raise_signal(number)
    await asyncio.wait_for(stopped, 5)


@pytest.mark.parametrize("number", STOPPING)
async def test_a_second_signal_cuts_short_and_a_third_of_either_kind_ends_it_as_usual(
    number: signal.Signals,
) -> None:
    is_hurried = asyncio.Event()
    signals = listening(hurry=is_hurried.set)
    signal.raise_signal(number)
    await asyncio.wait_for(signals.stopped(), 5)
    assert not is_hurried.is_set()
    assert not any(is_usual(each) for each in STOPPING)
    signal.raise_signal(number)
    await asyncio.wait_for(is_hurried.wait(), 5)
    assert all(is_usual(each) for each in STOPPING)


async def test_the_configuration_is_reloaded_as_often_as_asked_and_nothing_stops() -> None:
    was_asked = asyncio.Event()
    signals = listening(reload=was_asked.set)
    stopped = asyncio.ensure_future(signals.stopped())
    for _ in range(2):
        signal.raise_signal(signal.SIGHUP)
        await asyncio.wait_for(was_asked.wait(), 5)
        was_asked.clear()
    assert not stopped.done()
    stopped.cancel()


async def test_whoever_asks_later_learns_at_once_that_it_was_stopped() -> None:
    signals = listening()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(signals.stopped(), 5)
    await asyncio.wait_for(signals.stopped(), 5)


async def test_log_files_are_reopened_as_often_as_asked_and_nothing_stops() -> None:
    was_reopened = asyncio.Event()
    signals = listening(was_reopened.set)
    stopped = asyncio.ensure_future(signals.stopped())
    for _ in range(2):
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(was_reopened.wait(), 5)
        was_reopened.clear()
    assert not stopped.done()
    stopped.cancel()
