"""Questions about usage in the SQLite file.

Knows that hours are told by cells of hours and by the minutes that are not yet among them, and days likewise; and that
the usage of one key is found by looking it up for each interval, that of many by reading all cells of the range.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, Final

from gateway.domain.usage import (
    FIELD_OF_GROUP,
    FacetQuery,
    FacetRow,
    Interval,
    Measures,
    UsageQuery,
    UsageRow,
)
from gateway.stores.sqlite_file import SqliteFile

_COLUMNS: Final = (
    *("requests", "denied", "failed", "upstream_4xx", "upstream_5xx", "request_bytes"),
    *("response_bytes", "duration_total", "from_browser", "limit_used_max", "quota_used_max"),
)
_PEAKS: Final = ("limit_used_max", "quota_used_max")
_ERRORS: Final = "sum(denied) + sum(failed) + sum(upstream_4xx) + sum(upstream_5xx)"
_MADE: Final = {
    "errors": _ERRORS,
    "error_ratio": f"({_ERRORS}) * 1.0 / sum(requests)",
    "duration_mean": "sum(duration_total) / sum(requests)",
}
"""What can be ordered by and is no column."""

_MARKS: Final = {
    Interval.MINUTE: ("minute_start", "minute_dimension"),
    Interval.HOUR: ("hour_start", "hour_dimension"),
}
_NARROW: Final = ("key_id", "lineage_id")
"""Filters that leave few dimensions."""

_FILTERS: Final = ("key_id", "lineage_id", "tenant_id", "owner_id", "route", "environment")


async def cells(file: SqliteFile, query: UsageQuery) -> list[UsageRow]:
    """Return the rows that `query` asks for."""
    asked = _Asked(query)
    if "reason" in query.group_by:
        return await asked.reasons_alone(file)
    rows = await asked.counted(file)
    if rows:
        is_whole = len(rows) < query.limit and not query.after
        await asked.add_parts(file, rows, "usage_durations", "bin", is_whole=is_whole)
        await asked.add_parts(file, rows, "usage_reasons", "reason", is_whole=is_whole)
    return [*rows.values()]


class _Asked:
    """The parts of the SQL of one query, and the values for it."""

    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._fields = [FIELD_OF_GROUP[group] for group in query.group_by]
        seconds = query.interval.seconds
        self._values: dict[str, Any] = {
            "since": ceil(query.since / seconds) * seconds,
            "until": ceil(query.until),
            "limit": query.limit,
        }
        self._where = self._conditions()

    def _conditions(self) -> str:
        query = self._query
        conditions = ["true"]
        for name in _FILTERS:
            if getattr(query, name):
                conditions.append(f"{name} = :{name}")
                self._values[name] = getattr(query, name)
        if query.tenant_ids is not None:
            conditions.append("tenant_id IN (SELECT value FROM json_each(:tenant_ids))")
            self._values["tenant_ids"] = json.dumps(query.tenant_ids)
        if query.after:
            names = [f":after_{n}" for n in range(len(query.after))]
            conditions.append(f"({', '.join(self._fields)}) > ({', '.join(names)})")
            self._values |= {
                name[1:]: value for name, value in zip(names, query.after, strict=True)
            }
        return " AND ".join(conditions)

    async def counted(self, file: SqliteFile) -> dict[tuple[Any, ...], UsageRow]:
        """Return the rows by their groups, in the order that was asked for, without durations and reasons."""
        totals = [
            f"{'max' if name in _PEAKS else 'sum'}({name}) AS total_{name}" for name in _COLUMNS
        ]
        sql = (
            f"SELECT {', '.join((*self._fields, *totals))} "  # noqa: S608 - own names
            f"FROM ({self._source('usage_cells', ', '.join(_COLUMNS))}) "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {self._grouped()} "
            f"ORDER BY {self._order()} LIMIT :limit"
        )
        found: dict[tuple[Any, ...], UsageRow] = {}
        for row in await file.study(sql, self._values):
            groups, numbers = tuple(row[: len(self._fields)]), row[len(self._fields) :]
            measures = Measures(**dict(zip(_COLUMNS, numbers, strict=True)))
            found[groups] = self._row(groups, measures)
        return found

    async def add_parts(
        self,
        file: SqliteFile,
        rows: dict[tuple[Any, ...], UsageRow],
        table: str,
        part: str,
        *,
        is_whole: bool,
    ) -> None:
        """Add durations or reasons to `rows`: all of those that there are, or some."""
        values = dict(self._values)
        among = ""
        if not is_whole and self._fields:
            picked = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(self._fields)))
            among = f"AND ({', '.join(self._fields)}) IN (SELECT {picked} FROM json_each(:rows))"  # noqa: S608 - own names
            values["rows"] = json.dumps([[*groups] for groups in rows])
        sql = (
            f"SELECT {', '.join((*self._fields, part))}, sum(count) "  # noqa: S608 - own names
            f"FROM ({self._source(table, f'{part}, count')}) "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {among} "
            f"GROUP BY {', '.join((*self._fields, part))}"
        )
        for row in await file.study(sql, values):
            known = rows.get(tuple(row[:-2]))
            if known is not None:  # else it was counted a moment ago
                measures = known.measures
                counts: dict[Any, int] = measures.durations if part == "bin" else measures.reasons
                counts[row[-2]] = row[-1]

    async def reasons_alone(self, file: SqliteFile) -> list[UsageRow]:
        """Return rows that are told apart by reasons: how many requests were refused."""
        sql = (
            f"SELECT {', '.join(self._fields)}, sum(count) AS total_requests "  # noqa: S608 - own names
            f"FROM ({self._source('usage_reasons', 'reason, count')}) "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {self._grouped()} "
            f"ORDER BY {self._order(is_by_reason=True)} LIMIT :limit"
        )
        at = self._fields.index("reason")
        return [
            self._row(tuple(row[:-1]), Measures(requests=row[-1], reasons={row[at]: row[-1]}))
            for row in await file.study(sql, self._values)
        ]

    def _grouped(self) -> str:
        # Grouped in any case: else there would be a row where nothing was found.
        return f"GROUP BY {', '.join(self._fields) or 'NULL'}"

    def _order(self, *, is_by_reason: bool = False) -> str:
        by = self._query.order_by
        first: list[str] = []
        if by and is_by_reason:
            first = ["total_requests DESC"] if by == "requests" else []
        elif by:
            first = [f"{_MADE.get(by, f'total_{by}')} DESC"]
        return ", ".join((*first, *self._fields)) or "1"

    def _row(self, groups: Sequence[Any], measures: Measures) -> UsageRow:
        values: dict[str, Any] = dict(zip(self._fields, groups, strict=True))
        if "is_billable" in values:
            values["is_billable"] = bool(values["is_billable"])
        return UsageRow(measures=measures, **values)

    def _source(self, table: str, columns: str) -> str:
        """Return the SQL of all rows of a table that tell of the range, with the start of their interval."""
        return " UNION ALL ".join(self._sources(table, columns))

    def _sources(self, table: str, columns: str) -> Iterator[str]:
        query = self._query
        if any(getattr(query, name) for name in _NARROW):
            yield self._looked_up(table, columns)
        else:
            yield (
                f"SELECT start, dimension_id, {columns} FROM {table} "  # noqa: S608 - own names
                f"WHERE seconds = {query.interval.seconds} AND start >= :since AND start < :until"
            )
        for fine in Interval:
            if fine is query.interval:
                return
            start, dimension = _MARKS[fine]
            yield (
                f"SELECT start - start % {query.interval.seconds} AS start, dimension_id, {columns} "  # noqa: S608 - own names
                f"FROM {table} WHERE seconds = {fine.seconds} AND start >= :since "
                f"AND start < :until AND start >= (SELECT {start} FROM usage_state) "
                f"AND (start, dimension_id) > (SELECT {start}, {dimension} FROM usage_state)"
            )

    def _looked_up(self, table: str, columns: str) -> str:
        """Return the SQL that looks up the few dimensions of one key in each interval."""
        seconds = self._query.interval.seconds
        names = [name for name in _NARROW if getattr(self._query, name)]
        narrow = " AND ".join(f"{name} = :{name}" for name in names)
        bounds = f"FROM usage_cells WHERE seconds = {seconds}"
        return f"""
            SELECT {table}.start, {table}.dimension_id, {columns} FROM (
                WITH RECURSIVE moments (start, last) AS (
                    SELECT max(:since, (SELECT min(start) {bounds})),
                        min(:until - 1, (SELECT max(start) {bounds}))
                    UNION ALL SELECT start + {seconds}, last FROM moments
                    WHERE start + {seconds} <= last
                ) SELECT start FROM moments WHERE start <= last
            ) AS moment
            CROSS JOIN (SELECT dimension_id FROM usage_dimensions WHERE {narrow}) AS asked
            CROSS JOIN {table} ON {table}.seconds = {seconds}
                AND {table}.start = moment.start AND {table}.dimension_id = asked.dimension_id
        """  # noqa: S608 - own names


async def facets(file: SqliteFile, query: FacetQuery) -> list[FacetRow]:
    """Return the rows that `query` asks for."""
    values: dict[str, Any] = {
        "kind": query.kind.value,
        "since": ceil(query.since / 3_600) * 3_600,
        "until": ceil(query.until),
        "limit": query.limit,
    }
    conditions = ["kind = :kind"]
    for name in ("key_id", "tenant_id", "value"):
        if getattr(query, name):
            conditions.append(f"{name} = :{name}")
            values[name] = getattr(query, name)
    if query.tenant_ids is not None:
        conditions.append("tenant_id IN (SELECT value FROM json_each(:tenant_ids))")
        values["tenant_ids"] = json.dumps(query.tenant_ids)
    key = "key_id" if query.by_key else "NULL"
    sql = (
        f"SELECT value, sum(requests), min(first_at), max(last_at), {key} FROM "  # noqa: S608 - own names
        f"{_hours() if query.key_id else 'usage_facets'} WHERE {' AND '.join(conditions)} "
        f"AND usage_facets.start >= :since AND usage_facets.start < :until GROUP BY value, {key} "
        f"ORDER BY sum(requests) DESC, value, {key} LIMIT :limit"
    )
    return [
        FacetRow(value=value, requests=requests, first_at=first, last_at=last, key_id=key_id)
        for value, requests, first, last, key_id in await file.study(sql, values)
    ]


def _hours() -> str:
    """Return the SQL that visits the facets of one key hour by hour."""
    return """(
        WITH RECURSIVE hours (start, last) AS (
            SELECT max(:since, (SELECT min(start) FROM usage_facets)),
                min(:until - 1, (SELECT max(start) FROM usage_facets))
            UNION ALL SELECT start + 3600, last FROM hours WHERE start + 3600 <= last
        ) SELECT start FROM hours WHERE start <= last
    ) AS hour CROSS JOIN usage_facets ON usage_facets.start = hour.start"""
