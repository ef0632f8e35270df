"""Calendar periods in UTC: when the hour, the day or the month of an instant begins and ends.

Pure arithmetic on epoch seconds, without `datetime`: a quota asks for its period on the hot path.
It must not know the clock or what is counted in a period. UTC has no daylight saving, and epoch
seconds have no leap seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal

Period = Literal["hour", "day", "month"]

_HOUR: Final = 3600
_DAY: Final = 86400
_YEARS: Final = range(1970, 2200)
_MEAN_MONTH: Final = 2_629_746  # seconds: 400 years of the Gregorian calendar / 4800


def _days_in_february(year: int) -> int:
    return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28


def _month_starts() -> tuple[int, ...]:
    starts = [0]
    for year in _YEARS:
        for days in (31, _days_in_february(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31):
            starts.append(starts[-1] + days * _DAY)
    return tuple(starts)


_MONTH_STARTS: Final = _month_starts()
_LAST: Final = len(_MONTH_STARTS) - 1


def period_bounds(period: Period, now: float) -> tuple[int, int]:
    """Return the first second of the period around `now` and the first second after it.

    All are epoch seconds. Months are known from 1970 to 2199; an instant outside gets the nearest.
    """
    if period == "month":
        second = int(now)
        index = second // _MEAN_MONTH  # nearly always right
        if not (0 <= index < _LAST and _MONTH_STARTS[index] <= second < _MONTH_STARTS[index + 1]):
            index = bisect_right(_MONTH_STARTS, second, 1, _LAST) - 1
        return _MONTH_STARTS[index], _MONTH_STARTS[index + 1]
    seconds = _HOUR if period == "hour" else _DAY
    start = int(now // seconds) * seconds
    return start, start + seconds
