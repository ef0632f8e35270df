"""Questions about usage, for every SQL store.

Knows that hours are told by cells of hours and by the minutes that are not yet among them, and days likewise; and that
the usage of one key is found by looking it up for each interval, that of many by reading all cells of the range. What
two databases say in different words, a `Dialect` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Final, Protocol

from gateway.domain.usage import (
    FIELD_OF_GROUP,
    FacetQuery,
    FacetRow,
    Interval,
    Measures,
    UsageQuery,
    UsageRow,
)
from gateway.stores.usage_rows import COUNTS, PEAKS, STEPS

_ERRORS: Final = "sum(denied) + sum(failed) + sum(upstream_4xx) + sum(upstream_5xx)"
_MADE: Final = {
    "errors": _ERRORS,
    "error_ratio": f"({_ERRORS}) * 1.0 / sum(requests)",
    "duration_mean": "sum(duration_total) / sum(requests)",
}
"""What can be ordered by and is no column."""

_HOUR: Final = Interval.HOUR.seconds
_NARROW: Final = ("key_id", "lineage_id")
"""Filters that leave few dimensions."""

Study = Callable[[str, Mapping[str, Any]], Awaitable[Sequence[Sequence[Any]]]]
"""Runs one statement, in which `:name` stands for a value, and returns its rows."""


class Dialect(Protocol):
    """How a database says what SQL leaves open."""

    @property
    def join(self) -> str:
        """What joins the few to the many, with `ON`."""
        ...

    def among(self, column: str, name: str) -> str:
        """Return the condition that `column` is one of the values of the list `:name`."""
        ...

    def rows_among(self, fields: Sequence[str], name: str) -> str:
        """Return the condition that `fields` together are one of the rows of `:name`, as `given` gives them."""
        ...

    def given(
        self, fields: Sequence[str], rows: Sequence[Sequence[Any]], name: str
    ) -> Mapping[str, Any]:
        """Return the values of `rows` for that condition."""
        ...

    def listed(self, values: Sequence[str]) -> Any:
        """Return a list as the value of its name."""
        ...

    def total(self, column: str, how: str) -> str:
        """Return the `sum` or `max` of a column, as a number of its own kind."""
        ...

    def grouped(self, fields: Sequence[str]) -> str:
        """Return what makes one row for each combination of `fields`, and none where nothing was found."""
        ...

    def moments(self, table: str, condition: str, seconds: int) -> str:
        """Return a table of every `start` from `:since` to `:until` for which `table` may have rows."""
        ...


_FILTERS: Final = ("key_id", "lineage_id", "tenant_id", "owner_id", "route", "environment")


async def cells(study: Study, dialect: Dialect, query: UsageQuery) -> list[UsageRow]:
    """Return the rows that `query` asks for."""
    asked = _Asked(query, study, dialect)
    if "reason" in query.group_by:
        return await asked.reasons_alone()
    rows = await asked.counted()
    if rows:
        is_whole = len(rows) < query.limit and not query.after
        await asked.add_parts(rows, "usage_durations", "bin", is_whole=is_whole)
        await asked.add_parts(rows, "usage_reasons", "reason", is_whole=is_whole)
    return [*rows.values()]


class _Asked:
    """The parts of the SQL of one query, and the values for it."""

    def __init__(self, query: UsageQuery, study: Study, dialect: Dialect) -> None:
        self._query = query
        self._study = study
        self._dialect = dialect
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
            conditions.append(self._dialect.among("tenant_id", "tenant_ids"))
            self._values["tenant_ids"] = self._dialect.listed(query.tenant_ids)
        if query.after:
            names = [f":after_{n}" for n in range(len(query.after))]
            conditions.append(f"({', '.join(self._fields)}) > ({', '.join(names)})")
            self._values |= {
                name[1:]: value for name, value in zip(names, query.after, strict=True)
            }
        return " AND ".join(conditions)

    async def counted(self) -> dict[tuple[Any, ...], UsageRow]:
        """Return the rows by their groups, in the order that was asked for, without durations and reasons."""
        totals = [
            f"{self._dialect.total(name, 'max' if name in PEAKS else 'sum')} AS total_{name}"
            for name in COUNTS
        ]
        sql = (
            f"SELECT {', '.join((*self._fields, *totals))} "  # noqa: S608 - own names
            f"FROM ({self._source('usage_cells', ', '.join(COUNTS))}) AS counted "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {self._grouped()} "
            f"ORDER BY {self._order()} LIMIT :limit"
        )
        found: dict[tuple[Any, ...], UsageRow] = {}
        for row in await self._study(sql, self._values):
            groups, numbers = tuple(row[: len(self._fields)]), row[len(self._fields) :]
            measures = Measures(**dict(zip(COUNTS, numbers, strict=True)))
            found[groups] = self._row(groups, measures)
        return found

    async def add_parts(
        self,
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
            among = f"AND {self._dialect.rows_among(self._fields, 'rows')}"
            values |= self._dialect.given(self._fields, [*rows], "rows")
        sql = (
            f"SELECT {', '.join((*self._fields, part))}, {self._dialect.total('count', 'sum')} "  # noqa: S608 - own names
            f"FROM ({self._source(table, f'{part}, count')}) AS counted "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {among} "
            f"GROUP BY {', '.join((*self._fields, part))}"
        )
        for row in await self._study(sql, values):
            known = rows.get(tuple(row[:-2]))
            if known is not None:  # else it was counted a moment ago
                measures = known.measures
                counts: dict[Any, int] = measures.durations if part == "bin" else measures.reasons
                counts[row[-2]] = row[-1]

    async def reasons_alone(self) -> list[UsageRow]:
        """Return rows that are told apart by reasons: how many requests were refused."""
        sql = (
            f"SELECT {', '.join(self._fields)}, {self._dialect.total('count', 'sum')} AS total_requests "  # noqa: S608 - own names
            f"FROM ({self._source('usage_reasons', 'reason, count')}) AS counted "
            f"JOIN usage_dimensions USING (dimension_id) WHERE {self._where} {self._grouped()} "
            f"ORDER BY {self._order(is_by_reason=True)} LIMIT :limit"
        )
        at = self._fields.index("reason")
        return [
            self._row(tuple(row[:-1]), Measures(requests=row[-1], reasons={row[at]: row[-1]}))
            for row in await self._study(sql, self._values)
        ]

    def _grouped(self) -> str:
        return self._dialect.grouped(self._fields)

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
        for step in STEPS:
            fine = step.fine
            if fine is query.interval:
                return
            yield (
                f"SELECT start - start % {query.interval.seconds} AS start, dimension_id, {columns} "  # noqa: S608 - own names
                f"FROM {table} WHERE seconds = {fine.seconds} AND start >= :since "
                f"AND start < :until AND start >= (SELECT {step.start} FROM usage_state) "
                f"AND (start, dimension_id) > (SELECT {step.start}, {step.dimension} FROM usage_state)"
            )

    def _looked_up(self, table: str, columns: str) -> str:
        """Return the SQL that looks up the few dimensions of one key in each interval."""
        seconds = self._query.interval.seconds
        names = [name for name in _NARROW if getattr(self._query, name)]
        narrow = " AND ".join(f"{name} = :{name}" for name in names)
        moments = self._dialect.moments("usage_cells", f"seconds = {seconds}", seconds)
        return f"""
            SELECT {table}.start, {table}.dimension_id, {columns} FROM ({moments}) AS moment
            CROSS JOIN (SELECT dimension_id FROM usage_dimensions WHERE {narrow}) AS asked
            {self._dialect.join} {table} ON {table}.seconds = {seconds}
                AND {table}.start = moment.start AND {table}.dimension_id = asked.dimension_id
        """  # noqa: S608 - own names


async def facets(study: Study, dialect: Dialect, query: FacetQuery) -> list[FacetRow]:
    """Return the rows that `query` asks for."""
    values: dict[str, Any] = {
        "kind": query.kind.value,
        "since": ceil(query.since / _HOUR) * _HOUR,
        "until": ceil(query.until),
        "limit": query.limit,
    }
    conditions = ["kind = :kind"]
    for name in ("key_id", "tenant_id", "value"):
        if getattr(query, name):
            conditions.append(f"{name} = :{name}")
            values[name] = getattr(query, name)
    if query.tenant_ids is not None:
        conditions.append(dialect.among("tenant_id", "tenant_ids"))
        values["tenant_ids"] = dialect.listed(query.tenant_ids)
    key = ["key_id"] if query.by_key else []
    requests = dialect.total("requests", "sum")
    sql = (
        f"SELECT value, {requests} AS total, min(first_at), max(last_at), {', '.join(key) or 'NULL'} FROM "  # noqa: S608 - own names
        f"{_hours(dialect) if query.key_id else 'usage_facets'} WHERE {' AND '.join(conditions)} "
        "AND usage_facets.start >= :since AND usage_facets.start < :until "
        f"GROUP BY {', '.join(('value', *key))} ORDER BY {', '.join(('total DESC', 'value', *key))} LIMIT :limit"
    )
    return [
        FacetRow(value=value, requests=requests, first_at=first, last_at=last, key_id=key_id)
        for value, requests, first, last, key_id in await study(sql, values)
    ]


def _hours(dialect: Dialect) -> str:
    """Return the SQL that visits the facets of one key hour by hour."""
    moments = dialect.moments("usage_facets", "true", _HOUR)
    return f"({moments}) AS hour {dialect.join} usage_facets ON usage_facets.start = hour.start"
