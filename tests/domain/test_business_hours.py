"""Business hours by the clock on the wall, also on the nights on which it is put forward or back: IV-24."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.business_hours import DAYS, BusinessHours, read_minute

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def hours(**values: Any) -> BusinessHours:
    given: dict[str, Any] = {
        "zone": BERLIN,
        "days": frozenset(range(5)),
        "opens": 8 * 60,
        "closes": 18 * 60,
    }
    return BusinessHours(**(given | values))


def at(text: str, zone: tzinfo = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-10-19T08:00", True),  # a Monday
        ("2026-10-19T07:59:59", False),
        ("2026-10-19T17:59:59", True),
        ("2026-10-19T18:00", False),
        ("2026-10-24T12:00", False),  # a Saturday
        ("2026-10-18T12:00", False),  # a Sunday
    ],
)
def test_a_day_of_work_is_told_by_the_wall(moment: str, is_open: bool) -> None:
    assert hours().is_open(at(moment, BERLIN)) == is_open


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        # The last Friday of summer time opens at 06:00 UTC, the first Monday of winter time at 07:00.
        ("2026-10-23T05:59", False),
        ("2026-10-23T06:00", True),
        ("2026-10-26T06:30", False),
        ("2026-10-26T07:00", True),
        ("2026-10-26T16:59", True),
        ("2026-10-26T17:00", False),
        # And in spring the other way round.
        ("2026-03-27T06:30", False),
        ("2026-03-27T07:00", True),
        ("2026-03-30T06:00", True),
        ("2026-03-30T05:59", False),
    ],
)
def test_iv_24_business_hours_move_with_daylight_saving_time(utc: str, is_open: bool) -> None:
    assert hours().is_open(at(utc)) == is_open


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        # 25 October 2026 in Berlin: 02:30 comes twice, before and after the clock is put back at 01:00 UTC.
        ("2026-10-25T00:29", True),  # 02:29 in summer time
        ("2026-10-25T00:30", False),  # 02:30, for the first time
        ("2026-10-25T01:00", True),  # 02:00 again, in winter time
        ("2026-10-25T01:29", True),
        ("2026-10-25T01:30", False),
    ],
)
def test_an_hour_that_comes_twice_is_judged_alike_each_time(utc: str, is_open: bool) -> None:
    nightly = hours(days=frozenset(range(7)), opens=60, closes=2 * 60 + 30)
    assert nightly.is_open(at(utc)) == is_open


def test_an_hour_that_is_left_out_is_never_reached() -> None:
    # 29 March 2026 in Berlin: after 01:59 comes 03:00.
    left_out = hours(days=frozenset(range(7)), opens=2 * 60, closes=3 * 60)
    night = at("2026-03-29T00:00")
    assert not any(left_out.is_open(night + 60 * minute) for minute in range(180))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-10-19T22:00", True),  # Monday night
        ("2026-10-20T05:59", True),
        ("2026-10-20T06:00", False),
        ("2026-10-20T12:00", False),
        ("2026-10-23T23:00", True),  # Friday night,
        ("2026-10-24T03:00", True),  # which goes on on Saturday
        ("2026-10-24T22:00", False),  # but Saturday has no night of its own
        ("2026-10-25T03:00", False),
        ("2026-10-26T03:00", False),  # nor has Sunday
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(
    moment: str, is_open: bool
) -> None:
    assert hours(opens=22 * 60, closes=6 * 60).is_open(at(moment, BERLIN)) == is_open


def test_the_same_time_twice_is_the_whole_day() -> None:
    whole = hours(opens=0, closes=0)
    assert whole.is_open(at("2026-10-19T00:00", BERLIN))
    assert whole.is_open(at("2026-10-19T23:59", BERLIN))
    assert not whole.is_open(at("2026-10-18T23:59", BERLIN))


def test_nobody_works_on_a_holiday() -> None:
    closed = hours(holidays=frozenset({date(2026, 12, 25)}))
    assert not closed.is_open(at("2026-12-25T12:00", BERLIN))
    assert closed.is_open(at("2026-12-24T12:00", BERLIN))


def test_a_moment_is_judged_in_the_zone_of_the_tenant() -> None:
    moment = at("2026-10-19T13:00")
    assert hours().is_open(moment)
    assert hours(zone=NEW_YORK).is_open(moment)
    assert not hours(zone=ZoneInfo("Asia/Tokyo")).is_open(moment)


@pytest.mark.parametrize(
    ("text", "minute"), [("00:00", 0), ("08:30", 510), ("23:59", 1439), ("24:00", 1440)]
)
def test_a_time_of_day_is_hours_and_minutes(text: str, minute: int) -> None:
    assert read_minute(text) == minute


@pytest.mark.parametrize("text", ["", "8:30", "08.30", "08:60", "24:01", "25:00", "0८:00", "aa:bb"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time of day"):
        read_minute(text)


def test_days_begin_with_monday() -> None:
    assert DAYS[date(2026, 10, 19).weekday()] == "mon"
