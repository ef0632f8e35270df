"""What a list asks SQLite for: the records that are wanted, in which order, and behind which one.

Knows the SQL of that, and which index has keys in which order: told by name, because SQLite does not know how many keys
a condition leaves, and would sort a million to find a few. It must not know what is listed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from gateway.domain.queries import KeyQuery, Place, Presence, Sort, Wanted
from gateway.stores.rows import KEYS, Table
from gateway.stores.stretches import Stretch, stretches

Statement = tuple[str, dict[str, Any]]
"""SQL with a place `:limit`, and the other values that it names."""

_QUERIED: Final = {
    "tenant_id": "tenant_id = :tenant_id",
    "state": "state = :state",
    "environment": "environment = :environment",
    "template": "template = :template",
    "kind": "kind = :kind",
    "lineage_id": "lineage_id = :lineage_id",
    "pepper_id": "pepper_id = :pepper_id",
    "not_pepper_id": "pepper_id <> :not_pepper_id",
    "tag": "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag)",
    "text": "(instr(lower(name), lower(:text)) OR key_id = :text OR display = :text)",
}
"""The condition of each part of a `KeyQuery`."""

_EXPIRED: Final = "(state = 'expired' OR (state <> 'revoked' AND expires_at <= :expired_at))"

_ORDERS: Final = {
    "": ("sqlite_autoindex_keys_1", "keys_by_tenant"),
    "name": ("keys_in_order_of_name", "keys_by_name"),
    "created_at": ("keys_in_order_of_creation", "keys_by_creation"),
    "expires_at": ("keys_in_order_of_end", "keys_by_end"),
    "last_used_at": ("keys_in_order_of_use", "keys_by_use"),
}
"""Which index has all keys in an order, and which those of one tenant."""

COUNT_EXPIRING: Final = """
    SELECT (
        SELECT count(*) FROM keys INDEXED BY keys_in_order_of_end
        WHERE expires_at > :after AND expires_at <= moment.value AND state IN ('active', 'suspended', 'rotating')
    )
    FROM json_each(:moments) AS moment ORDER BY moment.key
"""
DUE: Final = f"""
    SELECT {", ".join(KEYS.columns)} FROM keys WHERE key_id IN (
        SELECT * FROM (
            SELECT key_id FROM keys INDEXED BY keys_by_expiry
            WHERE expires_at <= :until AND state IN ('active', 'suspended', 'rotating')
            ORDER BY expires_at LIMIT :limit
        ) UNION SELECT * FROM (
            SELECT key_id FROM keys INDEXED BY keys_by_resumption
            WHERE resume_at <= :until AND state = 'suspended' ORDER BY resume_at LIMIT :limit
        ) UNION SELECT * FROM (
            SELECT key_id FROM keys INDEXED BY keys_by_retirement
            WHERE retires_at <= :until AND state IN ('active', 'suspended', 'rotating', 'expired')
            ORDER BY retires_at LIMIT :limit
        )
    ) ORDER BY key_id LIMIT :limit
"""  # noqa: S608 - own names


class Listing:
    """The conditions of a list, its order, and the values that both name. Made for one reading."""

    def __init__(self, table: Table[Any], sort: Sort | None, index: str = "") -> None:
        self._table = table
        self._sort = sort
        self._from = f"{table.name} INDEXED BY {index}" if index else table.name
        self._conditions: list[str] = []
        self._values: dict[str, Any] = {}
        if sort is not None:
            self._require((sort.field,))

    def add(self, condition: str, **values: Any) -> None:
        """Want a further condition to hold, which names `values`."""
        self._conditions.append(condition)
        self._values |= values

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

    def statements(
        self, columns: Collection[str], after: str = "", until: Place | None = None
    ) -> Iterator[Statement]:
        """Return what reads `columns` behind `after`: statements of which one goes on where the other ended."""
        sort = self._sort
        if sort is None:
            all_of_it = Stretch(are_missing=True, begin=Place(None, after), end=until)
            yield self._statement(columns, all_of_it)
            return
        is_optional = sort.field in self._table.optional
        for stretch in stretches(sort, after, until, is_optional=is_optional):
            missing = "IS NULL" if stretch.are_missing else "IS NOT NULL"
            has_value = f"{sort.field} {missing}"
            yield self._statement(columns, stretch, has_value)

    def _statement(self, columns: Collection[str], stretch: Stretch, *further: str) -> Statement:
        key, sort, values = self._table.key, self._sort, dict(self._values)
        is_descending = sort is not None and sort.is_descending
        way, beyond, up_to = ("DESC", "<", ">=") if is_descending else ("ASC", ">", "<=")
        fields = [key] if sort is None or stretch.are_missing else [sort.field, key]
        conditions = [*self._conditions, *further]
        for name, comparison, place in (
            ("begin", beyond, stretch.begin),
            ("end", up_to, stretch.end),
        ):
            if place is not None:
                named = [f":{name}_{n}" for n, _ in enumerate(fields)]
                conditions.append(f"({', '.join(fields)}) {comparison} ({', '.join(named)})")
                own = place[-len(fields) :]
                values |= {f"{name}_{n}": value for n, value in enumerate(own)}
        order = ", ".join(f"{field} {way}" for field in fields)
        sql = (
            f"SELECT {', '.join(columns)} FROM {self._from} "  # noqa: S608 - own names
            f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order} LIMIT :limit"
        )
        return sql, values

    def _require(self, names: Collection[str]) -> None:
        """Raise ValueError for what is no column: names stand in the statement as they are."""
        if not {*names} <= {*self._table.columns}:
            raise ValueError(f"there is no column for one of {sorted(names)}")


def of_keys(query: KeyQuery) -> Listing:
    """Return the list of keys that `query` asks for."""
    listing = Listing(KEYS, query.sort, _index(query))
    for name, condition in _QUERIED.items():
        wanted = str(getattr(query, name))
        if wanted:
            listing.add(condition, **{name: wanted})
    if query.expired_at is not None:
        listing.add(_EXPIRED, expired_at=query.expired_at)
    if not query.with_hidden:
        listing.add("NOT is_hidden")
    if query.one_tenant and not query.tenant_id:
        listing.add(_QUERIED["tenant_id"], tenant_id=query.one_tenant)
    elif query.tenant_ids is not None:
        among = "tenant_id IN (SELECT value FROM json_each(:tenant_ids))"
        listing.add(among, tenant_ids=json.dumps(query.tenant_ids))
    return listing


def in_order(sort: Sort | None, tenant_id: str) -> Listing:
    """Return the list of all keys, or of those of one tenant, in an order."""
    return of_keys(KeyQuery(sort=sort, tenant_id=tenant_id, with_hidden=True))


def _index(query: KeyQuery) -> str:
    """Return the index that has what is asked for in the order of the list, or nearly so."""
    if query.lineage_id:
        return "keys_by_lineage"  # few are in one
    if query.tenant_ids is not None and not query.one_tenant:
        return "keys_by_tenant"  # those of several tenants are sorted
    of_all, of_one = _ORDERS.get("" if query.sort is None else query.sort.field, ("", ""))
    if query.one_tenant:
        return of_one
    return "keys_by_state" if query.state and query.sort is None else of_all
