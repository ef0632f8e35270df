"""Calendar periods agree with the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.periods import Period, period_bounds

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31, 23, 59, 59)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)


def expected(period: Period, instant: datetime) -> tuple[int, int]:
    if period == "month":
        start = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = (start + timedelta(days=31)).replace(day=1)
    elif period == "day":
        start = instant.replace(hour=0, minute=0, second=0, microsecond=0)
        end = start + timedelta(days=1)
    else:
        start = instant.replace(minute=0, second=0, microsecond=0)
        end = start + timedelta(hours=1)
    return int(start.timestamp()), int(end.timestamp())


@given(INSTANTS)
@pytest.mark.parametrize("period", ["hour", "day", "month"])
def test_bounds_are_those_of_the_utc_calendar(period: Period, instant: datetime) -> None:
    assert period_bounds(period, instant.timestamp()) == expected(period, instant)


@pytest.mark.parametrize("period", ["hour", "day", "month"])
def test_the_last_moment_belongs_to_the_period_and_the_end_to_the_next(period: Period) -> None:
    start, end = period_bounds(period, 1_709_251_199.5)  # half a second before 1 March 2024
    assert start < 1_709_251_199.5 < end == 1_709_251_200
    assert period_bounds(period, end)[0] == end
    assert period_bounds(period, start) == (start, end)


def test_every_month_begins_where_the_one_before_ends() -> None:
    start, months = 0, 0
    while start < 7_258_118_400:  # 1 January 2200
        bounds = period_bounds("month", start)
        assert bounds[0] == start
        assert period_bounds("month", bounds[1] - 1) == bounds
        start, months = bounds[1], months + 1
    assert months == 230 * 12


def test_an_instant_outside_the_known_years_gets_the_nearest_month() -> None:
    assert period_bounds("month", -1e9) == (0, 31 * 86400)
    assert period_bounds("month", 1e11)[1] == 7_258_118_400
