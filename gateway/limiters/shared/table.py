"""Finds buckets by name in a segment, makes them, and forgets them when there is no room.

Knows slots, chains and stripes. It must not know what a request is or how a bucket moves.

A slot is found through the chain of its name's hash. Whoever found it keeps its place and only looks whether it still
carries the stamp of this name and rule, which it loses before anything else about it changes. The order of stores is
the whole protection against a death in between:

- a new slot is filled before its chain leads to it; one that no chain leads to is reused when its turn comes;
- a slot that is forgotten loses its stamp, then its place in the chain, then its kind; without a stamp but in the chain
  it is taken up again by the next who looks for it.

Buckets of one owner share a stripe, so that a request with several limits of one key takes one lock.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from struct import unpack
from typing import Final

from gateway.domain.limits import Quota, Rate, Rule
from gateway.limiters.shared.buckets import (
    BURST,
    FREE,
    IN_FLIGHT,
    KIND,
    LIMIT,
    MORE,
    NAME_HIGH,
    NAME_LOW,
    NEXT,
    PINNED,
    QUOTA,
    SPAN,
    STAMP,
    STATE,
    TORN,
    Placed,
    SharedBucket,
    SharedInFlight,
    SharedQuota,
    SharedRate,
    unpack_period,
)
from gateway.limiters.shared.ledger import Ledger
from gateway.limiters.shared.segment import (
    FORGOTTEN,
    HAND,
    SLOT_WORDS,
    STRIPE_WORDS,
    USED,
    Segment,
)
from gateway.ports import LimiterUnavailable

_INSPECTED: Final = 8
"""How many of the oldest buckets are looked at to make room: no request pays for a whole sweep."""

_KNOWN_MAX: Final = 32_768
"""Places that a process remembers, twice: 20 MB at most. To find a bucket again takes 5 us."""

_ORDERS_MAX: Final = 4_096
_LENSES_MAX: Final = 1_024
_OLD_SECONDS: Final = 32 * 86_400  # no period is longer
_STAMP_MASK: Final = (1 << 62) - 1


class Table:
    """The buckets of a segment, as one process sees them. `ledger` is needed for buckets of concurrency."""

    def __init__(self, segment: Segment, ledger: Ledger | None = None) -> None:
        self.segment = segment
        self.words = segment.words
        self._layout = segment.layout
        self._ledger = ledger
        self._seed = segment.seed
        self.known: dict[str, SharedBucket] = {}
        self._known_before: dict[str, SharedBucket] = {}
        self._orders: dict[int, tuple[int, ...]] = {}
        self._lenses: dict[tuple[int, ...], SharedBucket] = {}

    def __len__(self) -> int:
        return sum(
            kind != FREE
            for stripe in range(self._layout.stripes)
            for kind in self.column(stripe, KIND)
        )

    @property
    def forgotten_early(self) -> int:
        """How many buckets were forgotten that were not full again, by all processes."""
        return sum(
            self.words[self._stripe(number) + FORGOTTEN] for number in range(self._layout.stripes)
        )

    def column(self, stripe: int, word: int) -> list[int]:
        """Return one word of every slot of a stripe that was ever used."""
        first = self._layout.first_slot + stripe * self._layout.slots * SLOT_WORDS
        end = first + self.words[self._stripe(stripe) + USED] * SLOT_WORDS
        return self.words[first + word : end + word : SLOT_WORDS].tolist()

    # ---- places that are remembered

    def bucket(self, name: str, rule: Rule) -> SharedBucket:
        """Return the bucket called `name` under `rule`; whether there is a slot of it tells `open` or `find`."""
        bucket = self.known.get(name)
        if bucket is not None and bucket.rule is rule:
            return bucket
        bucket = self._known_before.get(name)
        if bucket is None or bucket.rule is not rule:
            bucket = self._make(name, rule)
        if len(self.known) >= _KNOWN_MAX:
            self.known, self._known_before = {}, self.known
        self.known[name] = bucket
        return bucket

    def order(self, mask: int) -> tuple[int, ...]:
        """Return the mutexes of the stripes whose bits are set in `mask`, in the order of everybody."""
        order = self._orders.get(mask)
        if order is None:
            if len(self._orders) >= _ORDERS_MAX:
                self._orders.clear()
            stripes = (stripe for stripe in range(self._layout.stripes) if mask >> stripe & 1)
            order = self._orders[mask] = tuple(self.segment.mutex(stripe) for stripe in stripes)
        return order

    def order_of(self, at: int) -> tuple[int, ...]:
        """Return the mutex of the stripe of the slot at `at`."""
        number = (at - self._layout.first_slot) // SLOT_WORDS
        return self.order(1 << number // self._layout.slots)

    def number(self, stripe: int, index: int) -> tuple[int, int]:
        """Return number and place of the slot at `index` of a stripe."""
        number = stripe * self._layout.slots + index
        return number, self._layout.first_slot + number * SLOT_WORDS

    def _make(self, name: str, rule: Rule) -> SharedBucket:
        bucket = self._kind(name, rule)
        self.identify(bucket, repr(rule).encode())
        return bucket

    def identify(self, bucket: Placed, rule: bytes) -> None:
        """Work out where `bucket` may lie, and the stamp of a slot that holds it under `rule`."""
        encoded = bucket.name.encode()
        digest = blake2b(
            encoded, digest_size=16, key=self._seed, salt=bytes((bucket.kind,))
        ).digest()
        bucket.low, bucket.high = unpack("<qq", digest)
        stamp = blake2b(digest + rule, digest_size=8, key=self._seed).digest()
        bucket.stamp = 1 + (int.from_bytes(stamp, "little") & _STAMP_MASK)
        owner = blake2b(encoded.rsplit(b":", 2)[0], digest_size=8, key=self._seed).digest()
        bucket.bit = 1 << int.from_bytes(owner, "little") % self._layout.stripes

    def _kind(self, name: str, rule: Rule) -> SharedBucket:
        if isinstance(rule, Rate):
            return SharedRate(self.words, name, rule)
        if isinstance(rule, Quota):
            return SharedQuota(self.words, name, rule)
        if self._ledger is None:
            raise ValueError(f"bucket {name!r}: concurrency is counted for workers only")
        return SharedInFlight(self.words, name, rule, self._ledger)

    # ---- under the lock of the bucket's stripe

    def open(self, bucket: Placed, ticks: int, now: float) -> None:
        """Lead `bucket` to its slot, which follows its rule then; make one if there is none.

        Raises `LimiterUnavailable` when every slot is held by requests in flight.
        """
        if not self.find(bucket, ticks, now):
            self._insert(bucket, ticks, now)

    def find(self, bucket: Placed, ticks: int, now: float) -> bool:
        """Lead `bucket` to its slot, which follows its rule then; False when there is none."""
        words, low = self.words, bucket.low
        at = words[self._head(bucket.bit.bit_length() - 1, low)]
        while at:
            if words[at + NAME_LOW] == low and words[at + NAME_HIGH] == bucket.high:
                bucket.place(at)
                if words[at + STAMP] != bucket.stamp:
                    words[at + STAMP] = 0
                    bucket.adopt(ticks, now)
                    words[at + STAMP] = bucket.stamp
                return True
            at = words[at + NEXT]
        return False

    def _insert(self, bucket: Placed, ticks: int, now: float) -> None:
        words = self.words
        stripe = bucket.bit.bit_length() - 1
        at = self._take(stripe, ticks, now)
        bucket.place(at)
        words[at + NAME_LOW] = bucket.low
        words[at + NAME_HIGH] = bucket.high
        bucket.begin(ticks, now)
        if bucket.kind == QUOTA:
            self.segment.write_name((at - self._layout.first_slot) // SLOT_WORDS, bucket.name)
        words[at + KIND] = bucket.kind
        head = self._head(stripe, bucket.low)
        words[at + NEXT] = words[head]
        words[head] = at
        words[at + STAMP] = bucket.stamp

    def _take(self, stripe: int, ticks: int, now: float) -> int:
        """Return a slot that no chain leads to."""
        words, base = self.words, self._stripe(stripe)
        used = words[base + USED]
        if used >= self._layout.bound:
            at, share = self._least(stripe, _INSPECTED, ticks, now)
            if share >= PINNED and used >= self._layout.slots:
                at, share = self._least(stripe, used, ticks, now)
                if share == inf:
                    raise LimiterUnavailable(
                        f"no room for another bucket: {used} are held by requests in flight"
                    )
            if share < PINNED or used >= self._layout.slots:
                self._forget(stripe, at, is_early=share > 0)
                return at
        words[base + USED] = used + 1
        return self.number(stripe, used)[1]

    def _least(self, stripe: int, looks: int, ticks: int, now: float) -> tuple[int, float]:
        """Return the least used of the next buckets and its use; the next look begins behind them."""
        words, base = self.words, self._stripe(stripe)
        used, hand = words[base + USED], words[base + HAND]
        least, least_used = 0, inf
        for _ in range(min(looks, used)):
            hand = hand if hand < used else 0
            at = self.number(stripe, hand)[1]
            hand += 1
            share = self._share(at, ticks, now)
            if share < least_used:
                least, least_used = at, share
            if share == 0:
                break
        words[base + HAND] = hand
        return least, least_used

    def _share(self, at: int, ticks: int, now: float) -> float:
        words = self.words
        kind = words[at + KIND]
        if kind == FREE:
            return 0.0
        if kind == IN_FLIGHT:
            return inf if words[at + STATE] else 0.0
        if kind == TORN:
            return 1.0
        if kind == QUOTA and words[at + MORE]:
            return PINNED
        lens = self._lens(at, kind)
        if lens is None:
            return 1.0 if now < unpack_period(words[at + STATE])[1] + _OLD_SECONDS else 0.0
        lens.place(at)
        return lens.used(ticks, now)

    def _lens(self, at: int, kind: int) -> SharedBucket | None:
        """Return a bucket to look at a slot with, under the rule that the slot tells; None when it knows none."""
        words = self.words
        period = unpack_period(words[at + STATE])[0] if kind == QUOTA else None
        if kind == QUOTA and period is None:
            return None
        limit = max(1, words[at + LIMIT])
        rule: Rule
        if period is not None:
            rule = Quota(name="", limit=limit, period=period)
            key: tuple[int, ...] = (limit, ord(period[0]))
        else:
            key = (limit, words[at + SPAN], words[at + BURST])
            rule = Rate(name="", limit=limit, window_seconds=key[1], burst=key[2])
        lens = self._lenses.get(key)
        if lens is None:
            if len(self._lenses) >= _LENSES_MAX:
                self._lenses.clear()
            lens = self._lenses[key] = self._kind("", rule)
        return lens

    def _forget(self, stripe: int, at: int, *, is_early: bool) -> None:
        words = self.words
        if is_early:
            words[self._stripe(stripe) + FORGOTTEN] += 1
        words[at + STAMP] = 0
        place = self._head(stripe, words[at + NAME_LOW])
        while (here := words[place]) not in (0, at):
            place = here + NEXT
        if here:
            words[place] = words[at + NEXT]
        words[at + KIND] = FREE

    def _stripe(self, stripe: int) -> int:
        return self._layout.first_stripe + stripe * STRIPE_WORDS

    def _head(self, stripe: int, low: int) -> int:
        layout = self._layout
        return layout.first_head + stripe * layout.heads + (low & layout.heads - 1)
