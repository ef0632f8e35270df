"""How SQLite says what questions leave open (`usage_queries`, `alert_queries`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final


class SqliteDialect:
    """Implements `usage_queries.Dialect`."""

    join: Final = "CROSS JOIN"  # which SQLite takes as the order of its loops

    def among(self, column: str, name: str) -> str:
        """Return the condition that `column` is one of the values of a list."""
        return f"{column} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - own names

    def rows_among(self, fields: Sequence[str], name: str) -> str:
        """Return the condition that `fields` together are one of the rows that are given."""
        picked = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(fields)))
        return f"({', '.join(fields)}) IN (SELECT {picked} FROM json_each(:{name}))"  # noqa: S608 - own names

    def given(
        self, _fields: Sequence[str], rows: Sequence[Sequence[Any]], name: str
    ) -> Mapping[str, Any]:
        """Return the values of `rows` for that condition."""
        return {name: json.dumps([[*row] for row in rows])}

    def listed(self, values: Sequence[str]) -> Any:
        """Return a list as the value of its name."""
        return json.dumps(values)

    def total(self, column: str, how: str) -> str:
        """Return the `sum` or `max` of a column."""
        return f"{how}({column})"

    def grouped(self, fields: Sequence[str]) -> str:
        """Return what makes one row for each combination of `fields`."""
        # Grouped in any case: else there would be a row where nothing was found.
        return f"GROUP BY {', '.join(fields) or 'NULL'}"

    def moments(self, table: str, condition: str, seconds: int) -> str:
        """Return a table of every `start` for which `table` may have rows."""
        bounds = f"FROM {table} WHERE {condition}"
        return f"""
            WITH RECURSIVE moments (start, last) AS (
                SELECT max(:since, (SELECT min(start) {bounds})),
                    min(:until - 1, (SELECT max(start) {bounds}))
                UNION ALL SELECT start + {seconds}, last FROM moments
                WHERE start + {seconds} <= last
            ) SELECT start FROM moments WHERE start <= last
        """  # noqa: S608 - own names


SQLITE: Final = SqliteDialect()
