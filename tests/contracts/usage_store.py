"""What every `UsageStore` promises. An adapter's test subclasses `UsageStoreContract` and gives `store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.domain.usage import (
    FACET_VALUES_MAX,
    ORDERS,
    OTHER,
    Cell,
    FacetKind,
    FacetQuery,
    Interval,
    Measures,
    UsageQuery,
    UsageRow,
)
from gateway.ports import UsageStore
from gateway.stores.memory_usage import MemoryUsage
from tests.usage_samples import DAY, HOUR, KEPT, MINUTE, NOON, a_cell, a_facet, dimensions

EVER: dict[str, Any] = {"since": 0.0, "until": float(NOON + 10 * DAY)}


def asked(*group_by: str, **values: Any) -> UsageQuery:
    wanted: dict[str, Any] = {**EVER, "group_by": group_by}
    return UsageQuery(**(wanted | values))


async def rolled(store: UsageStore, until: float = NOON + 10 * DAY) -> None:
    while not await store.roll(until):
        pass


def told(rows: Sequence[UsageRow], *names: str) -> list[tuple[Any, ...]]:
    """Return some fields of rows, and how many requests each has counted."""
    return [(*(getattr(row, name) for name in names), row.measures.requests) for row in rows]


class UsageStoreContract:
    """The suite; `store` is empty at the start of each test."""

    async def test_what_was_added_comes_back_in_each_interval(self, store: UsageStore) -> None:
        cell = a_cell(
            requests=3,
            denied=1,
            failed=1,
            upstream_4xx=1,
            upstream_5xx=1,
            request_bytes=5,
            from_browser=2,
            limit_used_max=0.5,
            quota_used_max=0.25,
            durations={3: 1, 20: 2},
            reasons={"rate_limited": 1, "internal": 1},
        )
        await store.add([cell], [])
        for interval in Interval:
            [row] = await store.cells(asked(interval=interval))
            assert row == UsageRow(measures=cell.measures)

    async def test_cells_add_up_however_they_come(self, store: UsageStore) -> None:
        await store.add([a_cell(requests=1, limit_used_max=0.9), a_cell(requests=2)], [])
        await store.add([a_cell(requests=4, reasons={"internal": 1}, failed=1)], [])
        [row] = await store.cells(asked(interval=Interval.MINUTE))
        assert (row.measures.requests, row.measures.limit_used_max) == (7, 0.9)
        assert row.measures.durations == {20: 7}
        assert row.measures.reasons == {"internal": 1}

    async def test_hours_and_days_hold_minutes_rolled_up_or_not(self, store: UsageStore) -> None:
        for number in range(0, 150, 10):
            await store.add([a_cell(NOON + number * MINUTE)], [])
        hours = [(NOON, 6), (NOON + HOUR, 6), (NOON + 2 * HOUR, 3)]
        for border in (0, NOON + 30 * MINUTE, NOON + 95 * MINUTE, NOON + 10 * DAY):
            await rolled(store, border)
            rows = await store.cells(asked("time", interval=Interval.HOUR))
            assert told(rows, "start") == hours
            assert [row.measures.durations for row in rows] == [{20: 6}, {20: 6}, {20: 3}]
            rows = await store.cells(asked("time", interval=Interval.DAY))
            assert told(rows, "start") == [(NOON - DAY // 2, 15)]

    async def test_what_comes_late_is_in_all_intervals(self, store: UsageStore) -> None:
        await store.add([a_cell(NOON), a_cell(NOON + 3 * DAY)], [])
        await rolled(store)
        late = [
            a_cell(NOON, 2, reasons={"internal": 2}, failed=2),
            a_cell(NOON + MINUTE, 3),
            a_cell(NOON, 4, dimensions("key_late")),
        ]
        await store.add(late, [])
        for _ in range(2):
            for interval in Interval:
                [row] = await store.cells(asked(interval=interval, until=NOON + DAY))
                assert row.measures.requests == 10, interval
                assert row.measures.durations == {20: 10}
                assert row.measures.reasons == {"internal": 2}
            await rolled(store)

    async def test_a_batch_is_added_once(self, store: UsageStore) -> None:
        for _ in range(3):
            await store.add([a_cell()], [a_facet()], "one")
        await store.add([a_cell()], [a_facet()], "two")
        [row] = await store.cells(asked())
        assert row.measures.requests == 2
        [facet] = await store.facets(FacetQuery(kind=FacetKind.NETWORK, **EVER))
        assert facet.requests == 2

    async def test_without_requests_there_is_no_row(self, store: UsageStore) -> None:
        await store.add([], [])
        assert await store.cells(asked()) == []
        assert await store.cells(asked("key", "time")) == []
        assert await store.cells(asked("reason")) == []
        assert await store.facets(FacetQuery(kind=FacetKind.COUNTRY, **EVER)) == []

    async def test_a_range_holds_cells_that_begin_in_it(self, store: UsageStore) -> None:
        await store.add([a_cell(NOON + n * MINUTE) for n in range(5)], [])
        query = asked("time", interval=Interval.MINUTE, since=NOON + 1, until=NOON + 3 * MINUTE)
        assert told(await store.cells(query), "start") == [
            (NOON + MINUTE, 1),
            (NOON + 2 * MINUTE, 1),
        ]
        one_key = replace(query, key_id="key_a")
        assert await store.cells(one_key) == await store.cells(query)

    async def test_usage_is_told_by_each_group_hp_1(self, store: UsageStore) -> None:
        await store.add(
            [
                a_cell(of=dimensions("key_a", tenant_id="ten_b", route="jobs")),
                a_cell(of=dimensions("key_a", route="users"), requests=2),
                a_cell(of=dimensions("key_b", environment="test", is_billable=False), requests=4),
                a_cell(of=dimensions("key_c", lineage_id="lin_key_b", owner_id="ten_c")),
            ],
            [],
        )
        expected = {
            "key": [("key_a", 3), ("key_b", 4), ("key_c", 1)],
            "lineage": [("lin_key_a", 3), ("lin_key_b", 5)],
            "tenant": [("ten_a", 7), ("ten_b", 1)],
            "owner": [("ten_a", 7), ("ten_c", 1)],
            "environment": [("live", 4), ("test", 4)],
            "route": [("jobs", 6), ("users", 2)],
            "time": [(NOON, 8)],
        }
        names = {"key": "key_id", "lineage": "lineage_id", "tenant": "tenant_id"}
        names |= {"owner": "owner_id", "time": "start"}
        for group, rows in expected.items():
            found = await store.cells(asked(group, interval=Interval.HOUR))
            assert told(found, names.get(group, group)) == rows, group
        both = await store.cells(asked("route", "key"))
        assert told(both, "route", "key_id") == [
            ("jobs", "key_a", 1),
            ("jobs", "key_b", 4),
            ("jobs", "key_c", 1),
            ("users", "key_a", 2),
        ]

    async def test_billable_requests_are_told_apart_jh_7(self, store: UsageStore) -> None:
        await store.add(
            [
                a_cell(of=dimensions("key_a"), requests=2),
                a_cell(of=dimensions("key_b", environment="dev", is_billable=False)),
                a_cell(of=dimensions("key_a", is_billable=False)),
            ],
            [],
        )
        rows = await store.cells(asked("billable"))
        assert told(rows, "is_billable") == [(False, 2), (True, 2)]
        assert [type(row.is_billable) for row in rows] == [bool, bool]

    async def test_refusals_are_told_by_reason(self, store: UsageStore) -> None:
        await store.add(
            [
                a_cell(requests=9, denied=3, reasons={"rate_limited": 2, "no_route": 1}),
                a_cell(NOON + HOUR, of=dimensions("key_b"), failed=1, reasons={"internal": 1}),
            ],
            [],
        )
        await rolled(store)
        rows = await store.cells(asked("reason", interval=Interval.DAY))
        assert told(rows, "reason") == [("internal", 1), ("no_route", 1), ("rate_limited", 2)]
        assert rows[2].measures == Measures(requests=2, reasons={"rate_limited": 2})
        rows = await store.cells(asked("key", "reason", order_by="requests", limit=1))
        assert told(rows, "key_id", "reason") == [("key_a", "rate_limited", 2)]
        rows = await store.cells(asked("reason", order_by="errors"))
        assert told(rows, "reason")[0] == ("internal", 1)

    @pytest.mark.parametrize(
        ("values", "requests"),
        [
            ({"key_id": "key_a"}, 3),
            ({"lineage_id": "lin_key_b"}, 4),
            ({"key_id": "key_b", "lineage_id": "lin_key_b"}, 4),
            ({"key_id": "key_a", "route": "users"}, 2),
            ({"tenant_id": "ten_b"}, 1),
            ({"owner_id": "ten_a"}, 7),
            ({"route": "jobs"}, 5),
            ({"environment": "test"}, 4),
            ({"tenant_ids": ("ten_b", "ten_c")}, 1),
            ({"tenant_ids": ("ten_a",), "key_id": "key_a"}, 2),
        ],
    )
    async def test_filters_leave_only_what_was_asked_for(
        self, store: UsageStore, values: dict[str, Any], requests: int
    ) -> None:
        cells = [
            a_cell(of=dimensions("key_a", tenant_id="ten_b")),
            a_cell(of=dimensions("key_a", route="users"), requests=2),
            a_cell(of=dimensions("key_b", environment="test"), requests=4, reasons={"x": 1}),
        ]
        for cell in cells:
            await store.add([replace(cell, start=NOON + 2 * HOUR)], [])
        for border in (0, NOON + 10 * DAY):
            await rolled(store, border)
            for interval in Interval:
                [row] = await store.cells(asked(interval=interval, **values))
                assert row.measures.requests == requests
                assert sum(row.measures.durations.values()) == requests
        assert await store.cells(asked(**(values | {"key_id": "key_x"}))) == []

    @pytest.mark.parametrize("order", ORDERS)
    async def test_rows_come_in_the_order_that_was_asked_for(
        self, store: UsageStore, order: str
    ) -> None:
        random = Random(1)
        cells = []
        for number in range(6):
            requests = random.randrange(1, 50)
            parts = [random.randrange(requests) for _ in range(7)]
            cells.append(
                a_cell(
                    of=dimensions(f"key_{number}"),
                    requests=requests,
                    denied=parts[0],
                    failed=parts[1],
                    upstream_4xx=parts[2],
                    upstream_5xx=parts[3],
                    request_bytes=parts[4],
                    response_bytes=parts[5],
                    from_browser=parts[6],
                    duration_total=random.random(),
                    limit_used_max=random.random(),
                    quota_used_max=random.random(),
                )
            )
        await store.add(cells, [])
        rows = await store.cells(asked("key", order_by=order, limit=4))
        best = sorted(cells, key=lambda cell: -_value(cell, order))[:4]
        assert [row.key_id for row in rows] == [cell.dimensions.key_id for cell in best]
        assert [row.measures for row in rows] == [cell.measures for cell in best]

    async def test_pages_follow_each_other(self, store: UsageStore) -> None:
        cells = [
            a_cell(NOON + minute * MINUTE, of=dimensions(f"key_{n}", is_billable=n == 1))
            for minute in range(3)
            for n in range(3)
        ]
        await store.add(cells, [])
        query = asked("billable", "time", "key", interval=Interval.MINUTE)
        whole = await store.cells(query)
        pages: list[UsageRow] = []
        while page := await store.cells(
            replace(query, limit=2, after=pages[-1].place(query.group_by) if pages else ())
        ):
            pages += page
        assert pages == whole
        assert len(whole) == 9

    async def test_old_cells_leave_and_what_is_coarser_stays(self, store: UsageStore) -> None:
        await store.add([a_cell(NOON, failed=1, reasons={"internal": 1})], [a_facet()])
        later = NOON + 5 * DAY
        await store.add([a_cell(later)], [a_facet(start=later)])
        await rolled(store)
        counts = []
        for now in (NOON, NOON + 4 * DAY, NOON + 91 * DAY, NOON + 731 * DAY, NOON + 2_000 * DAY):
            while not await store.prune(now, KEPT):
                pass
            found = [await store.cells(asked(interval=each)) for each in Interval]
            counts.append([sum(row.measures.requests for row in rows) for rows in found])
            reasons = [row.measures.reasons for rows in found for row in rows]
            assert all(each in ({}, {"internal": 1}) for each in reasons)
            assert len(await store.facets(FacetQuery(kind=FacetKind.NETWORK, **EVER))) <= 1
        assert counts == [[2, 2, 2], [1, 2, 2], [0, 1, 2], [0, 0, 1], [0, 0, 0]]
        assert await store.facets(FacetQuery(kind=FacetKind.NETWORK, **EVER)) == []
        await store.add([a_cell(NOON)], [])
        assert told(await store.cells(asked("key")), "key_id") == [("key_a", 1)]

    async def test_facets_tell_who_used_a_key_and_when(self, store: UsageStore) -> None:
        await store.add([], [a_facet(), a_facet("198.51.100.0/24", requests=3)])
        await store.add(
            [], [a_facet(first_at=NOON + 0.5, last_at=NOON + 1), a_facet(last_at=NOON + 9)]
        )
        await store.add([], [a_facet(start=NOON + HOUR, key_id="key_b", tenant_id="ten_b")])
        query = FacetQuery(kind=FacetKind.NETWORK, **EVER)
        rows = await store.facets(query)
        assert [(row.value, row.requests) for row in rows] == [
            ("192.0.2.0/24", 4),
            ("198.51.100.0/24", 3),
        ]
        assert (rows[0].first_at, rows[0].last_at, rows[0].key_id) == (NOON + 0.5, NOON + 9, None)
        rows = await store.facets(replace(query, by_key=True))
        assert [(row.key_id, row.requests) for row in rows] == [
            ("key_a", 3),
            ("key_a", 3),
            ("key_b", 1),
        ]
        for values, requests in (
            ({"key_id": "key_a"}, [3, 3]),
            ({"tenant_id": "ten_b"}, [1]),
            ({"tenant_ids": ("ten_b",)}, [1]),
            ({"tenant_ids": ()}, []),
            ({"value": "198.51.100.0/24"}, [3]),
            ({"key_id": "key_a", "value": "198.51.100.0/24"}, [3]),
            ({"since": NOON + 1.0}, [1]),
            ({"key_id": "key_b", "since": NOON + 1.0}, [1]),
            ({"until": NOON + 1.0}, [3, 3]),
            ({"kind": FacetKind.COUNTRY}, []),
            ({"limit": 1}, [4]),
        ):
            found = await store.facets(replace(query, **values))
            assert [row.requests for row in found] == requests, values

    async def test_facets_are_bounded_per_key_and_hour(self, store: UsageStore) -> None:
        facets = [a_facet(f"10.0.{n}.0/24") for n in range(FACET_VALUES_MAX + 5)]
        await store.add([], facets[:40])
        await store.add([], facets[40:])
        await store.add([], [facets[0], a_facet("10.9.9.0/24", key_id="key_b")])
        rows = await store.facets(FacetQuery(kind=FacetKind.NETWORK, key_id="key_a", **EVER))
        assert len(rows) == FACET_VALUES_MAX + 1
        assert [(row.value, row.requests) for row in rows[:2]] == [(OTHER, 5), ("10.0.0.0/24", 2)]
        assert sum(row.requests for row in rows) == FACET_VALUES_MAX + 6

    async def test_it_answers_like_the_one_in_memory_whatever_happens(
        self, store: UsageStore
    ) -> None:
        random, plain = Random(7), MemoryUsage()
        for _ in range(40):
            if random.random() < 0.3:
                await store.roll(NOON + random.randrange(3 * DAY))
            cells = [
                a_cell(
                    NOON + random.randrange(4_000) * MINUTE,
                    random.randrange(1, 5),
                    dimensions(f"key_{random.randrange(4)}", route=f"r{random.randrange(3)}"),
                    durations={random.randrange(50): 1},
                    reasons={random.choice(("a", "b")): 1} if random.random() < 0.3 else {},
                )
                for _ in range(random.randrange(20))
            ]
            await store.add(cells, [])
            await plain.add(cells, [])
            query = asked(
                *random.sample(["time", "key", "route", "reason"], random.randrange(1, 4)),
                interval=random.choice([*Interval]),
                key_id=random.choice(["", "key_1"]),
                limit=random.choice([3, 1_000]),
                since=NOON + random.randrange(2 * DAY),
            )
            found, expected = await store.cells(query), await plain.cells(query)
            assert [_rounded(row) for row in found] == [_rounded(row) for row in expected]


def _value(cell: Cell, order: str) -> float:
    value: float = getattr(cell.measures, order)
    return value


def _rounded(row: UsageRow) -> UsageRow:
    """Return a row without what the order of a sum of fractions changes."""
    row.measures.duration_total = round(row.measures.duration_total, 6)
    return row
