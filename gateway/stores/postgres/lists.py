"""What a list asks PostgreSQL for: the records that are wanted, in which order, and behind which one.

Knows the SQL of that. It must not know what is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from gateway.domain.queries import Presence, Sort, Wanted
from gateway.stores.postgres.statements import LAST_USED, select, stored_columns
from gateway.stores.rows import Table

_TEXTS: Final = frozenset({"name"})
"""Fields that are ordered as texts, by their bytes as in a file; the others are numbers, and some may be missing."""


class Listing:
    """The conditions of a list, its order, and the values that both name; `$n` is the nth of `values`."""

    def __init__(self, table: Table[Any], after: str, limit: int, sort: Sort | None) -> None:
        self._table = table
        self._conditions: list[str] = []
        self.values: list[Any] = [limit]
        key = f"{table.name}.{table.key}"
        if sort is None:
            self._order = key
            self.add(f"{key} > {{}}", after)
            return
        self._require((sort.field,), table.columns)
        way, beyond = ("DESC", "<") if sort.is_descending else ("ASC", ">")
        place, kind, last = self._place(sort)
        self._order = f"{place} {way}, {key} {way}"
        if after:
            self.add(
                f"({place}, {key}) {beyond} (coalesce({{}}::{kind}, {last}), {{}})",
                sort.value,
                after,
            )

    def add(self, condition: str, *values: Any) -> None:
        """Want a further condition to hold, with a place `{}` for each of `values`."""
        numbers = range(len(self.values) + 1, len(self.values) + len(values) + 1)
        self.values += values
        self._conditions.append(condition.format(*(f"${n}" for n in numbers)))

    def want(self, where: Mapping[str, Wanted]) -> None:
        """Want fields to have the values that they must have."""
        self._require(where, stored_columns(self._table))
        for name, value in where.items():
            if isinstance(value, tuple):
                self.add(f"{self._table.name}.{name} = ANY({{}})", [*value])
            elif isinstance(value, Presence):
                self.add(f"{self._table.name}.{name} {value.value}")
            else:
                self.add(f"{self._table.name}.{name} = {{}}", value)

    def statement(self) -> str:
        """Return the statement."""
        conditions = " AND ".join(self._conditions) or "true"
        return f"{select(self._table)} WHERE {conditions} ORDER BY {self._order} LIMIT $1"

    def _place(self, sort: Sort) -> tuple[str, str, str]:
        """Return where a record stands in the order, of which type that is, and where one without a value stands."""
        field = f"{self._table.name}.{sort.field}"
        if sort.field in _TEXTS:
            return f'{field} COLLATE "C"', "text", "''"
        if sort.field == LAST_USED:
            own = f"{self._table.name}.{self._table.key}"
            field = f"(SELECT used_at FROM last_uses WHERE used_id = {own})"  # noqa: S608 - own names
        last = f"'{'-' if sort.is_descending else ''}Infinity'::float8"
        return f"coalesce({field}, {last})", "float8", last

    def _require(self, names: Collection[str], columns: Collection[str]) -> None:
        """Raise ValueError for what is no column: names stand in the statement as they are."""
        if not {*names} <= {*columns}:
            raise ValueError(f"{self._table.name} has no column for one of {sorted(names)}")
