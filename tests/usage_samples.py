"""Cells and facets for tests of usage."""

from __future__ import annotations

from typing import Any

from gateway.domain.usage import Cell, Dimensions, Facet, FacetKind, Measures, Retention

MINUTE, HOUR, DAY = 60, 3_600, 86_400

NOON = 1_700_006_400 // DAY * DAY + DAY // 2
"""The middle of a day, where an hour begins."""

KEPT = Retention(
    minute_seconds=2 * DAY, hour_seconds=90 * DAY, day_seconds=730 * DAY, facet_seconds=30 * DAY
)


def dimensions(key_id: str = "key_a", **changes: Any) -> Dimensions:
    values: dict[str, Any] = {
        "tenant_id": "ten_a",
        "owner_id": "ten_a",
        "lineage_id": f"lin_{key_id}",
        "environment": "live",
        "is_billable": True,
        "route": "jobs",
    }
    return Dimensions(key_id=key_id, **(values | changes))


def measures(requests: int = 1, **changes: Any) -> Measures:
    values: dict[str, Any] = {
        "response_bytes": 100 * requests,
        "duration_total": 0.25 * requests,
        "durations": {20: requests},
    }
    return Measures(requests=requests, **(values | changes))


def a_cell(
    start: int = NOON, requests: int = 1, of: Dimensions | None = None, **counted: Any
) -> Cell:
    return Cell(start=start, dimensions=of or dimensions(), measures=measures(requests, **counted))


def a_facet(value: str = "192.0.2.0/24", **changes: Any) -> Facet:
    values: dict[str, Any] = {
        "start": NOON,
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "kind": FacetKind.NETWORK,
        "requests": 1,
        "first_at": NOON + 1.5,
        "last_at": NOON + 2.5,
    }
    return Facet(value=value, **(values | changes))
