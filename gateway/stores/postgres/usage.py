"""Usage in the database of the keys: writing it down, adding it up, and letting old cells go.

Knows the SQL of `UsageStore` that writes; what asks is `stores.usage_queries`. Many gateways add at the same time; what
two of them have learnt or counted is told apart by who adds. It must not know what is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from gateway.domain.usage import (
    FACET_VALUES_MAX,
    OTHER,
    Cell,
    Facet,
    FacetQuery,
    FacetRow,
    Interval,
    Retention,
    UsageQuery,
    UsageRow,
)
from gateway.stores import usage_queries as asking
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.usage_queries import POSTGRES
from gateway.stores.usage_rows import (
    COUNTS,
    DIMENSIONS,
    LAST,
    LATE_DAYS,
    MARKS,
    PARTS,
    PEAKS,
    PLACE,
    REMOVED_MAX,
    ROLLED_MAX,
    STEPS,
    SUMS,
    KnownDimensions,
    Learned,
    Mark,
    Step,
    cell_values,
    learned_of,
    part_values,
)

_DAY: Final = Interval.DAY.seconds
_FACETS_TURN: Final = 0x746F6C6C_66616365
"""Whoever holds this advisory lock adds facets: how many there are of a key is counted first."""

FACET: Final = (
    *("start", "key_id", "tenant_id", "kind", "value", "requests", "first_at", "last_at"),
)
_PLACE: Final = ", ".join(PLACE)
_COUNTED: Final = ", ".join(
    (
        *(f"{name} = known.{name} + excluded.{name}" for name in SUMS),
        *(f"{name} = greatest(known.{name}, excluded.{name})" for name in PEAKS),
    )
)
_ON_CELL: Final = f"ON CONFLICT ({_PLACE}) DO UPDATE SET {_COUNTED}"
_INTO_CELLS: Final = f"INSERT INTO usage_cells AS known ({_PLACE}, {', '.join(COUNTS)})"
_ADD_CELL: Final = (
    f"{_INTO_CELLS} VALUES ({', '.join(f'${n}' for n in range(1, 4 + len(COUNTS)))}) {_ON_CELL}"
)


def _on_part(part: str) -> str:
    return f"ON CONFLICT ({_PLACE}, {part}) DO UPDATE SET count = known.count + excluded.count"


_ADD_PART: Final = {
    table: f"INSERT INTO {table} AS known VALUES ($1, $2, $3, $4, $5) {_on_part(part)}"  # noqa: S608 - own names
    for table, part in PARTS
}
_ADD_FACET: Final = f"""
    INSERT INTO usage_facets AS known ({", ".join(FACET)})
    VALUES ($1, $2, $3, $4, CASE
        WHEN EXISTS (
            SELECT 1 FROM usage_facets WHERE start = $1 AND key_id = $2 AND tenant_id = $3 AND kind = $4 AND value = $5
        ) OR (
            SELECT count(*) FROM usage_facets WHERE start = $1 AND key_id = $2 AND tenant_id = $3 AND kind = $4
        ) < {FACET_VALUES_MAX} THEN $5 ELSE '{OTHER}' END, $6, $7, $8)
    ON CONFLICT (start, key_id, tenant_id, kind, value) DO UPDATE
    SET requests = known.requests + excluded.requests,
        first_at = least(known.first_at, excluded.first_at), last_at = greatest(known.last_at, excluded.last_at)
"""  # noqa: S608 - own names
_TOLD_APART: Final = "key_id, route, tenant_id, owner_id, lineage_id, environment, is_billable"
_ADD_DIMENSIONS: Final = f"""
    INSERT INTO usage_dimensions AS known ({", ".join(DIMENSIONS)}, last_day)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[],
        $8::bigint[]) AS told ({", ".join(DIMENSIONS)}, last_day)
    ORDER BY {_TOLD_APART}
    ON CONFLICT ({_TOLD_APART}) DO UPDATE SET last_day = greatest(known.last_day, excluded.last_day)
    RETURNING dimension_id, {", ".join(DIMENSIONS)}
