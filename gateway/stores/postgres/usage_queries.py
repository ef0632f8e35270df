"""How PostgreSQL says what questions leave open (`stores.usage_queries`, `stores.alert_queries`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_NUMBERS: Final = frozenset({"start", "is_billable"})
_FRACTIONS: Final = frozenset({"duration_total", "limit_used_max", "quota_used_max"})


class PostgresDialect:
    """Implements `usage_queries.Dialect`."""

    join: Final = "JOIN"

    def among(self, column: str, name: str) -> str:
        """Return the condition that `column` is one of the values of a list."""
        return f"{column} = ANY(:{name})"

    def rows_among(self, fields: Sequence[str], name: str) -> str:
        """Return the condition that `fields` together are one of the rows that are given."""
        columns = ", ".join(f":{name}_{n}::{_kind(field)}[]" for n, field in enumerate(fields))
        return f"({', '.join(fields)}) IN (SELECT * FROM unnest({columns}))"  # noqa: S608 - own names

    def given(
        self, fields: Sequence[str], rows: Sequence[Sequence[Any]], name: str
    ) -> Mapping[str, Any]:
        """Return the values of `rows` for that condition: one list for each field."""
        return {f"{name}_{n}": [row[n] for row in rows] for n, _ in enumerate(fields)}

    def listed(self, values: Sequence[str]) -> Any:
        """Return a list as the value of its name."""
        return [*values]

    def total(self, column: str, how: str) -> str:
        """Return the `sum` or `max` of a column; the sum of whole numbers is a whole number."""
        total = f"{how}({column})"
        return total if column in _FRACTIONS else f"{total}::bigint"

    def grouped(self, fields: Sequence[str]) -> str:
        """Return what makes one row for each combination of `fields`, and none where nothing was found."""
        return f"GROUP BY {', '.join(fields)}" if fields else "HAVING count(*) > 0"

    def moments(self, table: str, condition: str, seconds: int) -> str:
        """Return a table of every `start` for which `table` may have rows."""
        bounds = f"FROM {table} WHERE {condition}"
        return f"""
            SELECT generate_series(
                greatest(:since::bigint, (SELECT min(start) {bounds})),
                least(:until::bigint - 1, (SELECT max(start) {bounds})),
                {seconds}::bigint
            ) AS start WHERE EXISTS (SELECT 1 {bounds})
        """


POSTGRES: Final = PostgresDialect()


def _kind(field: str) -> str:
    return "bigint" if field in _NUMBERS else "text"
