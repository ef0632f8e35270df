"""Which cells answer a question about a range of time: minutes, hours or days.

Knows that fine cells are kept for a shorter time, and that a range of many of them is better told in coarser ones. It
must not know what is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.usage import Interval, Retention

POINTS_MAX: Final = 400
"""Intervals that a range is told in unless somebody asks for more: six hours of minutes, two weeks of hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Whole intervals: those that begin at or after `since` and before `until` (epoch seconds)."""

    interval: Interval
    since: int
    until: int


def choose_range(
    since: float, until: float, now: float, retention: Retention, wanted: Interval | None = None
) -> Range:
    """Return the whole intervals around `since` to `until`, of the finest kind that serves.

    That is `wanted`, or the finest of which the range holds at most `POINTS_MAX`; a coarser one where the cells of the
    beginning are no longer kept at `now`. Whoever shows an answer says which it was.
    """

    def serves(interval: Interval) -> bool:
        is_kept = interval.start_of(since) >= now - retention.seconds(interval)
        if wanted is None:
            return is_kept and until - since <= POINTS_MAX * interval.seconds
        return is_kept and interval.seconds >= wanted.seconds

    interval = next(filter(serves, Interval), Interval.DAY)
    first, last = interval.start_of(since), interval.start_of(until)
    return Range(
        interval=interval, since=first, until=last if last >= until else last + interval.seconds
    )
