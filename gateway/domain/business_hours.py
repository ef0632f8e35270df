"""Business hours: on which days, from when to when, by the clock on whose wall.

Knows weeks, holidays, hours that reach into the next day, and that a time zone says what the wall shows, also on the
days on which its clock is put forward or back. It must not know where time zones come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 1_440
_A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessHours:
    """When it is no surprise that somebody works.

    `days` count from 0 for Monday. `opens` and `closes` are minutes of the day on the wall, `closes` not included; one
    that is not later than `opens` lies on the next day, whatever day that is. Nobody works on `holidays`.
    """

    zone: tzinfo
    days: frozenset[int]
    opens: int
    closes: int
    holidays: frozenset[date] = frozenset()

    def is_open(self, moment: float) -> bool:
        """Say whether `moment` (epoch seconds) lies in business hours."""
        wall = datetime.fromtimestamp(moment, self.zone)
        minute, today = wall.hour * 60 + wall.minute, wall.date()
        if self.opens < self.closes:
            return self._is_working_day(today) and self.opens <= minute < self.closes
        if minute >= self.opens:
            return self._is_working_day(today)
        return minute < self.closes and self._is_working_day(today - _A_DAY)

    def _is_working_day(self, day: date) -> bool:
        return day.weekday() in self.days and day not in self.holidays


def read_minute(text: str) -> int:
    """Return the minutes of the day in `HH:MM`, up to `24:00`. Raises `ValueError`."""
    hours, colon, minutes = text.partition(":")
    parts = (hours, minutes)
    if not colon or any(
        len(part) != 2 or not (part.isascii() and part.isdigit()) for part in parts
    ):
        raise ValueError("is no time of day: write 08:30")
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY_MINUTES:
        raise ValueError("is no time of day: write 08:30")
    return minute
