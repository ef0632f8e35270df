"""A month of made-up traffic for pictures, put into the store as the gateway itself would have counted it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.domain.usage import Cell, Dimensions, Facet, FacetKind, Measures, duration_bin
from gateway.stores import sqlite

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_DAYS: Final = 30
_BATCH: Final = 500

ROUTES: Final[Mapping[str, tuple[float, float]]] = {
    "jobs.list": (1.0, 0.011),
    "candidates.list": (0.7, 0.023),
    "jobs.show": (0.45, 0.008),
    "interviews.list": (0.3, 0.031),
    "candidates.show": (0.2, 0.009),
}
"""Route -> how often it is asked for beside others, and how long it takes (s)."""

NETWORKS: Final = {"203.0.113.0/24": 6, "198.51.100.0/24": 3, "192.0.2.0/24": 1}
AGENTS: Final = {"acme-export/2.4": 5, "python-requests/2.32": 2, "okhttp/4.12": 1}
COUNTRIES: Final = {"DE": 6, "FR": 3, "US": 1}


def put(path: Path, keys: Sequence[tuple[Mapping[str, Any], float]]) -> None:
    """Add the history of `keys`, as the admin API shows them, with their requests per hour at noon."""
    asyncio.run(_put(path, keys))


async def _put(path: Path, keys: Sequence[tuple[Mapping[str, Any], float]]) -> None:
    dice = random.Random(7)
    now = int(time.time()) // _MINUTE * _MINUTE
    async with sqlite.opened(path) as store:
        for key, rate in keys:
            cells = [*_cells(key, rate, now, dice)]
            facets = [*_facets(key, rate, now)]
            for start in range(0, max(len(cells), len(facets)), _BATCH):
                part = slice(start, start + _BATCH)
                await store.usage.add(cells[part], facets[part])


def _cells(key: Mapping[str, Any], rate: float, now: int, dice: random.Random) -> Iterator[Cell]:
    starts = [*range(now - _DAYS * _DAY, now - _HOUR, _HOUR), *range(now - _HOUR, now, _MINUTE)]
    for start in starts:
        share = 1.0 if start < now - _HOUR else 1 / 60
        for route, (often, seconds) in ROUTES.items():
            wanted = rate * often * share * _swing(start) * dice.uniform(0.75, 1.25)
            requests = int(wanted + dice.random())
            if requests:
                of = Dimensions(
                    tenant_id=key["tenant_id"],
                    owner_id=key["tenant_id"],
                    key_id=key["key_id"],
                    lineage_id=key["lineage_id"],
                    environment=key["environment"],
                    is_billable=key["environment"] == "live",
                    route=route,
                )
                trouble = 0.12 if start // _HOUR % 67 == 0 else 0.004
                yield Cell(
                    start=start, dimensions=of, measures=_measured(requests, seconds, trouble, dice)
                )


def _swing(start: int) -> float:
    """Return how busy the hour is: days, nights, and weekends."""
    hour, weekday = start // _HOUR % 24, (start // _DAY + 3) % 7
    busy = 0.25 + 0.75 * max(0.0, math.sin((hour - 5) / 16 * math.pi))
    return busy * (0.35 if weekday >= 5 else 1.0)


def _measured(requests: int, seconds: float, trouble: float, dice: random.Random) -> Measures:
    failed = sum(dice.random() < trouble for _ in range(requests))
    denied = sum(dice.random() < 0.015 for _ in range(requests - failed))
    missing = sum(dice.random() < 0.02 for _ in range(requests - failed - denied))
    measures = Measures(
        requests=requests,
        denied=denied,
        upstream_4xx=missing,
        upstream_5xx=failed,
        request_bytes=180 * requests,
        response_bytes=2_100 * requests,
        limit_used_max=dice.uniform(0.1, 0.7),
        reasons={"insufficient_scope": denied} if denied else {},
    )
    for _ in range(requests):
        took = seconds * dice.lognormvariate(0, 0.6)
        measures.duration_total += took
        slot = duration_bin(took)
        measures.durations[slot] = measures.durations.get(slot, 0) + 1
    return measures


def _facets(key: Mapping[str, Any], rate: float, now: int) -> Iterator[Facet]:
    kinds = (
        (FacetKind.NETWORK, NETWORKS),
        (FacetKind.USER_AGENT, AGENTS),
        (FacetKind.COUNTRY, COUNTRIES),
    )
    for start in range((now - 2 * _DAY) // _HOUR * _HOUR, now, _HOUR):
        for kind, values in kinds:
            for value, weight in values.items():
                requests = max(1, int(rate * _swing(start) * weight / 10))
                yield Facet(
                    start=start,
                    tenant_id=key["tenant_id"],
                    key_id=key["key_id"],
                    kind=kind,
                    value=value,
                    requests=requests,
                    first_at=start + 1.0,
                    last_at=min(now, start + _HOUR - 1.0),
                )
