from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.domain.usage import Cell, Facet, FacetKind, FacetQuery, Retention, UsageQuery
from gateway.ports import StoreUnavailable
from gateway.stores.memory_usage import MemoryUsage
from gateway.telemetry.usage import PART_MAX
from gateway.telemetry.usage_writer import (
    EAGER_MAX,
    LAZY_SECONDS,
    SETTLED_SECONDS,
    STEPS_MAX,
    WAITING_MAX,
    UsageWriter,
)
from tests.contracts.usage_store import EVER, asked
from tests.telemetry.outcomes import make_key
from tests.telemetry.test_usage import START, Made
from tests.usage_samples import DAY, KEPT, a_facet


class Fragile(MemoryUsage):
    """Fails while it is told to: before it has added, or after. `steps` are what `roll` and `prune` need."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_before = 0
        self.fails_after = 0
        self.steps = 1
        self.rolled: list[float] = []
        self.batches: list[str] = []

    async def add(self, cells: Sequence[Cell], facets: Sequence[Facet], batch: str = "") -> None:
        self.batches.append(batch)
        if self.fails_before:
            self.fails_before -= 1
            raise StoreUnavailable("down")
        await super().add(cells, facets, batch)
        if self.fails_after:
            self.fails_after -= 1
            raise StoreUnavailable("no answer in time")

    async def roll(self, until: float) -> bool:
        self.rolled.append(until)
        self.steps -= 1
        return self.steps <= 0

    async def prune(self, now: float, retention: Retention) -> bool:
        self.steps -= 1
        return self.steps <= 0


class Desk:
    """A writer with what it works on."""

    def __init__(self) -> None:
        self.made = Made(counts_max=100_000)
        self.store = Fragile()
        self.told: list[int] = []
        self.writer = UsageWriter(
            self.store,
            self.made.recorder,
            self.made.clock,
            name="me",
            tell=lambda cells: self.told.append(sum(cell.measures.requests for cell in cells)),
        )

    async def stored(self) -> int:
        rows = await self.store.cells(asked())
        return sum(row.measures.requests for row in rows)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_was_counted_is_stored(desk: Desk) -> None:
    desk.made.record(key=make_key())
    await desk.writer.write()
    assert await desk.stored() == 1
    await desk.writer.write()
    assert len(desk.store.batches) == 1
    assert desk.told == [1]


async def test_a_store_that_is_down_loses_nothing(desk: Desk) -> None:
    desk.made.record(key=make_key())
    desk.store.fails_before = 3
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await desk.writer.write()
        desk.made.record(key=make_key())
    assert await desk.stored() == 0
    await desk.writer.write()
    assert await desk.stored() == 4
    assert desk.told == [1, 3]


async def test_an_answer_that_was_lost_counts_nothing_twice(desk: Desk) -> None:
    desk.made.record(key=make_key())
    desk.store.fails_after = 1
    with pytest.raises(StoreUnavailable):
        await desk.writer.write()
    desk.made.record(key=make_key())
    await desk.writer.write()
    assert await desk.stored() == 2
    assert [name == desk.store.batches[0] for name in desk.store.batches] == [True, True, False]


async def test_parts_behind_one_that_failed_are_kept(desk: Desk) -> None:
    count = 2 * PART_MAX + 5
    for number in range(count):
        desk.made.record(key=make_key(f"key_{number}"))
    desk.store.fails_after = 1
    with pytest.raises(StoreUnavailable):
        await desk.writer.write()
    await desk.writer.write()
    assert await desk.stored() == count
    assert sum(desk.told) == count


async def test_countries_are_looked_up_by_network_hp_27(desk: Desk) -> None:
    looked_up: list[str] = []

    def country(network: str) -> str:
        looked_up.append(network)
        return "NZ" if network.startswith("192.0.2.") else ""

    desk.writer.country = country
    key = make_key()
    for address in ("192.0.2.1", "192.0.2.2", "198.51.100.1"):
        desk.made.record(key=key, client_address=address)
    await desk.writer.write()
    rows = await desk.store.facets(FacetQuery(kind=FacetKind.COUNTRY, **EVER))
    assert [(row.value, row.requests) for row in rows] == [("NZ", 2), ("", 1)]
    assert sorted(looked_up) == ["192.0.2.0/24", "198.51.100.0/24"]


async def test_minutes_are_rolled_up_when_they_have_settled_in_steps(desk: Desk) -> None:
    desk.store.steps = 3
    await desk.writer.roll()
    assert desk.store.rolled == [START - SETTLED_SECONDS] * 3


async def test_rolling_up_and_removing_leave_room_for_others(desk: Desk) -> None:
    desk.store.steps = STEPS_MAX + 7
    await desk.writer.roll()
    assert desk.store.steps == 7
    await desk.writer.prune(KEPT)
    assert desk.store.steps == 0


async def test_old_usage_is_removed() -> None:
    made, store = Made(), MemoryUsage()
    writer = UsageWriter(store, made.recorder, made.clock, name="me")
    made.record(key=make_key())
    await writer.write()
    made.clock.advance(3 * DAY)
    await writer.prune(KEPT)
    query: UsageQuery = asked()
    assert len(await store.cells(query)) == 1
    made.clock.advance(100 * DAY)
    await writer.prune(KEPT)
    assert await store.cells(query) == []


async def networks(desk: Desk) -> int:
    rows = await desk.store.facets(FacetQuery(kind=FacetKind.NETWORK, **EVER))
    return sum(row.requests for row in rows)


async def test_who_made_requests_is_written_with_the_counts(desk: Desk) -> None:
    key = make_key()
    for number in (1, 2, 3):
        desk.made.record(key=key)
        await desk.writer.write()
        assert (await desk.stored(), await networks(desk)) == (number, number)
        assert len(desk.store.batches) == number  # in one transaction with the counts


def come(desk: Desk, visitors: int) -> None:
    """Let so many visitors come, each of a network of its own."""
    for number in range(visitors):
        address = f"10.{number >> 8}.{number & 255}.1"
        desk.made.recorder.take([], [a_facet(f"{address}/24")])


async def test_many_visitors_are_added_up_before_they_are_written(desk: Desk) -> None:
    """What is written at once decides how the next are: nobody counts them beforehand."""
    come(desk, EAGER_MAX + 1)
    await desk.writer.write()  # the first time at once, in parts
    assert (await networks(desk), len(desk.store.batches)) == (EAGER_MAX + 1, 3)
    for _ in range(3):
        come(desk, EAGER_MAX + 1)
        await desk.writer.write()
    assert await networks(desk) == EAGER_MAX + 1
    desk.made.clock.advance(LAZY_SECONDS)
    await desk.writer.write()
    assert (await networks(desk), len(desk.store.batches)) == (4 * (EAGER_MAX + 1), 6)


@pytest.mark.parametrize("is_last", [False, True])
async def test_visitors_that_wait_are_written_when_fewer_come_and_at_the_end(
    desk: Desk, is_last: bool
) -> None:
    for _ in range(2):
        come(desk, EAGER_MAX + 1)
        await desk.writer.write()
    if is_last:
        come(desk, EAGER_MAX + 1)
    await desk.writer.write(is_last=is_last)
    assert await networks(desk) == (3 if is_last else 2) * (EAGER_MAX + 1)


async def test_those_who_wait_are_bounded(desk: Desk) -> None:
    for _ in range(2):
        come(desk, WAITING_MAX)
        await desk.writer.write()
    assert await networks(desk) == 2 * WAITING_MAX
