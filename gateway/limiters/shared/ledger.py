"""What one worker holds: an entry per request in flight and concurrency bucket, in shared memory.

Knows how to note an entry so that a death at any instant leaves no doubt about what the dead worker held. It must not
know buckets.

An entry is a word: 0 is free, `n` says that the bucket in the slot at word `n` counts this entry, and `-n` that the
bucket is being changed at this moment. All entries of a slot change under the lock of its stripe.
"""

from __future__ import annotations

from gateway.limiters.shared.segment import Segment
from gateway.ports import LimiterUnavailable


class Ledger:
    """The entries of one worker. Only that worker writes them, until it is dead."""

    def __init__(self, segment: Segment, worker: int) -> None:
        shape = segment.layout.shape
        if not 0 <= worker < shape.workers_max:
            raise ValueError(f"worker {worker}: this segment has room for {shape.workers_max}")
        self._words = segment.words
        self._mark = segment.layout.first_ledger + worker * segment.layout.ledger_words
        self._first = self._mark + 1
        self._entries_max = shape.holdings_max
        self._free: list[int] = []
        self._by_name: dict[str, list[int]] = {}

    @property
    def used(self) -> int:
        """How many entries were ever in use at the same time: those behind are 0."""
        return self._words[self._mark]

    def begin(self, slot: int) -> int:
        """Return an entry for `slot`, which is about to count it. Raises `LimiterUnavailable` when none is left."""
        words = self._words
        if self._free:
            entry = self._free.pop()
        else:
            used = words[self._mark]
            if used >= self._entries_max:
                raise LimiterUnavailable(
                    f"a worker can hold {self._entries_max} concurrency claims at the same time"
                )
            words[self._mark] = used + 1
            entry = self._first + used
        words[entry] = -slot
        return entry

    def confirm(self, entry: int, name: str) -> None:
        """The slot counts the entry; `take` finds it by the name of its bucket."""
        words = self._words
        words[entry] = -words[entry]
        held = self._by_name.get(name)
        if held is None:
            self._by_name[name] = [entry]
        else:
            held.append(entry)

    def take(self, name: str) -> int | None:
        """Return an entry of the bucket called `name`, for `slot`, `give_back` and `end`; None when there is none."""
        held = self._by_name.get(name)
        if held is None:
            return None
        entry = held.pop()
        if not held:
            del self._by_name[name]
        return entry

    def slot(self, entry: int) -> int:
        """Return the slot that counts `entry`."""
        return self._words[entry]

    def give_back(self, entry: int) -> None:
        """The slot is about to count the entry no longer."""
        self._words[entry] = -self._words[entry]

    def end(self, entry: int) -> None:
        """The slot counts the entry no longer."""
        self._words[entry] = 0
        self._free.append(entry)

    # ---- what the supervisor does with the ledger of the dead

    def tally(self) -> dict[int, tuple[list[int], bool]]:
        """Return slot -> (its entries, whether it was being changed)."""
        words = self._words[self._first : self._first + self.used].tolist()
        found: dict[int, tuple[list[int], bool]] = {}
        for entry, word in enumerate(words, self._first):
            if word:
                entries, is_doubtful = found.get(abs(word), ([], False))
                entries.append(entry)
                found[abs(word)] = entries, is_doubtful or word < 0
        return found

    def count(self, slot: int) -> int:
        """Return how many entries `slot` counts, those in doubt included."""
        words = self._words[self._first : self._first + self.used].tolist()
        return words.count(slot) + words.count(-slot)

    def forget(self, entries: list[int]) -> None:
        """Free `entries`, which no slot counts any longer."""
        for entry in entries:
            self._words[entry] = 0

    def clear(self) -> None:
        """Hand the ledger, all entries of which are free, to the next worker of this number."""
        self._words[self._mark] = 0
