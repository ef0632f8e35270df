"""A request whose buckets lie in several places: all are asked at the same time, and the answers are put together.

Knows that what some places drew is given back when another refuses or does not answer. It must not know a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.domain.limits import Claim, Concurrency, Quota, Rate
from gateway.limiters.redis import wire
from gateway.ports import LimiterUnavailable

Reply = Sequence[int]


def by_place(claims: Sequence[Claim]) -> list[list[int]]:
    """Return the positions of the claims of each owner."""
    places: dict[str, list[int]] = {}
    for n, claim in enumerate(claims):
        places.setdefault(wire.tag(claim.bucket), []).append(n)
    return list(places.values())


class Split:
    """The answers of the places, until all are there.

    `finish` is told an answer as of one place that has everything, `fail` that some place did not answer, and
    `give_back` each time which claims a place drew in vain, and its answer.
    """

    def __init__(
        self,
        claims: Sequence[Claim],
        places: Sequence[Sequence[int]],
        finish: Callable[[Reply], None],
        fail: Callable[[LimiterUnavailable], None],
        give_back: Callable[[Sequence[Claim], Reply], None],
    ) -> None:
        self._claims = claims
        self._places = places
        self._finish = finish
        self._fail = fail
        self._give_back = give_back
        self._replies: list[Reply | LimiterUnavailable | None] = [None] * len(places)
        self._missing = len(places)

    def answered(self, place: int, reply: Any) -> None:
        """Take the answer of a place, or why there is none."""
        self._replies[place] = reply
        self._missing -= 1
        if not self._missing:
            self._conclude()

    def _conclude(self) -> None:
        replies = [
            each for each in self._replies if not isinstance(each, LimiterUnavailable) and each
        ]
        failures = [each for each in self._replies if isinstance(each, LimiterUnavailable)]
        is_admitted = not failures and all(reply[0] for reply in replies)
        if not is_admitted:
            for positions, reply in zip(self._places, self._replies, strict=True):
                if reply and not isinstance(reply, LimiterUnavailable) and reply[0]:
                    self._give_back([self._claims[n] for n in positions], reply)
        if failures:
            self._fail(failures[0])
        else:
            self._finish(self._whole(replies, is_admitted=is_admitted))

    def _whole(self, replies: Sequence[Reply], *, is_admitted: bool) -> Reply:
        """Return one answer; of a refused request, buckets stand as before it."""
        whole = [int(is_admitted), max(reply[1] for reply in replies), *[0, 0] * len(self._claims)]
        for positions, reply in zip(self._places, replies, strict=True):
            for at, n in enumerate(positions):
                pair = reply[2 + 2 * at], reply[3 + 2 * at]
                if not is_admitted and reply[0]:
                    pair = _before(self._claims[n], *pair)
                whole[2 + 2 * n : 4 + 2 * n] = pair
        return whole


def _before(claim: Claim, first: int, second: int) -> tuple[int, int]:
    """Return the numbers of a bucket before the draw that led to these."""
    rule = claim.rule
    if isinstance(rule, Rate):
        owed = first * rule.limit + second - rule.window_seconds * wire.MICROSECONDS
        return divmod(max(0, owed), rule.limit)
    assert isinstance(rule, Quota | Concurrency)
    return first - 1, second
