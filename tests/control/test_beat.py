"""Processes that keep a beat act together, and what one tells is written by another within a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.beat import USAGE_SECONDS, WRITTEN_AFTER_SECONDS, Beat
from tests.clock import FakeClock

MOMENTS = st.floats(min_value=0.0, max_value=1e6)


def next_at(beat: Beat, clock: FakeClock) -> float:
    """Let the pause pass; return when it is over."""
    clock.advance(beat())
    return clock.monotonic()


@given(MOMENTS)
def test_whatever_was_counted_is_told_and_written_within_a_second(counted: float) -> None:
    """Whenever a process began to keep the beat: 0.15 s are left for making, sending and storing it."""
    clock = FakeClock()
    clock.advance(counted)
    counted = clock.monotonic()
    told = next_at(Beat(clock.monotonic, USAGE_SECONDS), clock)
    written = next_at(Beat(clock.monotonic, USAGE_SECONDS, after=WRITTEN_AFTER_SECONDS), clock)
    assert counted <= told < written
    assert written - told <= WRITTEN_AFTER_SECONDS + 1e-6
    assert written - counted <= 0.85 + 1e-6


@given(MOMENTS, MOMENTS)
def test_processes_keep_the_same_beat_whenever_they_began(one: float, other: float) -> None:
    found = []
    for began in (one, other):
        clock = FakeClock()
        clock.advance(began)
        found.append(next_at(Beat(clock.monotonic, 0.5), clock) % 0.5)
    assert all(min(each, 0.5 - each) < 1e-6 for each in found)


def test_a_timer_that_rings_early_does_not_keep_the_same_beat_twice() -> None:
    clock = FakeClock()
    beat = Beat(clock.monotonic, 1.0)
    clock.advance(beat() - 0.01)
    assert round(beat(), 6) == 1.01


def test_what_takes_long_does_not_make_the_next_beat_be_missed() -> None:
    clock = FakeClock()
    beat = Beat(clock.monotonic, 1.0)
    clock.advance(beat() + 0.9)
    assert round(beat(), 6) == 0.1
    clock.advance(5.3)
    assert 0.0 < beat() <= 1.0
