"""Usage in the SQLite file of the keys: writing it down, adding it up, and letting old cells go.

Knows the SQL of `UsageStore` that writes; what asks is `usage_queries`. Every act is one short transaction, so
that a change of a key waits for a few milliseconds at most. It must not know what is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import aiosqlite

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
from gateway.stores.sqlite_file import SqliteFile
from gateway.stores.sqlite_usage_queries import SQLITE
from gateway.stores.usage_rows import (
    COUNTS,
    DIMENSIONS,
    LAST,
    LATE_DAYS,
    MARKS,
    PARTS,
    PEAKS,
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

_COUNTED: Final = ", ".join(
    (
        *(f"{name} = {name} + excluded.{name}" for name in SUMS),
        *(f"{name} = max({name}, excluded.{name})" for name in PEAKS),
    )
)
_ON_CELL: Final = f"ON CONFLICT (seconds, start, dimension_id) DO UPDATE SET {_COUNTED}"
_ON_PART: Final = "ON CONFLICT DO UPDATE SET count = count + excluded.count"
_ADD_CELL: Final = (
    f"INSERT INTO usage_cells (seconds, start, dimension_id, {', '.join(COUNTS)}) "  # noqa: S608 - own names
    f"VALUES ({', '.join('?' * (3 + len(COUNTS)))}) {_ON_CELL}"
)
_ADD_DURATION: Final = f"INSERT INTO usage_durations VALUES (?, ?, ?, ?, ?) {_ON_PART}"  # noqa: S608 - own names
_ADD_REASON: Final = f"INSERT INTO usage_reasons VALUES (?, ?, ?, ?, ?) {_ON_PART}"  # noqa: S608 - own names
_ADD_FACET: Final = f"""
    INSERT INTO usage_facets (start, key_id, tenant_id, kind, value, requests, first_at, last_at)
    VALUES (?1, ?2, ?3, ?4, CASE
        WHEN EXISTS (
            SELECT 1 FROM usage_facets WHERE start = ?1 AND key_id = ?2 AND tenant_id = ?3 AND kind = ?4 AND value = ?5
        ) OR (
            SELECT count(*) FROM usage_facets WHERE start = ?1 AND key_id = ?2 AND tenant_id = ?3 AND kind = ?4
        ) < {FACET_VALUES_MAX} THEN ?5 ELSE '{OTHER}' END, ?6, ?7, ?8)
    ON CONFLICT (start, key_id, tenant_id, kind, value) DO UPDATE
    SET requests = requests + excluded.requests,
        first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)
