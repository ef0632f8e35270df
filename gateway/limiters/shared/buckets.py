"""Buckets whose state lies in shared memory: fetched before, put back after, moved by `domain.bucket`.

Knows how the state of each kind is written so that a death between any two stores admits nothing more. It must not
know how slots are found, locks, or the arithmetic of a bucket. Every method is called under the lock of the slot's
stripe, and on a slot that carries the bucket's stamp.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import ClassVar, Final

from gateway.domain.bucket import REFUSED, InFlight, PeriodCounter, TokenBucket
from gateway.domain.limits import Concurrency, Quota, Rate, Rule
from gateway.domain.periods import Period, period_bounds
from gateway.limiters.shared.ledger import Ledger

STAMP, NAME_LOW, NAME_HIGH, NEXT, KIND, LIMIT, SPAN, BURST, STATE, MORE = range(10)
"""The words of a slot. `STAMP` hashes the bucket's name and rule: it alone says that a slot may be drawn on."""

FREE, RATE, QUOTA, IN_FLIGHT, TORN = range(5)
"""The kinds of slots. `TORN` is a rate that was being adapted to a changed rule: what it had left is not known."""

PINNED: Final = 2.0
"""Use of a bucket that should not be forgotten: its count is not saved yet."""

_HALF_BITS: Final = 62
_HALF: Final = (1 << _HALF_BITS) - 1

_COUNT_BITS: Final = 40
COUNT_MAX: Final = (1 << _COUNT_BITS) - 1
"""Limits end at 10^12, which is less."""

_HOUR_BITS: Final = 21  # periods begin with an hour; the last known one is in 2199
_HOUR: Final = 3600
_PERIODS: Final[tuple[Period, ...]] = ("hour", "day", "month")
_UNKNOWN: Final = 3
"""The period of a saved count that no rule has asked for yet."""


class Placed(ABC):
    """What can lie in a slot: whose it is, and where it lies once it was found.

    Shapes: `at` is the first word of the slot, 0 until it was found; there lies no stamp.
    """

    __slots__ = ("at", "bit", "high", "low", "more", "name", "stamp", "state", "words")

    kind: ClassVar[int]

    def __init__(self, words: memoryview[int], name: str) -> None:
        self.words = words
        self.name = name
        self.low = self.high = self.stamp = self.bit = 0
        self.at = self.state = self.more = 0

    def place(self, at: int) -> None:
        """Lie in the slot that begins at word `at`."""
        self.at = at
        self.state = at + STATE
        self.more = at + MORE

    @abstractmethod
    def begin(self, ticks: int, now: float) -> None:
        """Write what is new into a slot that nobody can find."""

    @abstractmethod
    def adopt(self, ticks: int, now: float) -> None:
        """Adapt what lies in the slot, which carries no stamp. Never a refill."""


class SharedBucket(Placed):
    """A bucket of any kind, under a rule."""

    __slots__ = ("rule",)

    is_held: ClassVar[bool] = False

    def __init__(self, words: memoryview[int], name: str, rule: Rule) -> None:
        super().__init__(words, name)
        self.rule = rule

    @abstractmethod
    def draw(self, ticks: int, now: float) -> int:
        """Charge one request; return the new level or `REFUSED`."""

    @abstractmethod
    def undo(self) -> None:
        """Take back the draw that this process made under the lock that it still has."""

    @abstractmethod
    def level(self, ticks: int, now: float) -> int:
        """Return the level."""

    @abstractmethod
    def wait_seconds(self, ticks: int, now: float) -> int:
        """Return the seconds after which a draw succeeds."""

    @abstractmethod
    def used(self, ticks: int, now: float) -> float:
        """Return the share in use: 0 is as good as new, from `PINNED` on better kept, infinity must be."""