"""  # noqa: S608 - own names
_SHARE_STATE: Final = f"SELECT {', '.join(MARKS)} FROM usage_state FOR SHARE"  # noqa: S608 - own names
_TAKE_STATE: Final = _SHARE_STATE.replace("FOR SHARE", "FOR UPDATE")
_BEGIN_BATCH: Final = """
    INSERT INTO usage_batches AS known VALUES ($1, $2, $3)
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, added_at = excluded.added_at
    WHERE known.batch <> excluded.batch
"""
_FORGET_BATCHES: Final = "DELETE FROM usage_batches WHERE added_at < $1"


class PostgresUsage:
    """Implements `ports.UsageStore`. Unlike the port asks, any number of processes may write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = KnownDimensions()

    async def add(self, cells: Sequence[Cell], facets: Sequence[Facet], batch: str = "") -> None:
        """Add cells and facets: all of them, or nothing. A batch is told from that of another writer by its beginning,
        up to the last colon.
        """

        async def work(connection: asyncpg.Connection) -> Learned:
            if batch:
                begun = await connection.execute(
                    _BEGIN_BATCH, batch.rpartition(":")[0], batch, time.time()
                )
                if begun.endswith(" 0"):
                    return {}
            state = await connection.fetchrow(_SHARE_STATE)
            learned = await self._learn(connection, cells)
            rows = list(
                self._known.rows(cells, learned, (state[0], state[1]), (state[2], state[3]))
            )
            await _many(connection, _ADD_CELL, (cell_values(*row) for row in rows))
            for (table, _), name in zip(PARTS, ("durations", "reasons"), strict=True):
                await _many(connection, _ADD_PART[table], part_values(rows, name))
            if facets:
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _FACETS_TURN)
                await connection.executemany(_ADD_FACET, [*map(_facet_values, facets)])
            return learned

        if cells or facets:
            learned = await self._database.transact(work, about="usage")
            self._known.keep(learned)

    async def _learn(self, connection: asyncpg.Connection, cells: Iterable[Cell]) -> Learned:
        """Return the numbers of the dimensions that are new, or that were not used on such a late day.

        Another gateway may remember the number of one that was removed: it looks it up again for every later day.
        """
        wanted = self._known.wanted(cells)
        if not wanted:
            return {}
        columns = [*zip(*wanted, strict=True), [day for _, day in wanted.values()]]
        found = await connection.fetch(_ADD_DIMENSIONS, *map(list, columns))
        return learned_of(wanted, [[*row] for row in found])

    async def roll(self, until: float) -> bool:
        """Add the next minutes to their hours; without any, the next whole hours to their days."""

        async def work(connection: asyncpg.Connection) -> bool:
            state = await connection.fetchrow(_TAKE_STATE)
            minutes, hours = STEPS
            if await _roll(connection, minutes, (state[0], state[1]), int(until)):
                return False
            border = Interval.HOUR.start_of(until)
            if state[0] + 1 < border:
                # No minute is left before it: what comes from now on comes late.
                await _set_mark(connection, minutes, (border - 1, LAST[0]))
            # An hour is whole once the minutes behind it have begun to be added.
            border = max(border, Interval.HOUR.start_of(state[0] + 1))
            return not await _roll(connection, hours, (state[2], state[3]), border)

        return await self._database.transact(work, about="usage")

    async def prune(self, now: float, retention: Retention) -> bool:
        """Remove the next cells, parts, facets and dimensions that are too old."""

        async def work(connection: asyncpg.Connection) -> tuple[int, int]:
            state = await connection.fetchrow(_TAKE_STATE)
            await connection.execute(_FORGET_BATCHES, now - _DAY)
            removed = 0
            marks: tuple[Mark, ...] = ((state[0], state[1]), (state[2], state[3]), LAST)
            for interval, mark in zip(Interval, marks, strict=True):
                border = int(now - retention.seconds(interval))
                for table in ("usage_cells", *(table for table, _ in PARTS)):
                    # What is not yet among coarser cells must not leave.
                    old = "seconds = $2 AND start < $3 AND (start, dimension_id) <= ($4, $5)"
                    removed += await _remove(
                        connection, table, old, interval.seconds, border, *mark
                    )
            border = int(now - retention.facet_seconds)
            removed += await _remove(connection, "usage_facets", "start < $2", border)
            longest = max(retention.seconds(interval) for interval in Interval)
            unused = int(now - longest - LATE_DAYS * _DAY)
            return removed, await _remove(connection, "usage_dimensions", "last_day < $2", unused)

        removed, forgotten = await self._database.transact(work, about="usage")
        if forgotten:
            self._known.clear()
        return not removed and not forgotten

    async def cells(self, query: UsageQuery) -> list[UsageRow]:
        """Return the rows that `query` asks for."""
        return await asking.cells(self._database.study, POSTGRES, query)

    async def facets(self, query: FacetQuery) -> list[FacetRow]:
        """Return the rows that `query` asks for."""
        return await asking.facets(self._database.study, POSTGRES, query)