"""  # noqa: S608 - own names
_ADD_DIMENSIONS: Final = (
    f"INSERT INTO usage_dimensions ({', '.join(DIMENSIONS)}, last_day) "  # noqa: S608 - own names
    f"VALUES ({', '.join('?' * len(DIMENSIONS))}, ?) ON CONFLICT "
    "(key_id, route, tenant_id, owner_id, lineage_id, environment, is_billable) "
    "DO UPDATE SET last_day = max(last_day, excluded.last_day)"
)
_FIND_DIMENSIONS: Final = (
    f"SELECT dimension_id, {', '.join(DIMENSIONS)} FROM json_each(?) AS wanted "  # noqa: S608 - own names
    "JOIN usage_dimensions ON "
    + " AND ".join(
        f"{name} = json_extract(wanted.value, '$[{n}]')" for n, name in enumerate(DIMENSIONS)
    )
)
_STATE: Final = f"SELECT {', '.join(MARKS)} FROM usage_state"  # noqa: S608 - own names
_BEGIN_BATCH: Final = (
    "UPDATE usage_state SET batch = :batch "  # noqa: S608 - own names
    f"WHERE batch <> :batch OR :batch = '' RETURNING {', '.join(MARKS)}"
)


class SqliteUsage:
    """Implements `ports.UsageStore` over an open file; `aside` is where questions are asked, beside all others."""

    def __init__(self, file: SqliteFile, aside: SqliteFile) -> None:
        self._file = file
        self._aside = aside
        self._known = KnownDimensions()  # the number, and the last day

    async def add(self, cells: Sequence[Cell], facets: Sequence[Facet], batch: str = "") -> None:
        """Add cells and facets: all of them, or nothing."""

        async def work(connection: aiosqlite.Connection) -> Learned:
            state = await connection.execute_fetchall(_BEGIN_BATCH, {"batch": batch})
            if not state:
                return {}
            [[*marks]] = state
            learned = await self._learn(connection, cells)
            rows = list(
                self._known.rows(cells, learned, (marks[0], marks[1]), (marks[2], marks[3]))
            )
            await _many(connection, _ADD_CELL, (cell_values(*row) for row in rows))
            await _many(connection, _ADD_DURATION, part_values(rows, "durations"))
            await _many(connection, _ADD_REASON, part_values(rows, "reasons"))
            await _many(connection, _ADD_FACET, map(_facet_values, facets))
            return learned

        if cells or facets:
            learned = await self._file.transact(work, about="usage")
            self._known.keep(learned)

    async def _learn(self, connection: aiosqlite.Connection, cells: Iterable[Cell]) -> Learned:
        """Return the numbers of the dimensions that are new, or that were not used on such a late day."""
        wanted = self._known.wanted(cells)
        if not wanted:
            return {}
        rows = [(*values, day) for values, (_, day) in wanted.items()]
        await _many(connection, _ADD_DIMENSIONS, rows)
        found = await connection.execute_fetchall(_FIND_DIMENSIONS, (json.dumps([*wanted]),))
        return learned_of(wanted, [[*row] for row in found])

    async def roll(self, until: float) -> bool:
        """Add the next minutes to their hours; without any, the next whole hours to their days."""

        async def work(connection: aiosqlite.Connection) -> bool:
            [state] = await connection.execute_fetchall(_STATE)
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

        return await self._file.transact(work, about="usage")

    async def prune(self, now: float, retention: Retention) -> bool:
        """Remove the next cells, parts, facets and dimensions that are too old."""

        async def work(connection: aiosqlite.Connection) -> tuple[int, int]:
            [state] = await connection.execute_fetchall(_STATE)
            removed = 0
            marks: tuple[Mark, ...] = ((state[0], state[1]), (state[2], state[3]), LAST)
            for interval, mark in zip(Interval, marks, strict=True):
                border = now - retention.seconds(interval)
                for table, part in (("usage_cells", ""), *PARTS):
                    removed += await _remove(connection, table, part, interval, border, mark)
            border = now - retention.facet_seconds
            removed += await _remove_facets(connection, border)
            longest = max(retention.seconds(interval) for interval in Interval)
            unused = now - longest - LATE_DAYS * Interval.DAY.seconds
            return removed, await _remove_dimensions(connection, unused)

        removed, forgotten = await self._file.transact(work, about="usage")
        if forgotten:
            self._known.clear()
        return not removed and not forgotten

    async def cells(self, query: UsageQuery) -> list[UsageRow]:
        """Return the rows that `query` asks for."""
        return await asking.cells(self._aside.study, SQLITE, query)

    async def facets(self, query: FacetQuery) -> list[FacetRow]:
        """Return the rows that `query` asks for."""
        return await asking.facets(self._aside.study, SQLITE, query)


async def _many(connection: aiosqlite.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """Run one statement for each of `rows`, beside the event loop."""
    given = list(rows)
    if given:
        cursor = await connection.executemany(sql, given)
        await cursor.close()


def _facet_values(facet: Facet) -> tuple[Any, ...]:
    return (
        *(facet.start, facet.key_id, facet.tenant_id, facet.kind.value, facet.value),
        *(facet.requests, facet.first_at, facet.last_at),
    )


async def _roll(connection: aiosqlite.Connection, step: Step, mark: Mark, border: int) -> bool:
    """Add the next cells behind `mark` that begin before `border` to coarser ones; tell whether there were any."""
    values = {"fine": step.fine.seconds, "coarse": step.coarse.seconds, "until": border}
    values |= {"start": mark[0], "dimension": mark[1]}
    behind = "seconds = :fine AND start >= :start AND (start, dimension_id) > (:start, :dimension)"
    found = list(
        await connection.execute_fetchall(
            "SELECT start, dimension_id FROM usage_cells "  # noqa: S608 - own names
            f"WHERE {behind} AND start < :until ORDER BY start, dimension_id LIMIT {ROLLED_MAX}",
            values,
        )
    )
    if not found:
        return False
    values["last_start"], values["last_dimension"] = found[-1]
    behind += (
        " AND start <= :last_start AND (start, dimension_id) <= (:last_start, :last_dimension)"
    )
    coarse = "start - start % :coarse"
    sums = ", ".join((*(f"sum({name})" for name in SUMS), *(f"max({name})" for name in PEAKS)))
    await connection.execute_fetchall(
        f"INSERT INTO usage_cells (seconds, start, dimension_id, {', '.join(COUNTS)}) "  # noqa: S608 - own names
        f"SELECT :coarse, {coarse}, dimension_id, {sums} FROM usage_cells WHERE {behind} "
        f"GROUP BY {coarse}, dimension_id {_ON_CELL}",
        values,
    )
    for table, part in PARTS:
        await connection.execute_fetchall(
            f"INSERT INTO {table} SELECT :coarse, {coarse}, dimension_id, {part}, sum(count) "  # noqa: S608 - own names
            f"FROM {table} WHERE {behind} GROUP BY {coarse}, dimension_id, {part} {_ON_PART}",
            values,
        )
    await _set_mark(connection, step, (found[-1][0], found[-1][1]))
    return True


async def _set_mark(connection: aiosqlite.Connection, step: Step, mark: Mark) -> None:
    await connection.execute_fetchall(
        f"UPDATE usage_state SET {step.start} = ?, {step.dimension} = ?",  # noqa: S608 - own names
        mark,
    )


async def _remove(
    connection: aiosqlite.Connection,
    table: str,
    part: str,
    interval: Interval,
    border: float,
    mark: Mark,
) -> int:
    """Remove what begins before `border`; what is not yet among coarser cells must not leave."""
    place = "seconds, start, dimension_id" + (f", {part}" if part else "")
    return await _changed(
        connection,
        f"DELETE FROM {table} WHERE ({place}) IN (SELECT {place} FROM {table} "  # noqa: S608 - own names
        "WHERE seconds = ? AND start < ? AND (start, dimension_id) <= (?, ?) "
        f"ORDER BY {place} LIMIT {REMOVED_MAX})",
        (interval.seconds, border, *mark),
    )


async def _remove_facets(connection: aiosqlite.Connection, border: float) -> int:
    place = "start, key_id, tenant_id, kind, value"
    return await _changed(
        connection,
        f"DELETE FROM usage_facets WHERE ({place}) IN (SELECT {place} FROM usage_facets "  # noqa: S608 - own names
        f"WHERE start < ? ORDER BY {place} LIMIT {REMOVED_MAX})",
        (border,),
    )


async def _remove_dimensions(connection: aiosqlite.Connection, border: float) -> int:
    return await _changed(
        connection,
        "DELETE FROM usage_dimensions WHERE dimension_id IN (SELECT dimension_id "  # noqa: S608 - own names
        f"FROM usage_dimensions WHERE last_day < ? LIMIT {REMOVED_MAX})",
        (border,),
    )


async def _changed(connection: aiosqlite.Connection, sql: str, values: Sequence[Any]) -> int:
    """Run a statement; return how many rows it has changed."""
    async with connection.execute(sql, values) as cursor:
        return cursor.rowcount
