from __future__ import annotations

import pytest

from gateway.domain.usage import Interval
from gateway.domain.usage_ranges import Range, choose_range
from tests.usage_samples import DAY, HOUR, KEPT, MINUTE, NOON

NOW = NOON + 90.0


def chosen(since: float, wanted: Interval | None = None) -> Interval:
    return choose_range(since, NOW, NOW, KEPT, wanted).interval


@pytest.mark.parametrize(
    ("ago", "interval"),
    [
        (HOUR, Interval.MINUTE),
        (6 * HOUR, Interval.MINUTE),
        (7 * HOUR, Interval.HOUR),
        (14 * DAY, Interval.HOUR),
        (30 * DAY, Interval.DAY),
        (400 * DAY, Interval.DAY),
    ],
)
def test_a_range_is_told_in_the_finest_cells_that_are_few(ago: float, interval: Interval) -> None:
    assert chosen(NOW - ago) is interval


@pytest.mark.parametrize(
    ("ago", "wanted", "interval"),
    [
        (DAY, Interval.MINUTE, Interval.MINUTE),
        (3 * DAY, Interval.MINUTE, Interval.HOUR),
        (100 * DAY, Interval.MINUTE, Interval.DAY),
        (HOUR, Interval.HOUR, Interval.HOUR),
        (HOUR, Interval.DAY, Interval.DAY),
        (5_000 * DAY, Interval.DAY, Interval.DAY),
    ],
)
def test_minutes_that_are_no_longer_kept_are_answered_from_hours(
    ago: float, wanted: Interval, interval: Interval
) -> None:
    assert chosen(NOW - ago, wanted) is interval


def test_a_short_range_of_long_ago_is_told_in_what_is_kept() -> None:
    long_ago = NOW - 10 * DAY
    assert choose_range(long_ago, long_ago + HOUR, NOW, KEPT).interval is Interval.HOUR


def test_ranges_hold_whole_intervals_around_what_was_asked_for() -> None:
    assert choose_range(NOON + 1, NOON + MINUTE, NOW, KEPT) == Range(
        interval=Interval.MINUTE, since=NOON, until=NOON + MINUTE
    )
    assert choose_range(NOON + 1, NOON + MINUTE + 0.5, NOW, KEPT, Interval.HOUR) == Range(
        interval=Interval.HOUR, since=NOON, until=NOON + HOUR
    )
