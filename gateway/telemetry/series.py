"""What is exported of each accumulating family, within a hard budget.

Knows label sets and the budget of series. It must not know what is measured, where numbers come from, nor any text
format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.telemetry.families import Family
from gateway.telemetry.label_values import NAMED_LABELS, OTHER, RESERVED_NAMES

Labels = tuple[str, ...]

Numbers = list[float]
"""Of a counter: [value]. Of a histogram: one count per bucket, the count above all, the sum."""


class Budget:
    """How many series (lines of the exposition) may still be made.

    `make_room` is asked when they do not suffice: it drops what is not needed any more and tells whether it did. It is
    not asked again before something has changed (`may_have_room`).
    """

    __slots__ = ("_make_room", "left", "may_have_room")

    def __init__(self, series_max: int, make_room: Callable[[], bool] = lambda: False) -> None:
        self.left = series_max
        self.may_have_room = True
        self._make_room = make_room

    def take(self, series: int) -> bool:
        """Spend `series`, or return False when they are not left."""
        if series > self.left:
            asked, self.may_have_room = self.may_have_room, False
            if not (asked and self._make_room() and series <= self.left):
                return False
        self.left -= series
        self.may_have_room = True
        return True

    def give_back(self, series: int) -> None:
        """Take back series that were dropped."""
        self.left += series


class Series:
    """One accumulating family: the label sets that are exported, with the numbers that are settled.

    Settled is what no process counts any more. `refused` is told the family's name for each label set that the budget
    has no room for. The set that stands for all others is paid for at once, so that it never fails. Raises `ValueError`
    when the budget does not even hold that.
    """

    __slots__ = (
        *("_budget", "_children", "_cost", "_overflow", "_peaks", "_refused", "_tell_refused"),
        *("_width", "family"),
    )

    def __init__(self, family: Family, budget: Budget, refused: Callable[[str], None]) -> None:
        self.family = family
        self._tell_refused = refused
        self._budget = budget
        is_histogram = family.kind == "histogram"
        self._width = len(family.buckets) + 2 if is_histogram else 1
        self._cost = self._width + 1 if is_histogram else 1  # a histogram adds _count and _sum
        self._children: dict[Labels, Numbers] = {}
        self._peaks: dict[Labels, float] = {}
        self._refused: set[Labels] = set()
        self._overflow = (OTHER,) * len(family.labels)
        if not budget.take(self._cost):
            raise ValueError(f"series_budget is too small for {family.name}: raise it")
        if not family.labels:
            self._children[()] = [0.0] * self._width

    def admit(self, labels: Labels) -> Labels:
        """Return the label set that `labels` are exported as: those of `__other__` without budget."""
        if labels in self._children:
            return labels
        if labels != self._overflow and not self._budget.take(self._cost):
            if labels not in self._refused:
                self._refused.add(labels)
                self._tell_refused(self.family.name)
            return self.admit(self._overflow)
        self._children[labels] = [0.0] * self._width
        return labels

    def settle(self, labels: Labels, numbers: Sequence[float]) -> None:
        """Add numbers for good."""
        _add(self._children[self.admit(labels)], numbers)

    def gone(self, declared: Sequence[frozenset[str]]) -> set[Labels]:
        """Return the label sets with a name that is not in `declared` (in the order of `NAMED_LABELS`)."""
        at = [
            (position, declared[NAMED_LABELS.index(label)])
            for position, label in enumerate(self.family.labels)
            if label in NAMED_LABELS
        ]
        return {
            labels
            for labels in (*self._children, *self._refused)
            for position, names in at
            if labels[position] not in names and labels[position] not in RESERVED_NAMES
        }

    def drop(self, gone: Iterable[Labels]) -> None:
        """Drop label sets."""
        for labels in gone:
            self._refused.discard(labels)
            self._peaks.pop(labels, None)
            if self._children.pop(labels, None) is not None:
                self._budget.give_back(self._cost)

    def with_live(self, live: Iterable[tuple[Labels, Sequence[float]]]) -> dict[Labels, Numbers]:
        """Return the numbers to export: what is settled, and what processes go on counting.

        Label sets of `live` that were admitted and then dropped to make room are left out.
        """
        found = {labels: numbers.copy() for labels, numbers in self._children.items()}
        for labels, numbers in live:
            if labels in found:
                _add(found[labels], numbers)
        if self.family.kind == "histogram":
            for labels, numbers in found.items():
                # Settling adds the same seconds in another order: rounding must not make a sum go back.
                numbers[-1] = self._peaks[labels] = max(numbers[-1], self._peaks.get(labels, 0.0))
        return found


def _add(numbers: Numbers, more: Sequence[float]) -> None:
    for position, number in enumerate(more):
        numbers[position] += number
