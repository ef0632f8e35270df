from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.domain.usage import FACET_VALUES_MAX, OTHER, FacetKind, FacetQuery, Interval
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.opening import connected, opened
from gateway.stores.postgres.usage import PostgresUsage
from tests.contracts.usage_store import EVER, UsageStoreContract, asked, rolled, told
from tests.postgres import inserts_wait
from tests.usage_samples import DAY, KEPT, MINUTE, NOON, a_cell, a_facet, dimensions


class TestPostgresUsage(UsageStoreContract):
    """Runs the contract against a database."""

    @pytest.fixture
    def store(self, database: Database) -> PostgresUsage:
        return PostgresUsage(database)


# ---- several gateways


@pytest.fixture
async def stores(access: Access) -> AsyncIterator[list[PostgresUsage]]:
    async with opened(access, 4) as one, opened(access, 4) as two:
        yield [PostgresUsage(one), PostgresUsage(two)]


async def hours(store: PostgresUsage) -> int:
    rows = await store.cells(asked(interval=Interval.HOUR))
    return sum(row.measures.requests for row in rows)


async def test_what_several_gateways_count_while_one_adds_up_is_counted_once(
    stores: list[PostgresUsage],
) -> None:
    async def count(store: PostgresUsage, name: str) -> None:
        for number in range(30):
            cells = [
                a_cell(NOON + number % 7 * MINUTE, of=dimensions(f"key_{n}", route=f"{number % 3}"))
                for n in range(5)
            ]
            await store.add(cells, [], f"{name}:{number}")

    async def add_up() -> None:
        for number in range(60):
            await stores[0].roll(NOON + number * MINUTE / 10)

    await asyncio.gather(count(stores[0], "a"), count(stores[1], "b"), add_up())
    assert await hours(stores[0]) == 300
    await rolled(stores[1])
    for interval in Interval:
        rows = await stores[1].cells(asked("key", interval=interval))
        assert told(rows, "key_id") == [(f"key_{n}", 60) for n in range(5)]


async def test_the_last_batch_of_each_gateway_is_not_added_again(
    stores: list[PostgresUsage],
) -> None:
    for _ in range(2):
        await stores[0].add([a_cell()], [], "a:7")
        await stores[1].add([a_cell()], [], "b:7")
    assert await hours(stores[0]) == 2
    await stores[0].add([a_cell()], [], "a:8")
    assert await hours(stores[1]) == 3


async def test_facets_of_several_gateways_together_are_bounded(
    stores: list[PostgresUsage], url: str
) -> None:
    few = [a_facet(f"10.0.{n}.0/24") for n in range(FACET_VALUES_MAX - 1)]
    await stores[0].add([], few)
    async with inserts_wait(url, "usage_facets", "NEW.value = 'one'") as one_waits:
        one = asyncio.create_task(stores[0].add([], [a_facet("one")]))
        await one_waits()
        other = asyncio.create_task(stores[1].add([], [a_facet("other")]))
        await asyncio.wait([other], timeout=0.3)
    await asyncio.gather(one, other)
    query = FacetQuery(kind=FacetKind.NETWORK, **EVER, limit=10 * FACET_VALUES_MAX)
    values = {row.value for row in await stores[0].facets(query)}
    assert values == {*(facet.value for facet in few), "one", OTHER}


async def test_dimensions_that_another_gateway_removed_are_learnt_anew(
    stores: list[PostgresUsage],
) -> None:
    await stores[0].add([a_cell()], [])
    await rolled(stores[1])
    later = NOON + 800 * DAY
    while not await stores[1].prune(later, KEPT):
        pass
    await stores[0].add([a_cell(later)], [])
    query = asked("key", since=float(later - DAY), until=float(later + DAY))
    assert told(await stores[1].cells(query), "key_id") == [("key_a", 1)]


async def test_batches_of_gateways_that_are_gone_are_forgotten(
    stores: list[PostgresUsage], access: Access
) -> None:
    await stores[0].add([a_cell()], [], "a:1")
    await stores[0].prune(time.time() + 2 * DAY, KEPT)
    async with connected(access) as hand:
        assert await hand.fetchval("SELECT count(*) FROM usage_batches") == 0
