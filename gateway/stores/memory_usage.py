"""Usage in memory: for tests, and the plainest form of what every store of usage means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from gateway.domain.usage import (
    FACET_VALUES_MAX,
    FIELD_OF_GROUP,
    OTHER,
    Cell,
    Dimensions,
    Facet,
    FacetQuery,
    FacetRow,
    Interval,
    Measures,
    Retention,
    UsageQuery,
    UsageRow,
)

_Place = tuple[Interval, int, Dimensions]
_FacetPlace = tuple[int, str, str, str]
"""Hour, key, tenant and kind."""


class MemoryUsage:
    """Implements `ports.UsageStore`."""

    def __init__(self) -> None:
        self._cells: dict[_Place, Measures] = {}
        self._facets: dict[_FacetPlace, dict[str, Facet]] = {}
        self._batch = ""

    async def add(self, cells: Sequence[Cell], facets: Sequence[Facet], batch: str = "") -> None:
        """Add cells and facets, unless `batch` was the last to be added."""
        if batch and batch == self._batch:
            return
        self._batch = batch
        for cell in cells:
            for interval in Interval:
                place = (interval, interval.start_of(cell.start), cell.dimensions)
                self._cells.setdefault(place, Measures()).add(cell.measures)
        for facet in facets:
            self._add_facet(facet)

    def _add_facet(self, facet: Facet) -> None:
        place = (facet.start, facet.key_id, facet.tenant_id, facet.kind.value)
        values = self._facets.setdefault(place, {})
        value = facet.value
        if value not in values and len(values) >= FACET_VALUES_MAX:
            value = OTHER
        known = values.get(value)
        if known is None:
            values[value] = replace(facet, value=value)
            return
        known.requests += facet.requests
        known.first_at = min(known.first_at, facet.first_at)
        known.last_at = max(known.last_at, facet.last_at)

    async def roll(self, until: float) -> bool:  # noqa: ARG002 - of the port
        """Do nothing: hours and days are counted at once."""
        return True

    async def prune(self, now: float, retention: Retention) -> bool:
        """Remove what is too old."""
        old = [place for place in self._cells if place[1] < now - retention.seconds(place[0])]
        for place in old:
            del self._cells[place]
        for hour in [place for place in self._facets if place[0] < now - retention.facet_seconds]:
            del self._facets[hour]
        return True

    async def cells(self, query: UsageQuery) -> list[UsageRow]:
        """Return the rows that `query` asks for."""
        rows: dict[tuple[Any, ...], UsageRow] = {}
        for (interval, start, dimensions), measures in self._cells.items():
            if interval is not query.interval or not query.since <= start < query.until:
                continue
            if _is_asked_for(dimensions, query):
                for reason, part in _parts(measures, query):
                    _gather(rows, query, start, dimensions, reason, part)
        found = sorted(rows.values(), key=lambda row: row.place(query.group_by))
        if query.after:
            found = [row for row in found if row.place(query.group_by) > query.after]
        if query.order_by:
            found.sort(key=lambda row: _order(row, query.order_by), reverse=True)
        return found[: query.limit]

    async def facets(self, query: FacetQuery) -> list[FacetRow]:
        """Return the rows that `query` asks for."""
        rows: dict[tuple[str, str], FacetRow] = {}
        for facet in self._facets_of(query):
            place = (facet.key_id if query.by_key else "", facet.value)
            row = rows.get(place)
            if row is None:
                rows[place] = FacetRow(
                    value=facet.value,
                    requests=facet.requests,
                    first_at=facet.first_at,
                    last_at=facet.last_at,
                    key_id=facet.key_id if query.by_key else None,
                )
            else:
                row.requests += facet.requests
                row.first_at = min(row.first_at, facet.first_at)
                row.last_at = max(row.last_at, facet.last_at)
        found = sorted(rows.values(), key=lambda row: (-row.requests, row.value, row.key_id or ""))
        return found[: query.limit]

    def _facets_of(self, query: FacetQuery) -> Iterable[Facet]:
        for (start, key_id, tenant_id, kind), values in self._facets.items():
            if (
                kind == query.kind
                and query.since <= start < query.until
                and query.key_id in ("", key_id)
                and query.tenant_id in ("", tenant_id)
                and (query.tenant_ids is None or tenant_id in query.tenant_ids)
            ):
                yield from (facet for value, facet in values.items() if query.value in ("", value))


def _is_asked_for(dimensions: Dimensions, query: UsageQuery) -> bool:
    if query.tenant_ids is not None and dimensions.tenant_id not in query.tenant_ids:
        return False
    return all(
        getattr(query, name) in ("", getattr(dimensions, name))
        for name in ("key_id", "lineage_id", "tenant_id", "owner_id", "route", "environment")
    )


def _parts(measures: Measures, query: UsageQuery) -> Iterable[tuple[str | None, Measures]]:
    """Return what a cell adds to: one row, or one for each reason."""
    if "reason" not in query.group_by:
        return [(None, measures)]
    return [
        (reason, Measures(requests=count, reasons={reason: count}))
        for reason, count in measures.reasons.items()
    ]


def _gather(
    rows: dict[tuple[Any, ...], UsageRow],
    query: UsageQuery,
    start: int,
    dimensions: Dimensions,
    reason: str | None,
    measures: Measures,
) -> None:
    known: dict[str, Any] = {"start": start, "reason": reason}
    values: dict[str, Any] = {}
    for group in query.group_by:
        name = FIELD_OF_GROUP[group]
        values[name] = known[name] if name in known else getattr(dimensions, name)
    place = tuple(values.values())
    row = rows.get(place)
    if row is None:
        row = rows[place] = UsageRow(measures=Measures(), **values)
    row.measures.add(measures)


def _order(row: UsageRow, by: str) -> float:
    value: float = getattr(row.measures, by)
    return value
