"""Writes usage down: the one writer of the store of usage.

Takes what was counted, and who made the requests, in parts, each in one short transaction. A part that could not be
stored is offered again as it was, under the same name, so that it is counted once even if the store only failed to say
that it was done; meanwhile the counts go on in memory. It must not know SQL or where counts come from.
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

EAGER_MAX: Final = 2_000
"""Facets between two writes that are written at once. Of more, most say again what was said a second ago, and a store
that many gateways share would have to write that all the time: they are added up before they are written."""

LAZY_SECONDS: Final = 10.0
"""How long at most."""

WAITING_MAX: Final = 50_000
"""Facets that wait for that; with more they are written."""

STEPS_MAX: Final = 50
"""Steps of rolling up or pruning in a row: the rest waits for the next time."""


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
        self._is_lazy = False
        self._waiting: dict[FacetPlace, Facet] = {}
        self._due = clock.monotonic()
        self.country: Callable[[str], str] | None = None
        """Tells the country of a network; None: nobody does."""

    async def write(self, *, is_last: bool = False) -> None:
        """Store everything that was counted, and who made the requests: of many, when it is time or the last time.

        Raises `StoreUnavailable`; then nothing is lost, and nothing stored twice: what was left over is stored first.
        """
        await self._finish()
        self._rest = self._parts(self._recorder.drain(), is_last=is_last)
        await self._finish()

    async def _finish(self) -> None:
        while True:
            part = self._part
            if part is None:
                part = self._part = next(self._rest, None)
                if part is None:
                    return
                self._number += 1
            await self._store.add(part.cells, part.facets, f"{self._name}:{self._number}")
            self._part = None

    def _parts(self, drained: Iterator[Counted], *, is_last: bool) -> Iterator[Counted]:
        """Yield what is to be stored together."""
        seen = 0
        for part in drained:
            seen += len(part.facets)
            if part.cells:
                self._tell(part.cells)
            if self._is_lazy:
                for facet in part.facets:
                    merge_facet(self._waiting, facet)
                part.facets = []
            if part.cells or part.facets:
                yield self._whole(part)
        self._is_lazy = seen > EAGER_MAX
        now = self._clock.monotonic()
        if is_last or not self._is_lazy or now >= self._due or len(self._waiting) >= WAITING_MAX:
            self._due = now + LAZY_SECONDS
            facets, self._waiting = [*self._waiting.values()], {}
            for start in range(0, len(facets), PART_MAX):
                yield self._whole(Counted(cells=[], facets=facets[start : start + PART_MAX]))

    def _whole(self, part: Counted) -> Counted:
        """Return `part` with the countries of its networks."""
        if self.country is not None:
            part.facets += _countries(part.facets, self.country)
        return part

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
