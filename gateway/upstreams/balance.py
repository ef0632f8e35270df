"""Which of several targets gets the next request.

Knows names, weights and how many requests each has open; randomness is passed in. It must not know connections or
health: a picker is made anew whenever the targets that should get requests, or their weights, change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import reduce
from hashlib import blake2b
from math import ceil, gcd
from typing import Final, Generic, Protocol, TypeVar

TURNS_MAX: Final = 1000
"""The longest cycle of turns: weights are kept to a thousandth."""

POINTS: Final = 160
"""Points on the ring for a weight of 1: shares then differ by about a tenth."""

POINTS_MAX: Final = 65536

_POINT_BYTES: Final = 8
_POINTS_PER_DIGEST: Final = blake2b.MAX_DIGEST_SIZE // _POINT_BYTES


class Candidate(Protocol):
    """What can be picked. `outstanding` is the number of requests that it has open."""

    @property
    def label(self) -> str: ...

    @property
    def outstanding(self) -> int: ...


T = TypeVar("T", bound=Candidate)
Picked = TypeVar("Picked", bound=Candidate, covariant=True)


class Picker(Protocol[Picked]):
    """A way of choosing among at least one target."""

    def pick(self, affinity: bytes) -> Picked:
        """Return who gets the next request; `affinity` is what it is known by."""
        ...

    def pick_other(self, affinity: bytes, tried: Collection[str]) -> Picked | None:
        """Return one whose label is not in `tried`, or None."""
        ...


def turns(weights: Sequence[float]) -> list[int]:
    """Return a cycle of indices in which each occurs in proportion to its weight, spread evenly.

    Turn k of a weight w is due at (k + 1/2) / w (the order of Webster's method of apportionment), so no stretch of the
    cycle favours anybody by more than a turn or so.
    """
    exact = [max(1, round(weight * 100)) for weight in weights]
    common = reduce(gcd, exact)
    scale = min(1.0, TURNS_MAX * common / sum(exact))
    counts = [max(1, round(each / common * scale)) for each in exact]
    due = ((k + 0.5) / count for count in counts for k in range(count))
    owners = (index for index, count in enumerate(counts) for _ in range(count))
    return [index for _, index in sorted(zip(due, owners, strict=True))]


class RoundRobin(Generic[T]):
    """Each in turn, by weight. Second choices have turns of their own: they must not shift the first ones."""

    __slots__ = ("_cycle", "_length", "_other_turn", "_turn")

    def __init__(self, targets: Sequence[T], weights: Sequence[float], turn: int = 0) -> None:
        """Begin after `turn`, so that making a picker anew does not favour the first target."""
        self._cycle = [targets[index] for index in turns(weights)]
        self._length = len(self._cycle)
        self._turn = self._other_turn = turn % self._length

    def pick(self, affinity: bytes) -> T:  # noqa: ARG002 - see Picker
        turn = self._turn + 1
        if turn >= self._length:
            turn = 0
        self._turn = turn
        return self._cycle[turn]

    def pick_other(self, affinity: bytes, tried: Collection[str]) -> T | None:  # noqa: ARG002
        for _ in range(self._length):
            self._other_turn = turn = (self._other_turn + 1) % self._length
            if self._cycle[turn].label not in tried:
                return self._cycle[turn]
        return None


class LeastOutstanding(RoundRobin[T]):
    """The one with the fewest open requests for its weight; among equals, each in turn by weight."""

    __slots__ = ("_weighted",)

    def __init__(self, targets: Sequence[T], weights: Sequence[float], turn: int = 0) -> None:
        super().__init__(targets, weights, turn)
        self._weighted = list(zip(targets, weights, strict=True))

    def pick(self, affinity: bytes) -> T:
        return self._least(super().pick(affinity), self._weighted)

    def pick_other(self, affinity: bytes, tried: Collection[str]) -> T | None:
        first = super().pick_other(affinity, tried)
        if first is None:
            return None
        return self._least(first, [each for each in self._weighted if each[0].label not in tried])

    def _least(self, first: T, among: Sequence[tuple[T, float]]) -> T:
        best, least = first, float("inf")
        for target, weight in among:
            load = target.outstanding / weight
            if load < least or (load == least and target is first):
                best, least = target, load
        return best


class TwoChoices(Generic[T]):
    """The less loaded of two taken at random by weight: nearly as even as asking all of them, at a fixed price."""

    __slots__ = ("_cycle", "_fallback", "_random", "_weights")

    def __init__(
        self, targets: Sequence[T], weights: Sequence[float], random: Callable[[], float]
    ) -> None:
        self._cycle = [targets[index] for index in turns(weights)]
        self._weights = {
            target.label: weight for target, weight in zip(targets, weights, strict=True)
        }
        self._random = random
        self._fallback = LeastOutstanding(targets, weights)

    def pick(self, affinity: bytes) -> T:  # noqa: ARG002 - see Picker
        cycle, random = self._cycle, self._random
        first = cycle[int(random() * len(cycle))]
        second = cycle[int(random() * len(cycle))]
        if second is first:  # which by weight happens often with two targets: once more
            second = cycle[int(random() * len(cycle))]
        weights = self._weights
        is_better = (
            second.outstanding * weights[first.label] < first.outstanding * weights[second.label]
        )
        return second if is_better else first

    def pick_other(self, affinity: bytes, tried: Collection[str]) -> T | None:
        return self._fallback.pick_other(affinity, tried)


class HashRing(Generic[T]):
    """The same one for the same affinity, as long as it is there (consistent hashing).

    A target that leaves gives away its own share and no other. With `load_max` (0 for none), who has more than that
    multiple of its fair share of open requests is passed over.
    """

    __slots__ = ("_load_max", "_owners", "_points", "_shares", "_targets")

    def __init__(
        self, targets: Sequence[T], weights: Sequence[float], load_max: float = 0.0
    ) -> None:
        total = sum(weights)
        scale = min(1.0, POINTS_MAX / (POINTS * total))
        placed = sorted(
            (point, index)
            for index, (target, weight) in enumerate(zip(targets, weights, strict=True))
            for point in _points(target.label, max(1, round(POINTS * weight * scale)))
        )
        self._points = [point for point, _ in placed]
        self._owners = [targets[index] for _, index in placed]
        self._targets = tuple(targets)
        self._shares = {
            target.label: weight / total for target, weight in zip(targets, weights, strict=True)
        }
        self._load_max = load_max

    def pick(self, affinity: bytes) -> T:
        walk = self._walk(affinity)
        first = next(walk)
        if not self._load_max or self._has_room(first):
            return first
        return next(filter(self._has_room, walk), first)

    def pick_other(self, affinity: bytes, tried: Collection[str]) -> T | None:
        return next((each for each in self._walk(affinity) if each.label not in tried), None)

    def _walk(self, affinity: bytes) -> Iterator[T]:
        """Yield the targets, each once, in the order in which they stand behind the place of `affinity`."""
        owners, length = self._owners, len(self._owners)
        digest = blake2b(affinity, digest_size=_POINT_BYTES).digest()
        start = bisect_left(self._points, int.from_bytes(digest, "big"))
        seen: set[str] = set()
        for at in range(start, start + length):
            owner = owners[at % length]
            if owner.label not in seen:
                seen.add(owner.label)
                yield owner

    def _has_room(self, target: T) -> bool:
        outstanding = sum(each.outstanding for each in self._targets) + 1
        return target.outstanding < ceil(self._load_max * outstanding * self._shares[target.label])


def _points(label: str, count: int) -> Iterator[int]:
    """Yield `count` places on the ring for a target."""
    for block in range(ceil(count / _POINTS_PER_DIGEST)):
        digest = blake2b(f"{label}#{block}".encode()).digest()
        left = min(_POINTS_PER_DIGEST, count - block * _POINTS_PER_DIGEST)
        for n in range(left):
            yield int.from_bytes(digest[n * _POINT_BYTES : (n + 1) * _POINT_BYTES], "big")