class SharedRate(SharedBucket):
    """A token bucket. Its debt's end takes two words; what is written first errs on the side of more debt."""

    __slots__ = ("_bucket",)

    kind = RATE

    def __init__(self, words: memoryview[int], name: str, rule: Rate) -> None:
        super().__init__(words, name, rule)
        self._bucket = TokenBucket(rule)

    def draw(self, ticks: int, _now: float) -> int:
        bucket, words = self._bucket, self.words
        top = words[self.more]
        before = bucket.paid_at = (
            words[self.state] + (top << _HALF_BITS) if top else words[self.state]
        )
        level = bucket.draw(ticks)
        paid_at = bucket.paid_at
        if paid_at != before:
            if paid_at >> _HALF_BITS == top:
                words[self.state] = paid_at & _HALF
            else:
                self._store(paid_at)
        return level

    def undo(self) -> None:
        bucket = self._load()
        bucket.undo()
        self._store(bucket.paid_at)

    def level(self, ticks: int, _now: float) -> int:
        return self._load().level(ticks)

    def wait_seconds(self, ticks: int, _now: float) -> int:
        return self._load().wait_seconds(ticks)

    def used(self, ticks: int, now: float) -> float:
        return self._load().used(ticks, now)

    def begin(self, _ticks: int, _now: float) -> None:
        self._write_rule()
        self.words[self.state] = self.words[self.more] = 0

    def adopt(self, ticks: int, _now: float) -> None:
        words, at, rule = self.words, self.at, self._bucket.rule
        drained = ticks * rule.refill + rule.capacity
        if words[at + KIND] == TORN:
            paid_at = drained
        else:
            old = TokenBucket(_rate(words[at + LIMIT], words[at + SPAN], words[at + BURST]))
            old.paid_at = self._load().paid_at
            old.adopt(rule, ticks)
            paid_at = old.paid_at
        words[at + KIND] = TORN
        self._write_rule()
        self._store(paid_at)
        words[at + KIND] = RATE

    def _write_rule(self) -> None:
        words, at, rule = self.words, self.at, self._bucket.rule
        words[at + LIMIT] = rule.limit
        words[at + SPAN] = rule.window_seconds
        words[at + BURST] = rule.burst

    def _load(self) -> TokenBucket:
        bucket, words = self._bucket, self.words
        bucket.paid_at = words[self.state] + (words[self.more] << _HALF_BITS)
        return bucket

    def _store(self, paid_at: int) -> None:
        words = self.words
        top = paid_at >> _HALF_BITS
        if top > words[self.more]:
            words[self.more] = top
            words[self.state] = paid_at & _HALF
        else:
            words[self.state] = paid_at & _HALF
            words[self.more] = top


def _rate(limit: int, window_seconds: int, burst: int) -> Rate:
    return Rate(name="", limit=limit, window_seconds=window_seconds, burst=burst)


class SharedQuota(SharedBucket):
    """A counter of a period: one word holds the period and the count. `MORE` tells that it is not saved yet."""

    __slots__ = ("_base", "_counter", "_word")

    kind = QUOTA

    def __init__(self, words: memoryview[int], name: str, rule: Quota) -> None:
        super().__init__(words, name, rule)
        self._counter = PeriodCounter(rule, name, 0.0, _nobody)
        self._counter.is_saved = False  # saving is told by a word that all processes see
        self._base = self._word = 0

    def draw(self, ticks: int, now: float) -> int:
        words, counter = self.words, self._counter
        word = words[self.state]
        if word != self._word:
            self._read(word)
        start = counter.start
        level = counter.draw(ticks, now)
        if counter.start != start:
            self._base = pack_period(self._counter.rule.period, counter.start)
        elif level == REFUSED:
            return REFUSED
        self._write()
        return level

    def undo(self) -> None:
        self._load().undo()
        self._write()

    def level(self, ticks: int, now: float) -> int:
        return self._load().level(ticks, now)

    def wait_seconds(self, ticks: int, now: float) -> int:
        return self._load().wait_seconds(ticks, now)

    def used(self, ticks: int, now: float) -> float:
        if self.words[self.more]:
            return PINNED
        return self._load().used(ticks, now)

    def begin(self, _ticks: int, now: float) -> None:
        words, at, rule = self.words, self.at, self._counter.rule
        words[at + LIMIT] = rule.limit
        words[self.more] = 0
        words[self.state] = pack_period(rule.period, period_bounds(rule.period, now)[0])

    def adopt(self, _ticks: int, now: float) -> None:
        words, rule = self.words, self._counter.rule
        word = words[self.state]
        period, start, count = unpack_period(word)
        counter = self._counter
        if period is None:
            counter.start, counter.end = period_bounds(rule.period, now)
            counter.count = 0
            counter.restore(start, count)
        else:
            old = Quota(name="", limit=1, period=period)
            counter.rule = old
            counter.start, counter.end = start, period_bounds(period, start)[1]
            counter.count = count
            counter.adopt(rule, now)
        words[self.at + LIMIT] = rule.limit
        self._base = pack_period(rule.period, counter.start)
        self._word = word
        if self._base + counter.count != word:
            self._write()

    def _load(self) -> PeriodCounter:
        word = self.words[self.state]
        if word != self._word:
            self._read(word)
        return self._counter

    def _read(self, word: int) -> None:
        counter = self._counter
        _, start, count = unpack_period(word)
        if start != counter.start or word - count != self._base:
            counter.start, counter.end = start, period_bounds(counter.rule.period, start)[1]
            self._base = word - count
        counter.count = count
        self._word = word

    def _write(self) -> None:
        words = self.words
        if not words[self.more]:
            words[self.more] = 1
        self._word = words[self.state] = self._base + self._counter.count


