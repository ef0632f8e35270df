"""Requests that have nothing in common leave a bounded number of series, and memory behind: D10."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from bench.series import Flood
from gateway.stores.memory_usage import MemoryUsage

WATCHED = 20
"""Series that are read, not counted: of this process, its recorders, its build."""


class Nowhere(MemoryUsage):
    """Keeps nothing: what grows is then what counts."""

    async def add(self, cells: object, facets: object, batch: str = "") -> None:
        pass


@pytest.mark.slow
async def test_random_requests_keep_series_and_memory_bounded_d10() -> None:
    budget, top = 2_000, 20
    flood = Flood(Nowhere(), budget, top)
    await flood.second(3_000)
    sizes, series = [], []
    tracemalloc.start()
    try:
        for _ in range(4):
            for _ in range(10):
                await flood.second(300)
            await flood.writer.write(is_last=True)  # so many visitors wait
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
            series.append(flood.series())
    finally:
        tracemalloc.stop()
    assert max(series) <= budget
    assert series[-1] - series[1] < 20
    assert sizes[-1] - sizes[1] < 2**20
    shown = flood.series_of("key_requests_total")
    assert len(shown) == top + 1
    assert sum(shown.values()) == flood.keyed
    assert sum(flood.fanout.faults().values()) == 0


async def test_a_small_budget_is_kept_to_d10() -> None:
    flood = Flood(MemoryUsage(), budget=300, top=10)
    await flood.second(2_000)
    assert flood.series() <= 300 + len(flood.series_of("key_requests_total")) + WATCHED
    dropped = flood.series_of("series_dropped_total")
    assert sum(dropped.values()) > 0
    requests = flood.series_of("requests_total")
    assert sum(requests.values()) == 2_000
