"""Usage as rows, the same in every database: the columns, how cells become coarser ones, and how much at a time.

Knows in which order values stand. It must not know SQL dialects.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from gateway.domain.usage import Cell, Dimensions, Interval, Measures

ROLLED_MAX: Final = 1_000
"""Cells that one step adds to coarser ones."""

REMOVED_MAX: Final = 5_000
"""Rows of one table that one step removes."""

KNOWN_MAX: Final = 50_000
"""Dimensions whose number is remembered, some 0.2 KB each."""

_NAME_BYTES: Final = 16

LATE_DAYS: Final = 2
"""How much longer than their cells dimensions are kept: those of a stream that ends later."""

SUMS: Final = (
    *("requests", "denied", "failed", "upstream_4xx", "upstream_5xx", "request_bytes"),
    *("response_bytes", "duration_total", "from_browser"),
)
PEAKS: Final = ("limit_used_max", "quota_used_max")
COUNTS: Final = (*SUMS, *PEAKS)
"""What cells count, each a field of `Measures`."""

DIMENSIONS: Final = (
    *("tenant_id", "owner_id", "key_id", "lineage_id", "environment", "is_billable", "route"),
)
"""In the order of the fields of `Dimensions`."""

PLACE: Final = ("seconds", "start", "dimension_id")
"""What tells a cell apart."""

PARTS: Final = (("usage_durations", "bin"), ("usage_reasons", "reason"))
"""Tables of what makes up a cell, and the column that tells parts apart."""

MARKS: Final = ("minute_start", "minute_dimension", "hour_start", "hour_dimension")
"""How far minutes are added to hours, and hours to days: the last cell of each."""

Mark = tuple[int, int]

LAST: Final[Mark] = (2**62, 0)
"""Behind everything: a day is added to nothing."""

Row = tuple[int, int, int, Measures]
"""Length, start, number of the dimensions, and measures of a cell."""


@dataclass(frozen=True, slots=True)
class Step:
    """How cells of one interval become those of the next: the mark that says how far that went."""

    fine: Interval
    coarse: Interval
    start: str
    dimension: str


STEPS: Final = (
    Step(Interval.MINUTE, Interval.HOUR, "minute_start", "minute_dimension"),
    Step(Interval.HOUR, Interval.DAY, "hour_start", "hour_dimension"),
)


def dimension_values(dimensions: Dimensions) -> tuple[Any, ...]:
    """Return the values of `DIMENSIONS`."""
    return (
        *(dimensions.tenant_id, dimensions.owner_id, dimensions.key_id, dimensions.lineage_id),
        *(dimensions.environment, int(dimensions.is_billable), dimensions.route),
    )


def cell_values(seconds: int, start: int, number: int, measures: Measures) -> tuple[Any, ...]:
    """Return the values of `PLACE` and `COUNTS`."""
    return (
        *(seconds, start, number, measures.requests, measures.denied, measures.failed),
        *(measures.upstream_4xx, measures.upstream_5xx, measures.request_bytes),
        *(measures.response_bytes, measures.duration_total, measures.from_browser),
        *(measures.limit_used_max, measures.quota_used_max),
    )


def part_values(rows: Iterable[Row], name: str) -> Iterator[tuple[Any, ...]]:
    """Yield the values of `PLACE`, the part and its count, for the measure called `name`."""
    for seconds, start, number, measures in rows:
        for part, count in getattr(measures, name).items():
            yield seconds, start, number, part, count


Learned = dict[Dimensions, tuple[int, int]]
"""The number of dimensions, and the last day for which it was looked up."""

Wanted = dict[tuple[Any, ...], tuple[Dimensions, int]]
"""By the values of `DIMENSIONS`: those of which the number is not known, and the last day that they are used on."""


class KnownDimensions:
    """Remembers the numbers of dimensions, so that most cells need no look-up.

    By a short name for each: dimensions as such would keep the texts of their key in memory, 0.7 KB, long after it is
    not used any more.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int]] = {}

    def wanted(self, cells: Iterable[Cell]) -> Wanted:
        """Return the dimensions that are new, or that were not used on such a late day."""
        wanted: Wanted = {}
        for cell in cells:
            dimensions, day = cell.dimensions, cell.start - cell.start % Interval.DAY.seconds
            known = self._known.get(_name_of(dimensions))
            if known is None or known[1] < day:
                values = dimension_values(dimensions)
                wanted[values] = (dimensions, max(day, wanted.get(values, (dimensions, 0))[1]))
        return wanted

    def rows(self, cells: Iterable[Cell], learned: Learned, *marks: Mark) -> Iterator[Row]:
        """Yield each cell, and the coarser ones that hold its like already, as the `marks` of `STEPS` say."""
        for cell in cells:
            known = learned.get(cell.dimensions) or self._known[_name_of(cell.dimensions)]
            number, start = known[0], cell.start
            yield Interval.MINUTE.seconds, start, number, cell.measures
            for step, mark in zip(STEPS, marks, strict=True):
                if (start, number) > mark:
                    break
                start = step.coarse.start_of(start)
                yield step.coarse.seconds, start, number, cell.measures

    def keep(self, learned: Learned) -> None:
        """Remember what was learned, once it is stored."""
        if len(self._known) + len(learned) > KNOWN_MAX:
            self._known.clear()
        self._known |= {_name_of(dimensions): known for dimensions, known in learned.items()}

    def clear(self) -> None:
        """Forget everything: some dimensions were removed."""
        self._known.clear()


def _name_of(dimensions: Dimensions) -> bytes:
    # The second version of `marshal` writes what is equal alike, whoever else holds parts of it.
    values = marshal.dumps(dimension_values(dimensions), 2)
    return blake2b(values, digest_size=_NAME_BYTES).digest()


def learned_of(wanted: Wanted, found: Iterable[Sequence[Any]]) -> Learned:
    """Return what rows of a number and the values of `DIMENSIONS` tell about those that were wanted."""
    return {wanted[tuple(row[1:])][0]: (row[0], wanted[tuple(row[1:])][1]) for row in found}
