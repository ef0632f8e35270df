"""The seam to the store of usage: cells of counted requests, and who made them.

Every adapter passes the contract suite in `tests/contracts/usage_store.py`. It has one writer, which holds the only
adapter that `add`, `roll` and `prune` are called on; anybody may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.usage import (
    Cell,
    Facet,
    FacetQuery,
    FacetRow,
    Retention,
    UsageQuery,
    UsageRow,
)


class UsageStore(Protocol):
    """Usage by minute, hour and day, and facets by hour.

    An answer about hours or days holds everything that was added before, rolled up or not. Every method raises
    `StoreUnavailable` when the store does not answer within five seconds; what reads takes no turn away from requests
    that wait for a key.
    """

    async def add(self, cells: Sequence[Cell], facets: Sequence[Facet], batch: str = "") -> None:
        """Add cells of minutes and facets of hours to what is there: all of it, or nothing.

        A `batch` that was the last one to be added is not added again: so what could not be confirmed may be repeated.
        Of one key, tenant, hour and kind at most `FACET_VALUES_MAX` values are told apart, the others are `__other__`.
        """
        ...

    async def roll(self, until: float) -> bool:
        """Add minutes before `until` (epoch seconds) to their hours, and whole hours to their days: a step of it.

        Returns whether nothing is left to do. Changes no answer.
        """
        ...

    async def prune(self, now: float, retention: Retention) -> bool:
        """Remove what is older than `retention` says, a step of it; return whether nothing is left to do."""
        ...

    async def cells(self, query: UsageQuery) -> list[UsageRow]:
        """Return the rows that `query` asks for. Without any request in the range there is none."""
        ...

    async def facets(self, query: FacetQuery) -> list[FacetRow]:
        """Return the rows that `query` asks for."""
        ...


@dataclass(frozen=True, slots=True)
class KeptUsage:
    """Where usage is kept, and for how long."""

    store: UsageStore
    retention: Callable[[], Retention]
