"""A breaker: what opens it, what passes it, what closes it again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstreams.breaker import Breaker, BreakerRules, BreakerState

RULES = BreakerRules(
    error_ratio=0.5, requests_min=4, window_seconds=10.0, open_seconds=5.0, probes=2
)


def opened() -> Breaker:
    breaker = Breaker(RULES, 0.0)
    assert [breaker.failed(1.0) for _ in range(4)] == [False, False, False, True]
    return breaker


def test_breaker_that_was_never_needed_lets_everything_pass() -> None:
    breaker = Breaker(RULES, 0.0)
    for n in range(100):
        assert breaker.wait(n) == 0
        breaker.succeeded(n)
    assert breaker.state is BreakerState.CLOSED


def test_few_failures_open_nothing() -> None:
    breaker = Breaker(RULES, 0.0)
    assert not any(breaker.failed(1.0) for _ in range(3))


def test_failures_below_the_ratio_open_nothing() -> None:
    breaker = Breaker(RULES, 0.0)
    for _ in range(6):
        breaker.succeeded(1.0)
    assert not any(breaker.failed(1.0) for _ in range(5))
    assert breaker.failed(1.0)


def test_failures_of_long_ago_are_forgotten() -> None:
    breaker = Breaker(RULES, 0.0)
    for second in (1.0, 2.0, 3.0):
        breaker.failed(second)
    assert not breaker.failed(13.5)
    assert not breaker.failed(1000.0)


def test_open_breaker_says_how_long_to_wait() -> None:
    breaker = opened()
    assert breaker.wait(1.0) == 5.0
    assert breaker.wait(5.0) == 1.0
    assert breaker.state is BreakerState.OPEN


def test_late_failure_of_a_request_from_before_prolongs_nothing() -> None:
    breaker = opened()
    assert not breaker.failed(4.0)
    breaker.succeeded(4.0)
    assert breaker.wait(4.0) == 2.0


def test_half_open_breaker_lets_only_its_probes_pass() -> None:
    breaker = opened()
    assert [breaker.wait(6.0) for _ in range(4)] == [0, 0, 5.0, 5.0]
    assert breaker.state is BreakerState.HALF_OPEN


def test_successful_probes_close_it_with_a_clean_slate() -> None:
    breaker = opened()
    breaker.wait(6.0)
    states = []
    for now in (6.1, 6.2):
        breaker.succeeded(now)
        states.append(breaker.state)
    assert states == [BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert breaker.since == 6.2
    assert not any(breaker.failed(6.3) for _ in range(3))


def test_failed_probe_opens_it_again_for_the_whole_time() -> None:
    breaker = opened()
    breaker.wait(6.0)
    assert breaker.failed(6.5)
    assert breaker.wait(6.5) == 5.0


def test_probes_that_never_told_how_it_went_do_not_keep_it_shut_for_ever() -> None:
    breaker = opened()
    assert [breaker.wait(6.0) for _ in range(3)] == [0, 0, 5.0]
    assert breaker.wait(11.0) == 0


class Watched:
    """A breaker, and what may be demanded of it at each step."""

    def __init__(self) -> None:
        self.now = 0.0
        self.breaker = Breaker(RULES, 0.0)
        self.events: list[tuple[float, bool]] = []
        self.opened_at = -100.0
        self.passed = self.succeeded = 0

    def ask(self) -> None:
        before, since = self.breaker.state, self.breaker.since
        wait = self.breaker.wait(self.now)
        if before is BreakerState.CLOSED:
            assert wait == 0
        elif self.breaker.state is BreakerState.OPEN:
            assert wait == pytest.approx(self.opened_at + RULES.open_seconds - self.now)
            assert wait > 0
        else:
            assert self.now >= self.opened_at + RULES.open_seconds
            if before is BreakerState.OPEN or self.now >= since + RULES.open_seconds:
                self.passed = self.succeeded = 0
            self.passed += wait == 0
            assert self.passed <= RULES.probes

    def ok(self) -> None:
        before = self.breaker.state
        self.breaker.succeeded(self.now)
        self.events.append((self.now, True))
        if before is BreakerState.HALF_OPEN:
            self.succeeded += 1
            if self.breaker.state is BreakerState.CLOSED:
                assert self.succeeded >= RULES.probes
                self.events.clear()
        else:
            assert self.breaker.state is before

    def fail(self) -> None:
        before = self.breaker.state
        self.events.append((self.now, False))
        if not self.breaker.failed(self.now):
            assert self.breaker.state is before
            assert before is not BreakerState.HALF_OPEN
            return
        assert self.breaker.state is BreakerState.OPEN
        if before is BreakerState.CLOSED:
            recent = [ok for at, ok in self.events if at > self.now - RULES.window_seconds]
            assert len(recent) >= RULES.requests_min
            assert recent.count(False) >= RULES.error_ratio * RULES.requests_min
        self.opened_at = self.now
        self.events.clear()


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 8.0) | st.sampled_from(["ask", "ok", "fail"]), max_size=200))
def test_breaker_keeps_its_promises_whatever_happens(steps: list[float | str]) -> None:
    watched = Watched()
    for step in steps:
        if isinstance(step, str):
            getattr(watched, step)()
        else:
            watched.now += step


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_failures_within_one_moment_open_it_exactly_at_its_ratio(answers: list[bool]) -> None:
    breaker = Breaker(RULES, 0.0)
    failures = 0
    for count, is_ok in enumerate(answers, 1):
        failures += not is_ok
        if is_ok:
            breaker.succeeded(1.0)
        else:
            is_due = count >= RULES.requests_min and failures >= RULES.error_ratio * count
            assert breaker.failed(1.0) == is_due
            if is_due:
                return
