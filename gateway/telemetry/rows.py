"""Where the numbers of one process live: rows that the hot path adds to, each defined once.

Knows the shape of a row and what its definition says. It must not know what a scrape makes of them. One thread of one
process writes; others read, without a lock: a number that is read while it is added to is the old one or the new one.

A definition is a tuple of texts. That of all requests with the same labels begins with `REQUESTS`, any other with the
name of its family; the labels follow. An empty label means that the family does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from gateway.telemetry.families import FAMILIES, OVERHEAD_BUCKETS, REQUEST_BUCKETS

Definition = tuple[str, ...]

Row: TypeAlias = "list[float] | memoryview[float]"
"""Numbers that may be added to in place."""

REQUESTS: Final = "*requests"

UPSTREAM_AT: Final = len(REQUEST_BUCKETS) + 1
"""Where the counts of upstream times begin; before them stand those of the whole request."""

OVERHEAD_AT: Final = 2 * UPSTREAM_AT
UPSTREAM_SUM: Final = OVERHEAD_AT + len(OVERHEAD_BUCKETS) + 1
OVERHEAD_SUM: Final = UPSTREAM_SUM + 1
REQUEST_BYTES: Final = UPSTREAM_SUM + 2
RESPONSE_BYTES: Final = UPSTREAM_SUM + 3
REQUESTS_WIDTH: Final = UPSTREAM_SUM + 4
"""Requests are not counted once more: each is in one bucket. Nor is their whole time summed: it is the two sums."""

REQUESTS_LABELS: Final = (
    *("route", "method", "code", "source", "reason"),
    *("policy", "limit_outcome", "upstream", "upstream_outcome"),
)
"""What the texts of a request row mean, behind `REQUESTS`."""

WIDTHS: Final = {REQUESTS: REQUESTS_WIDTH} | {
    family.name: len(family.buckets) + 2 if family.kind == "histogram" else 1 for family in FAMILIES
}
"""Numbers of a row by the first text of its definition. Of a histogram: per bucket, above all, the sum."""


class Rows(Protocol):
    """Where a process keeps the rows that it adds to."""

    def define(self, definition: Definition) -> Row | None:
        """Return a new row of zeros for `definition`, None when there is no room."""

    def turn(self) -> bool:
        """Begin anew with no rows; those there are stay to be read, but are added to no more.

        Returns False, and does nothing, while the rows of the last turn are still there.
        """


class Reader(Protocol):
    """Where rows are read from. Its methods do not run at the same time as each other."""

    def read(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return all rows with a copy of their numbers, those from before a turn as well."""

    def take(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return the rows from before the turn and forget them, which makes room for the next; none if too early."""


class ListRows:
    """Implements `Rows` and `Reader` in the memory of one process."""

    __slots__ = ("_banks", "_left", "_max")

    def __init__(self, rows_max: int) -> None:
        self._left = self._max = rows_max
        # Both in one attribute: whoever reads sees them as before a turn or as after it.
        self._banks: tuple[list[tuple[Definition, list[float]]], ...] = ([], [])

    def define(self, definition: Definition) -> Row | None:
        """Return a new row (`Rows`)."""
        if not self._left:
            return None
        self._left -= 1
        row = [0.0] * WIDTHS[definition[0]]
        self._banks[1].append((definition, row))
        return row

    def turn(self) -> bool:
        """Begin anew (`Rows`)."""
        before, rows = self._banks
        if before:
            return False
        self._banks = (rows, [])
        self._left = self._max
        return True

    def read(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return all rows (`Reader`)."""
        return [(what, row.copy()) for bank in self._banks for what, row in bank.copy()]

    def take(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return the rows from before the turn (`Reader`)."""
        before, rows = self._banks
        self._banks = ([], rows)
        return [(what, row) for what, row in before]
