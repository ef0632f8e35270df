"""What the supervisor does with the buckets of its workers: quotas in and out, and the estate of the dead.

Knows what has to outlive a process. It must not know the key store, or how processes are started and watched. Every
wait here is bounded: what a stopped worker locks is left for the next call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.limiters.shared.buckets import KIND, MORE, QUOTA, STATE, SavedCount, unpack_period
from gateway.limiters.shared.ledger import Ledger
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.table import Table
from gateway.ports import LimiterUnavailable


class Supervision:
    """The supervisor's hand on a segment."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._table = Table(segment)
        self._words = segment.words
        self._ledgers = [
            Ledger(segment, worker) for worker in range(segment.layout.shape.workers_max)
        ]

    def __len__(self) -> int:
        return len(self._table)

    @property
    def forgotten_early(self) -> int:
        """How many buckets were forgotten that were not full again, by all processes."""
        return self._table.forgotten_early

    def release_all(self, worker: int) -> bool:
        """Give back what `worker` held; it has ended, and its process was waited for.

        False when a lock could not be had: call it again before a worker of this number starts.
        """
        dead = self._ledgers[worker]
        is_whole = True
        for slot, (entries, is_doubtful) in dead.tally().items():
            order = self._table.order_of(slot)
            try:
                self._segment.mutexes.lock(order)
            except LimiterUnavailable:
                is_whole = False
                continue
            try:
                counted = (
                    sum(each.count(slot) for each in self._ledgers if each is not dead)
                    if is_doubtful
                    else self._words[slot + STATE] - len(entries)
                )
                self._words[slot + STATE] = counted
                dead.forget(entries)
            finally:
                self._segment.mutexes.release(order)
        if is_whole:
            dead.clear()
        return is_whole

    def import_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Take over saved counters. Never lowers a count; a period that has ended is ignored.

        Shape: as of `export_counts`. For the start, before there are workers: raises `LimiterUnavailable` when a lock
        can't be had.
        """
        for name, (start, count) in counts.items():
            saved = SavedCount(self._words, name, start, count)
            self._table.identify(saved, f"saved {start} {count}".encode())
            order = self._table.order(saved.bit)
            self._segment.mutexes.lock(order)
            try:
                self._table.open(saved, 0, float(start))
            finally:
                self._segment.mutexes.release(order)

    def export_counts(self) -> dict[str, tuple[int, int]]:
        """Return the quota counters that changed since the last call, of the living and the dead.

        Shape: bucket -> (period start in epoch seconds, count), as `KeyStore.save_counts` takes it. Counts are
        absolute: if saving fails, merge the batch under the next one and try again.
        """
        exported: dict[str, tuple[int, int]] = {}
        for stripe in range(self._segment.layout.stripes):
            changed = list(_places_of_one(self._table.column(stripe, MORE)))
            if changed:
                self._export(stripe, changed, exported)
        return exported

    def _export(
        self, stripe: int, changed: list[int], exported: dict[str, tuple[int, int]]
    ) -> None:
        words = self._words
        order = self._table.order(1 << stripe)
        try:
            self._segment.mutexes.lock(order)
        except LimiterUnavailable:
            return  # they stay marked as changed
        try:
            for index in changed:
                number, at = self._table.number(stripe, index)
                if words[at + KIND] == QUOTA and words[at + MORE]:
                    words[at + MORE] = 0
                    _, start, count = unpack_period(words[at + STATE])
                    exported[self._segment.read_name(number)] = start, count
        finally:
            self._segment.mutexes.release(order)


def _places_of_one(column: list[int]) -> Iterator[int]:
    """Yield where `column` is 1, at the speed of `list.index`: a column may have some hundred thousand entries."""
    place = -1
    while True:
        try:
            place = column.index(1, place + 1)
        except ValueError:
            return
        yield place
