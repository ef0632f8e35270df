"""Requests per key for Prometheus, with a bound: the keys with the most requests, and all others together.

A key in the top has a series of its own, which counts from when it got there. When it leaves the top its series ends,
and what it had counted is added to `__other__`. So `__other__` never goes back, all series together always tell every
request that a key made, and there are never more than `top + 1` of them. It must not know where counts come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.domain.usage import OTHER, Cell
from gateway.ports import Clock

TURN_SECONDS: Final = 60.0
"""How often the top is chosen anew: a series that came and went with every scrape would be none."""

_CANDIDATES_PER_SERIES: Final = 20
"""Keys whose recent requests are remembered, for each one that can be shown."""

_ADVANTAGE: Final = 1.25
"""A key in the top leaves it only for one with a quarter more requests: two equals would change places for ever."""

_FADE: Final = 0.5
"""What a turn leaves of the requests before it: the top are those with the most requests lately."""

_Key = tuple[str, ...]
"""Tenant and key: the labels of a series."""


class TopKeys:
    """Counts requests per key; `reading` is for `Metrics.watch`."""

    def __init__(self, clock: Clock, top: int) -> None:
        self._clock = clock
        self._top = top
        self._shown: dict[_Key, float] = {}
        self._other = 0.0
        self._scores: dict[_Key, float] = {}
        self._turn_due = clock.monotonic() + TURN_SECONDS

    def follow(self, top: int) -> None:
        """Show so many keys from now on; 0 shows none."""
        self._top = top
        self._choose()

    def count(self, cells: Iterable[Cell]) -> None:
        """Count the requests of keys; those without a key are none's."""
        if not self._top:
            return
        for cell in cells:
            dimensions = cell.dimensions
            if not dimensions.key_id:
                continue
            requests = cell.measures.requests
            if dimensions.key_id == OTHER:
                self._other += requests
                continue
            key = (dimensions.tenant_id, dimensions.key_id)
            self._scores[key] = self._scores.get(key, 0.0) + requests
            if key in self._shown:
                self._shown[key] += requests
            elif len(self._shown) < self._top:
                self._shown[key] = float(requests)
            else:
                self._other += requests
        most = self._top * _CANDIDATES_PER_SERIES
        if len(self._scores) > 2 * most:
            self._remember(most)
        if self._clock.monotonic() >= self._turn_due:
            self._turn_due = self._clock.monotonic() + TURN_SECONDS
            self._choose()

    def reading(self) -> dict[_Key, float]:
        """Return the counts by tenant and key; nothing while none are shown."""
        if not self._top:
            return {}
        return {(OTHER, OTHER): self._other, **self._shown}

    def _remember(self, most: int) -> None:
        best = sorted(self._scores.items(), key=_by_score, reverse=True)
        self._scores = dict(best[:most])

    def _choose(self) -> None:
        """Show the keys with the most requests lately."""
        ranked = sorted(
            ((key, self._rank(key, score)) for key, score in self._scores.items()),
            key=_by_score,
            reverse=True,
        )
        chosen = dict(ranked[: self._top])
        for key in [key for key in self._shown if key not in chosen]:
            # One that nobody displaces may stay.
            if len(chosen) >= self._top:
                self._other += self._shown.pop(key)
            else:
                chosen[key] = 0.0
        for key in chosen:
            self._shown.setdefault(key, 0.0)
        self._scores = {key: score * _FADE for key, score in self._scores.items() if score > 1.0}

    def _rank(self, key: _Key, score: float) -> float:
        return score * _ADVANTAGE if key in self._shown else score


def _by_score(item: tuple[_Key, float]) -> float:
    return item[1]
