"""Writes usage down: the one writer of the store of usage.

Once a second takes what was counted, and every ten seconds who was, in parts, each in one short transaction. A part
that could not be stored is offered again as it was, under the same name, so that it is counted once even if the store
only failed to say that it was done; meanwhile the counts go on in memory. It must not know SQL or where counts come
from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from gateway.domain.usage import OTHER, Cell, Facet, FacetKind, Retention
from gateway.ports import Clock, UsageStore
from gateway.telemetry.usage import (
    PART_MAX,
    Counted,
    FacetPlace,
    UsageRecorder,
    merge_facet,
)

SETTLED_SECONDS: Final = 120.0
"""How long after a minute began it is added to its hour: most requests that began in it have ended by then."""

STEPS_MAX: Final = 50
"""Steps of rolling up or pruning in a row: the rest waits for the next time."""

FACETS_SECONDS: Final = 10.0
"""How often it is written who made requests: mostly the same who did a second ago."""

FACETS_MAX: Final = 50_000
"""Facets that wait for that; with more they are written at once."""


class UsageWriter:
    """Moves usage from `recorder` to `store`. `name` is this process's own; `tell` hears of each part once."""

    def __init__(
        self,
        store: UsageStore,
        recorder: UsageRecorder,
        clock: Clock,
        *,
        name: str,
        tell: Callable[[Iterable[Cell]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._name = name
        self._tell = tell
        self._number = 0
        self._rest: Iterator[Counted] = iter(())
        self._part: Counted | None = None
        self._facets: dict[FacetPlace, Facet] = {}
        self._facets_due = clock.monotonic() + FACETS_SECONDS
        self.country: Callable[[str], str] | None = None
        """Tells the country of a network; None: nobody does."""

    async def write(self, *, is_last: bool = False) -> None:
        """Store everything that was counted, and who was, when it is time or the last time.

        Raises `StoreUnavailable`; then nothing is lost, and nothing stored twice: what was left over is stored first.
        """
        await self._finish()
        self._rest = self._parts(self._recorder.drain(), is_last=is_last)
        await self._finish()

    async def _finish(self) -> None:
        while True:
            if self._part is None:
                self._part = next(self._rest, None)
                self._number += 1
            part = self._part
            if part is None:
                return
            await self._store.add(part.cells, part.facets, f"{self._name}:{self._number}")
            self._part = None

    def _parts(self, drained: Iterator[Counted], *, is_last: bool) -> Iterator[Counted]:
        """Yield what is to be stored together."""
        for part in drained:
            for facet in part.facets:
                merge_facet(self._facets, facet)
            if part.cells:
                self._tell(part.cells)
                yield Counted(cells=part.cells, facets=[])
        now = self._clock.monotonic()
        if is_last or now >= self._facets_due or len(self._facets) >= FACETS_MAX:
            self._facets_due = now + FACETS_SECONDS
            facets, self._facets = [*self._facets.values()], {}
            for start in range(0, len(facets), PART_MAX):
                told = facets[start : start + PART_MAX]
                if self.country is not None:
                    told += _countries(told, self.country)
                yield Counted(cells=[], facets=told)

    async def roll(self) -> None:
        """Add minutes to hours and hours to days, in steps between which others may write."""
        for _ in range(STEPS_MAX):
            if await self._store.roll(self._clock.now() - SETTLED_SECONDS):
                return
            await asyncio.sleep(0)

    async def prune(self, retention: Retention) -> None:
        """Remove what is older than `retention` says, in the same way."""
        for _ in range(STEPS_MAX):
            if await self._store.prune(self._clock.now(), retention):
                return
            await asyncio.sleep(0)


def _countries(facets: Iterable[Facet], country: Callable[[str], str]) -> list[Facet]:
    """Return a facet of a country for each of a network."""
    return [
        replace(facet, kind=FacetKind.COUNTRY, value=_country_of(facet.value, country))
        for facet in facets
        if facet.kind is FacetKind.NETWORK
    ]


def _country_of(network: str, country: Callable[[str], str]) -> str:
    return OTHER if network == OTHER else country(network)
