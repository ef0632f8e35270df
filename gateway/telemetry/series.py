"""The numbers behind the metrics: plain lists that the hot path adds to, within a hard budget.

Knows label sets, buckets and the budget of series. It must not know what is measured, nor any text
format. One thread writes; any thread may read: copying a list is atomic in CPython.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from gateway.telemetry.families import OTHER, Family

Numbers = list[float]
"""Of a counter: [value]. Of a histogram: one count per bucket, the count above all, the sum."""


class Budget:
    """How many series (lines of the exposition) may still be made.

    `make_room` is asked when they do not suffice: it drops what is not needed any more and tells whether it did.
    """

    __slots__ = ("_make_room", "left")

    def __init__(self, series_max: int, make_room: Callable[[], bool] = lambda: False) -> None:
        self.left = series_max
        self._make_room = make_room

    def take(self, series: int) -> bool:
        """Spend `series`, or return False when they are not left."""
        if series > self.left and not (self._make_room() and series <= self.left):
            return False
        self.left -= series
        return True

    def give_back(self, series: int) -> None:
        """Take back series that were dropped."""
        self.left += series


class Series:
    """One accumulating family: its numbers per label set.

    `refused` is told the family's name for each label set that the budget has no room for. The set
    that stands for all others is paid for at once, so that it never fails. Raises `ValueError` when
    the budget does not even hold that.
    """

    __slots__ = ("_budget", "_children", "_cost", "_overflow", "_refused", "_width", "family")

    def __init__(self, family: Family, budget: Budget, refused: Callable[[str], None]) -> None:
        self.family = family
        self._refused = refused
        self._budget = budget
        is_histogram = family.kind == "histogram"
        self._width = len(family.buckets) + 2 if is_histogram else 1
        self._cost = self._width + 1 if is_histogram else 1  # a histogram adds _count and _sum
        self._children: dict[tuple[str, ...], Numbers] = {}
        self._overflow = (OTHER,) * len(family.labels)
        if not budget.take(self._cost):
            raise ValueError(f"series_budget is too small for {family.name}: raise it")
        if not family.labels:
            self._children[()] = self.blank()

    def blank(self) -> Numbers:
        """Return numbers of this family's shape that nobody exports."""
        return [0.0] * self._width

    def child(self, labels: tuple[str, ...]) -> Numbers:
        """Return the numbers of `labels`, made if need be; those of `__other__` without budget."""
        child = self._children.get(labels)
        if child is None:
            if labels != self._overflow and not self._budget.take(self._cost):
                self._refused(self.family.name)
                return self.child(self._overflow)
            child = self._children[labels] = self.blank()
        return child

    def drop(self, position: int, values: Collection[str]) -> None:
        """Drop the label sets that have one of `values` at `position`."""
        for labels in [labels for labels in self._children if labels[position] in values]:
            del self._children[labels]
            self._budget.give_back(self._cost)

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count `value` into its bucket; an upper bound belongs to its own bucket."""
        child = self.child(labels)
        child[bisect_left(self.family.buckets, value)] += 1
        child[-1] += value

    def snapshot(self) -> list[tuple[tuple[str, ...], Numbers]]:
        """Return all label sets with a copy of their numbers."""
        return [(labels, child.copy()) for labels, child in list(self._children.items())]