def _nobody(_: PeriodCounter) -> None:
    """Nobody is told."""


def pack_period(period: Period | None, start: int) -> int:
    """Return the word of a count of 0 in the period that begins at `start`; None is a period not known yet."""
    code = _UNKNOWN if period is None else _PERIODS.index(period)
    return (code << _HOUR_BITS | start // _HOUR) << _COUNT_BITS


def unpack_period(word: int) -> tuple[Period | None, int, int]:
    """Return period, start and count of a quota's word."""
    code, hour = divmod(word >> _COUNT_BITS, 1 << _HOUR_BITS)
    return None if code == _UNKNOWN else _PERIODS[code], hour * _HOUR, word & COUNT_MAX


class SavedCount(Placed):
    """A count that was saved, which waits for the rule that asks for it."""

    __slots__ = ("_count", "_start")

    kind = QUOTA

    def __init__(self, words: memoryview[int], name: str, start: int, count: int) -> None:
        super().__init__(words, name)
        self._start = start
        self._count = min(count, COUNT_MAX)

    def begin(self, _ticks: int, _now: float) -> None:
        self.words[self.at + LIMIT] = self.words[self.more] = 0
        self.words[self.state] = pack_period(None, self._start) + self._count

    def adopt(self, ticks: int, now: float) -> None:
        """Never lowers a count; a period that has ended is ignored."""
        word = self.words[self.state]
        period, start, count = unpack_period(word)
        ends = start + 1 if period is None else period_bounds(period, start)[1]
        if start <= self._start < ends:
            self.words[self.state] = word - count + max(count, self._count)
        elif period is None and start < self._start:
            self.begin(ticks, now)


class SharedInFlight(SharedBucket):
    """A gauge: one word counts the requests of all workers, the ledger of each says which are its own."""

    __slots__ = ("_gauge", "_ledger")

    kind = IN_FLIGHT
    is_held = True

    def __init__(
        self, words: memoryview[int], name: str, rule: Concurrency, ledger: Ledger
    ) -> None:
        super().__init__(words, name, rule)
        self._gauge = InFlight(rule)
        self._ledger = ledger

    def draw(self, _ticks: int, _now: float) -> int:
        gauge, words = self._gauge, self.words
        gauge.count = words[self.state]
        level = gauge.draw()
        if level != REFUSED:
            ledger = self._ledger
            entry = ledger.begin(self.at)
            words[self.state] = level
            ledger.confirm(entry, self.name)
        return level

    def undo(self) -> None:
        entry = self._ledger.take(self.name)
        if entry is not None:
            end_entry(self.words, self._ledger, entry)

    def level(self, _ticks: int, _now: float) -> int:
        return self._load().level()

    def wait_seconds(self, _ticks: int, _now: float) -> int:
        return self._load().wait_seconds()

    def used(self, _ticks: int, _now: float) -> float:
        return inf if self.words[self.state] else 0.0

    def begin(self, _ticks: int, _now: float) -> None:
        self.words[self.at + LIMIT] = self._gauge.rule.limit
        self.words[self.state] = 0

    def adopt(self, _ticks: int, _now: float) -> None:
        self.words[self.at + LIMIT] = self._gauge.rule.limit

    def _load(self) -> InFlight:
        self._gauge.count = self.words[self.state]
        return self._gauge


def end_entry(words: memoryview[int], ledger: Ledger, entry: int) -> None:
    """End one request: its bucket counts one less, and `entry` is free."""
    at = ledger.slot(entry)
    ledger.give_back(entry)
    words[at + STATE] -= 1
    ledger.end(entry)
