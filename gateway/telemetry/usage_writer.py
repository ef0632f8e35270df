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
from gateway.telemetry.usage import Counted, UsageRecorder

SETTLED_SECONDS: Final = 120.0
"""How long after a minute began it is added to its hour: most requests that began in it have ended by then."""

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
        self.country: Callable[[str], str] | None = None
        """Tells the country of a network; None: nobody does."""

    async def write(self) -> None:
        """Store everything that was counted, and who made the requests.

        Raises `StoreUnavailable`; then nothing is lost, and nothing stored twice: what was left over is stored first.
        """
        await self._finish()
        self._rest = self._parts(self._recorder.drain())
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

    def _parts(self, drained: Iterator[Counted]) -> Iterator[Counted]:
        """Yield what is to be stored together."""
        for part in drained:
            if part.cells:
                self._tell(part.cells)
            if self.country is not None:
                part.facets += _countries(part.facets, self.country)
            yield part

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
