"""What a list asks PostgreSQL for: the records that are wanted, in which order, and behind which one.

Knows the SQL of that. It must not know what is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from gateway.domain.queries import KeyQuery, Place, Presence, Sort, Wanted
from gateway.stores.postgres.statements import LAST_USED, QUERIED, stored_columns
from gateway.stores.rows import KEYS, Table
from gateway.stores.stretches import Stretch, stretches

Statement = tuple[str, list[Any]]
"""SQL without its limit, and the values that it names."""

_TEXTS: Final = frozenset({"name"})
"""Fields that are ordered as texts, by their bytes as in a file; the others are numbers."""

_WHOLE: Final = "revision"
"""The field that is ordered as a whole number."""

_EXPIRED: Final = "(state = 'expired' OR (state <> 'revoked' AND expires_at <= {}))"
_UNUSED: Final = "NOT EXISTS (SELECT 1 FROM last_uses WHERE last_uses.used_id = {})"


class Listing:
    """The conditions of a list, its order, and the values that both name; `$n` is the nth of the values.

    Made for one reading.
    """

    def __init__(self, table: Table[Any], sort: Sort | None) -> None:
        self._table = table
        self._sort = sort
        self._conditions: list[str] = []
        self._values: list[Any] = []
        if sort is not None:
            self._require((sort.field,), table.columns)

    def add(self, condition: str, *values: Any) -> None:
        """Want a further condition to hold, with a place `{}` for each of `values`."""
        self._conditions.append(_numbered(condition, self._values, values))

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

    def statements(
        self, columns: str, after: str = "", until: Place | None = None
    ) -> Iterator[Statement]:
        """Return what reads `columns` behind `after`: statements of which one goes on where the other ended."""
        for stretch in self._stretches(after, until):
            yield self._statement(columns, stretch)

    def places(self, after: str) -> Iterator[Statement]:
        """Return what reads the places behind `after`."""
        for stretch in self._stretches(after, None):
            yield self._statement("", stretch)

    def _stretches(self, after: str, until: Place | None) -> tuple[Stretch, ...]:
        if self._sort is None:
            return (Stretch(are_missing=True, begin=Place(None, after), end=until),)
        is_optional = self._sort.field in self._table.optional
        return stretches(self._sort, after, until, is_optional=is_optional)

    def _statement(self, columns: str, stretch: Stretch) -> Statement:
        sort, values, conditions = self._sort, [*self._values], [*self._conditions]
        is_descending = sort is not None and sort.is_descending
        way, beyond, up_to = ("DESC", "<", ">=") if is_descending else ("ASC", ">", "<=")
        are_places = not columns
        source, fields, kinds = self._source(stretch, conditions, are_places=are_places)
        for comparison, place in ((beyond, stretch.begin), (up_to, stretch.end)):
            if place is not None:
                named = ", ".join(f"{{}}::{kind}" for kind in kinds)
                condition = f"({', '.join(fields)}) {comparison} ({named})"
                conditions.append(_numbered(condition, values, place[-len(fields) :]))
        order = ", ".join(f"{field} {way}" for field in fields)
        if are_places:
            columns = ", ".join(fields if len(fields) == 2 else ("NULL::float8", *fields))
        sql = (
            f"SELECT {columns} FROM {source} "  # noqa: S608 - own names
            f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order}"
        )
        return sql, values

    def _source(
        self, stretch: Stretch, conditions: list[str], *, are_places: bool
    ) -> tuple[str, list[str], list[str]]:
        """Return from where a stretch is read, by what it is ordered, and of which types that is."""
        name, sort = self._table.name, self._sort
        key = f"{name}.{self._table.key}"
        if sort is None:
            return name, [key], ["text"]
        is_use, field = sort.field == LAST_USED, f"{name}.{sort.field}"
        if stretch.are_missing:
            conditions.append(_UNUSED.format(key) if is_use else f"{field} IS NULL")
            return name, [key], ["text"]
        if is_use:
            is_alone = (
                are_places and not conditions
            )  # that of another kind of record is a place, too
            joined = f"last_uses JOIN {name} ON {key} = last_uses.used_id"
            used = ["last_uses.used_at", "last_uses.used_id"]
            return "last_uses" if is_alone else joined, used, ["float8", "text"]
        conditions.append(f"{field} IS NOT NULL")
        if sort.field in _TEXTS:
            return name, [f'{field} COLLATE "C"', key], ["text", "text"]
        return name, [field, key], ["bigint" if sort.field == _WHOLE else "float8", "text"]

    def _require(self, names: Collection[str], columns: Collection[str]) -> None:
        """Raise ValueError for what is no column: names stand in the statement as they are."""
        if not {*names} <= {*columns}:
            raise ValueError(f"{self._table.name} has no column for one of {sorted(names)}")


def of_keys(query: KeyQuery) -> Listing:
    """Return the list of keys that `query` asks for."""
    listing = Listing(KEYS, query.sort)
    for name, condition in QUERIED.items():
        value = str(getattr(query, name))
        if value:
            listing.add(condition, *[value] * condition.count("{}"))
    if query.expired_at is not None:
        listing.add(_EXPIRED, query.expired_at)
    if not query.with_hidden:
        listing.add("NOT is_hidden")
    if query.one_tenant and not query.tenant_id:
        listing.add(QUERIED["tenant_id"], query.one_tenant)
    elif query.tenant_ids is not None:
        listing.add("tenant_id = ANY({})", [*query.tenant_ids])
    return listing


def in_order(sort: Sort | None, tenant_id: str) -> Listing:
    """Return the list of all keys, or of those of one tenant, in an order."""
    return of_keys(KeyQuery(sort=sort, tenant_id=tenant_id, with_hidden=True))


def _numbered(condition: str, values: list[Any], further: Collection[Any]) -> str:
    """Add `further` to the values, and name their places."""
    first = len(values) + 1
    values += further
    return condition.format(*(f"${n}" for n in range(first, len(values) + 1)))
