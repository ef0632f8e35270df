"""Exemplars: for each route and bucket the trace of the latest request, for a minute."""

from __future__ import annotations

from gateway.domain.trace_context import Spans
from gateway.telemetry.exemplars import AGE_SECONDS_MAX, EXEMPLARS_MAX, Exemplars
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_outcome


def note(exemplars: Exemplars, number: int, **fields: object) -> None:
    exemplars.record(make_outcome(**fields), Spans(b"%032x" % number, None))


def trace(number: int) -> str:
    return f"{number:032x}"


def test_the_latest_of_each_bucket_of_a_route_is_kept() -> None:
    exemplars = Exemplars(FakeClock().monotonic)
    note(exemplars, 1, duration=0.001)
    note(exemplars, 2, duration=0.002)
    note(exemplars, 3, duration=0.3)
    note(exemplars, 4, duration=0.001, route="other")
    note(exemplars, 5, duration=1000.0, route="__unmatched__")
    assert exemplars.read() == {
        ("jobs.read", trace(2)): 0.002,
        ("jobs.read", trace(3)): 0.3,
        ("other", trace(4)): 0.001,
        ("__unmatched__", trace(5)): 1000.0,
    }


def test_an_old_one_is_not_told() -> None:
    clock = FakeClock()
    exemplars = Exemplars(clock.monotonic)
    note(exemplars, 1)
    clock.advance(AGE_SECONDS_MAX)
    assert exemplars.read()
    clock.advance(0.001)
    assert exemplars.read() == {}


def test_there_are_never_more_than_fit_and_the_oldest_leaves_first() -> None:
    exemplars = Exemplars(FakeClock().monotonic)
    for number in range(EXEMPLARS_MAX):
        note(exemplars, number, route=f"route{number}")
    note(exemplars, 5000, route="route0")  # the youngest now
    note(exemplars, 6000, route="new")
    found = exemplars.read()
    assert len(found) == EXEMPLARS_MAX
    assert ("route0", trace(5000)) in found
    assert ("new", trace(6000)) in found
    assert ("route1", trace(1)) not in found
