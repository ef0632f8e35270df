from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.deadlines import DeadlineWheel

INFINITY = float("inf")


class Handle:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """A loop whose time moves only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.errors: list[dict[str, Any]] = []
        self._timers: list[tuple[float, int, Callable[[], None], Handle]] = []
        self._numbers = count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        heapq.heappush(self._timers, (self.now + delay, next(self._numbers), callback, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    @property
    def timers(self) -> int:
        return sum(not handle.is_cancelled for *_, handle in self._timers)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, callback, handle = heapq.heappop(self._timers)
            if not handle.is_cancelled:
                callback()
        self.now = end


class Thing:
    """Something with a deadline that notes when it expired."""

    def __init__(self, loop: FakeLoop, deadline: float = INFINITY) -> None:
        self.loop = loop
        self.deadline = deadline
        self.expired: list[float] = []
        self.then: Callable[[], None] = lambda: None

    def expire(self) -> None:
        self.expired.append(self.loop.now)
        self.deadline = INFINITY
        self.then()


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def wheel(loop: FakeLoop) -> DeadlineWheel:
    return started(loop)


def started(loop: FakeLoop, period_seconds: float = 1.0) -> DeadlineWheel:
    wheel = DeadlineWheel(cast("asyncio.AbstractEventLoop", loop), period_seconds)
    wheel.start()
    return wheel


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=20),
    st.sampled_from([0.05, 1.0, 4.0]),
)
def test_nothing_expires_early_or_more_than_a_period_late(
    plan: list[tuple[float, float]], period_seconds: float
) -> None:
    loop = FakeLoop()
    wheel = started(loop, period_seconds)
    things = []
    for pause, seconds in plan:
        loop.advance(pause)
        thing, deadline = Thing(loop, loop.now + seconds), loop.now + seconds
        things.append((thing, deadline))
        wheel.watch(thing)
    loop.advance(15)
    for thing, deadline in things:
        assert len(thing.expired) == 1
        assert deadline <= thing.expired[0] <= deadline + period_seconds + 1e-6


def test_a_deadline_that_was_moved_counts_as_it_is_now(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    later, sooner, never = (Thing(loop, 105.0) for _ in range(3))
    for thing in (later, sooner, never):
        wheel.watch(thing)
    later.deadline, sooner.deadline, never.deadline = 110.0, 102.0, INFINITY
    loop.advance(20)
    assert 110.0 <= later.expired[0] <= 111.0
    assert 102.0 <= sooner.expired[0] <= 103.0
    assert never.expired == []


def test_a_thing_may_expire_again(loop: FakeLoop, wheel: DeadlineWheel) -> None:
    thing = Thing(loop, 101.0)
    wheel.watch(thing)
    loop.advance(5)
    thing.deadline = 107.0
    loop.advance(5)
    assert len(thing.expired) == 2


def test_what_is_not_watched_does_not_expire(loop: FakeLoop, wheel: DeadlineWheel) -> None:
    thing = Thing(loop, 101.0)
    wheel.unwatch(thing)
    wheel.watch(thing)
    wheel.unwatch(thing)
    wheel.unwatch(thing)
    loop.advance(5)
    assert thing.expired == []


def test_watching_twice_is_watching_once(loop: FakeLoop, wheel: DeadlineWheel) -> None:
    thing = Thing(loop, 101.0)
    wheel.watch(thing)
    wheel.watch(thing)
    loop.advance(5)
    assert len(thing.expired) == 1
    thing.deadline = 106.0
    wheel.unwatch(thing)
    loop.advance(5)
    assert len(thing.expired) == 1


def same_slot(loop: FakeLoop, wheel: DeadlineWheel) -> tuple[Thing, Thing]:
    """Return two things that expire in the same tick, one of which is asked first."""
    things = [Thing(loop, 101.0) for _ in range(9)]
    for thing in things:
        wheel.watch(thing)
    return things[0], things[8]


def test_a_thing_that_is_forgotten_during_a_tick_does_not_expire_in_it(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    one, other = same_slot(loop, wheel)
    one.then, other.then = lambda: wheel.unwatch(other), lambda: wheel.unwatch(one)
    loop.advance(5)
    assert len(one.expired) + len(other.expired) == 1


def test_a_thing_that_is_given_time_during_a_tick_does_not_expire_in_it(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    one, other = same_slot(loop, wheel)

    def give(thing: Thing) -> Callable[[], None]:
        def later() -> None:
            if not thing.expired:
                thing.deadline = 104.0

        return later

    one.then, other.then = give(other), give(one)
    loop.advance(5)
    first, second = sorted([one.expired[0], other.expired[0]])
    assert first < 102.0 + 1e-6
    assert second >= 104.0


def test_a_thing_may_forget_itself_and_others_may_be_watched_during_a_tick(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    thing, new = Thing(loop, 101.0), Thing(loop, 101.0)

    def replace() -> None:
        wheel.unwatch(thing)
        wheel.watch(new)

    thing.then = replace
    wheel.watch(thing)
    loop.advance(5)
    assert (len(thing.expired), len(new.expired)) == (1, 1)


def test_a_thing_that_fails_does_not_keep_the_others_from_expiring(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    one, other = same_slot(loop, wheel)

    def fail() -> None:
        raise ValueError("broken")

    one.then = other.then = fail
    loop.advance(5)
    assert (len(one.expired), len(other.expired)) == (1, 1)
    assert [str(error["exception"]) for error in loop.errors] == ["broken", "broken"]


def test_a_wheel_turns_with_one_timer_until_it_is_stopped(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    thing = Thing(loop, 103.0)
    wheel.watch(thing)
    loop.advance(2)
    assert loop.timers == 1
    wheel.stop()
    wheel.stop()
    assert loop.timers == 0
    loop.advance(5)
    assert thing.expired == []


def test_a_wheel_may_be_stopped_by_what_expires(loop: FakeLoop, wheel: DeadlineWheel) -> None:
    thing = Thing(loop, 101.0)
    thing.then = wheel.stop
    wheel.watch(thing)
    loop.advance(5)
    assert loop.timers == 0


def crowd(loop: FakeLoop, wheel: DeadlineWheel) -> list[Thing]:
    """Return far more things that are due together than expire at once."""
    things = [Thing(loop, 101.0) for _ in range(4000)]
    for thing in things:
        wheel.watch(thing)
    return things


class CountingLoop(FakeLoop):
    """A loop that notes how many things expired in each of its turns."""

    def __init__(self) -> None:
        super().__init__()
        self.expired = 0
        self.turns: list[int] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        def counted() -> None:
            before = self.expired
            callback()
            self.turns.append(self.expired - before)

        return super().call_later(delay, counted)


def test_thousands_that_are_due_together_expire_a_few_at_a_time() -> None:
    loop = CountingLoop()
    things = crowd(loop, started(loop))

    def note() -> None:
        loop.expired += 1

    for thing in things:
        thing.then = note
    loop.advance(2.5)
    assert all(len(thing.expired) == 1 for thing in things)
    assert max(loop.turns) == 4


def test_a_wheel_that_is_stopped_ends_nothing_more_of_a_crowd(
    loop: FakeLoop, wheel: DeadlineWheel
) -> None:
    things = crowd(loop, wheel)
    for thing in things:
        thing.then = wheel.stop
    loop.advance(5)
    assert sum(bool(thing.expired) for thing in things) <= 4
