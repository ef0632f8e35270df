from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.usage import FacetKind, Interval
from gateway.ports import StoreUnavailable, UsageStore
from gateway.stores.memory_usage import MemoryUsage
from gateway.stores.sqlite import SqliteStore, opened
from gateway.stores.usage_rows import ROLLED_MAX
from tests.contracts.usage_store import UsageStoreContract, asked, rolled, told
from tests.usage_samples import DAY, HOUR, KEPT, MINUTE, NOON, a_cell, a_facet, dimensions


class TestMemoryUsage(UsageStoreContract):
    """Runs the contract in memory."""

    @pytest.fixture
    def store(self) -> UsageStore:
        return MemoryUsage()


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path / "tollhouse.db") as store:
        yield store


class TestSqliteUsage(UsageStoreContract):
    """Runs the contract against a file."""

    @pytest.fixture
    async def store(self, file: SqliteStore) -> UsageStore:
        return file.usage


async def test_usage_survives_a_restart_wherever_rolling_up_stood(tmp_path: Path) -> None:
    cells = [a_cell(NOON + n * 20 * MINUTE, of=dimensions(f"key_{n % 3}")) for n in range(12)]
    for n, cell in enumerate(cells):
        async with opened(tmp_path / "tollhouse.db") as store:
            await store.usage.add([cell], [])
            await rolled(store.usage, NOON + n * 10 * MINUTE)
            for interval in Interval:
                [row] = await store.usage.cells(asked(interval=interval))
                assert row.measures.requests == n + 1


async def test_rolling_up_goes_on_in_steps(file: SqliteStore) -> None:
    count = ROLLED_MAX + 10
    cells = [
        a_cell(NOON, of=dimensions(f"key_{n}"), failed=1, reasons={"x": 1}) for n in range(count)
    ]
    await file.usage.add(cells, [])
    steps = 1
    while not await file.usage.roll(NOON + 10 * DAY):
        [row] = await file.usage.cells(asked(interval=Interval.HOUR))
        assert (row.measures.requests, row.measures.reasons) == (count, {"x": count})
        steps += 1
    assert steps == 5
    await file.usage.add([a_cell(NOON + DAY)], [])
    await rolled(file.usage)
    [row] = await file.usage.cells(asked(interval=Interval.DAY, until=NOON + HOUR))
    assert row.measures.requests == count


async def test_what_is_not_rolled_up_is_not_removed(file: SqliteStore) -> None:
    await file.usage.add([a_cell(NOON)], [])
    while not await file.usage.prune(NOON + 10 * DAY, KEPT):
        pass
    assert told(await file.usage.cells(asked(interval=Interval.MINUTE))) == [(1,)]
    await rolled(file.usage)
    while not await file.usage.prune(NOON + 10 * DAY, KEPT):
        pass
    assert await file.usage.cells(asked(interval=Interval.MINUTE)) == []
    assert told(await file.usage.cells(asked(interval=Interval.DAY))) == [(1,)]


async def test_usage_without_an_open_file_is_unavailable(tmp_path: Path) -> None:
    async with opened(tmp_path / "tollhouse.db") as store:
        usage = store.usage
    with pytest.raises(StoreUnavailable):
        await usage.add([a_cell()], [])
    with pytest.raises(StoreUnavailable):
        await usage.cells(asked())
    with pytest.raises(StoreUnavailable):
        await usage.roll(NOON)


async def test_what_a_failed_write_learned_is_not_believed(
    tmp_path: Path, file: SqliteStore
) -> None:
    """The number of a key on a route that was given in a transaction which was undone."""
    path = tmp_path / "tollhouse.db"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON usage_facets BEGIN SELECT raise(ABORT, 'no'); END"
        )
        with pytest.raises(Exception, match="no"):
            await file.usage.add([a_cell()], [a_facet()])
        other.execute("DROP TRIGGER broken")
    await file.usage.add([a_cell(of=dimensions("key_b"))], [])
    await file.usage.add([a_cell()], [a_facet(kind=FacetKind.COUNTRY, value="NZ")])
    assert told(await file.usage.cells(asked("key")), "key_id") == [("key_a", 1), ("key_b", 1)]


async def test_questions_do_not_wait_for_writes(file: SqliteStore) -> None:
    await file.usage.add([a_cell()], [])
    async with asyncio.TaskGroup() as tasks:
        for n in range(20):
            tasks.create_task(file.usage.add([a_cell(NOON + n * MINUTE)], []))
            tasks.create_task(file.usage.cells(asked("time")))
    [row] = await file.usage.cells(asked())
    assert row.measures.requests == 21
