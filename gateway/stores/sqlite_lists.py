"""What a list asks SQLite for: the records that are wanted, in which order, and behind which one.

Knows the SQL of that. It must not know what is listed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from gateway.domain.queries import Presence, Sort, Wanted


class Listing:
    """The conditions of a list, its order, and the values that both name; `key` is the column of the id."""

    def __init__(
        self, key: str, columns: Collection[str], after: str, limit: int, sort: Sort | None
    ) -> None:
        self._conditions: list[str] = []
        self._columns = columns
        self.values: dict[str, Any] = {"after": after, "limit": limit}
        if sort is None:
            self._order = key
            self.add(f"{key} > :after")
            return
        self._require((sort.field,))
        way, beyond, last = ("DESC", "<", "-9e999") if sort.is_descending else ("ASC", ">", "9e999")
        place = f"coalesce({sort.field}, {last})"
        self._order = f"{place} {way}, {key} {way}"
        if after:
            self.add(f"({place}, {key}) {beyond} (coalesce(:behind, {last}), :after)")
            self.values["behind"] = sort.value

    def add(self, condition: str, **values: Any) -> None:
        """Want a further condition to hold, which names `values`."""
        self._conditions.append(condition)
        self.values |= values

    def want(self, where: Mapping[str, Wanted]) -> None:
        """Want fields to have the values that they must have."""
        self._require(where)
        for name, value in where.items():
            if isinstance(value, tuple):
                among = f"{name} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - own names
                self.add(among, **{name: json.dumps(value)})
            elif isinstance(value, Presence):
                self.add(f"{name} {value.value}")
            else:
                self.add(f"{name} = :{name}", **{name: value})

    def statement(self, select: str) -> str:
        """Return the statement that begins with `select`."""
        conditions = " AND ".join(self._conditions) or "true"
        return f"{select} WHERE {conditions} ORDER BY {self._order} LIMIT :limit"

    def _require(self, names: Collection[str]) -> None:
        """Raise ValueError for what is no column: names stand in the statement as they are."""
        if not {*names} <= {*self._columns}:
            raise ValueError(f"there is no column for one of {sorted(names)}")