async def _many(connection: asyncpg.Connection, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run one statement for each of `rows`, in their order: so two gateways never wait for each other."""
    given = sorted(rows, key=lambda row: row[:4])
    if given:
        await connection.executemany(sql, given)


def _facet_values(facet: Facet) -> tuple[Any, ...]:
    return (
        *(facet.start, facet.key_id, facet.tenant_id, facet.kind.value, facet.value),
        *(facet.requests, facet.first_at, facet.last_at),
    )


async def _roll(connection: asyncpg.Connection, step: Step, mark: Mark, border: int) -> bool:
    """Add the next cells behind `mark` that begin before `border` to coarser ones; tell whether there were any."""
    behind = "seconds = $1 AND start >= $2 AND (start, dimension_id) > ($2, $3)"
    found = await connection.fetch(
        f"SELECT start, dimension_id FROM usage_cells WHERE {behind} AND start < $4 "  # noqa: S608 - own names
        f"ORDER BY start, dimension_id LIMIT {ROLLED_MAX}",
        *(step.fine.seconds, *mark, border),
    )
    if not found:
        return False
    last = (found[-1][0], found[-1][1])
    behind += " AND start <= $4 AND (start, dimension_id) <= ($4, $5)"
    values = (step.fine.seconds, *mark, *last)
    length = step.coarse.seconds
    coarse = f"start - start % {length}"
    sums = ", ".join((*(f"sum({name})" for name in SUMS), *(f"max({name})" for name in PEAKS)))
    await connection.execute(
        f"{_INTO_CELLS} SELECT {length}, {coarse}, dimension_id, {sums} FROM usage_cells "  # noqa: S608 - own names
        f"WHERE {behind} GROUP BY 2, 3 {_ON_CELL}",
        *values,
    )
    for table, part in PARTS:
        await connection.execute(
            f"INSERT INTO {table} AS known SELECT {length}, {coarse}, dimension_id, {part}, sum(count) "  # noqa: S608 - own names
            f"FROM {table} WHERE {behind} GROUP BY 2, 3, 4 {_on_part(part)}",
            *values,
        )
    await _set_mark(connection, step, last)
    return True


async def _set_mark(connection: asyncpg.Connection, step: Step, mark: Mark) -> None:
    await connection.execute(
        f"UPDATE usage_state SET {step.start} = $1, {step.dimension} = $2",  # noqa: S608 - own names
        *mark,
    )


async def _remove(connection: asyncpg.Connection, table: str, condition: str, *values: Any) -> int:
    """Remove some of the rows that `condition` holds for; return how many."""
    removed = await connection.execute(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - own names
        f"SELECT ctid FROM {table} WHERE {condition} LIMIT $1))",
        *(REMOVED_MAX, *values),
    )
    return int(removed.removeprefix("DELETE "))
