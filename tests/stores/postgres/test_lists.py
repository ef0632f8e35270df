"""PostgreSQL has an index for each order in which the admin API lists keys.

Which one it takes depends on how many keys there are and what it knows of them. So here it is asked what it can do
without reading whole tables and without sorting.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.domain.tenants import Tenant
from gateway.stores.postgres import lists, statements
from gateway.stores.postgres.database import Database
from gateway.stores.rows import KEYS, TABLES

INDEXES: Final = {
    "name": ("keys_in_order_of_name", "keys_by_name"),
    "created_at": ("keys_in_order_of_creation", "keys_by_creation"),
    "expires_at": ("keys_in_order_of_end", "keys_by_end"),
}
_CANNOT: Final = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
)


async def plan(database: Database, sql: str, values: list[object]) -> str:
    async def work(connection: object) -> str:
        await connection.execute(_CANNOT)  # type: ignore[attr-defined]
        rows = await connection.fetch(f"EXPLAIN {sql} LIMIT 100", *values)  # type: ignore[attr-defined]
        return "\n".join(row[0] for row in rows)

    return await database.transact(work, about="plan")


@pytest.mark.parametrize("field", INDEXES)
@pytest.mark.parametrize("is_descending", [False, True])
async def test_each_order_of_keys_has_an_index_for_all_and_for_those_of_a_tenant(
    database: Database, field: str, is_descending: bool
) -> None:
    value: str | float = "b" if field == "name" else 5.0
    sort = Sort(field=field, is_descending=is_descending, value=value)
    for query, index in zip((KeyQuery(), KeyQuery(tenant_id="a")), INDEXES[field], strict=True):
        for end in (None, Place(value, "key_y")):
            listing = lists.of_keys(replace(query, sort=sort, until=end))
            asked = listing.statements(statements.read_columns(KEYS), "key_b", end)
            for sql, values in asked:
                shown = await plan(database, sql, values)
                # Those without a value are in the order of their ids, which several indexes have.
                if "IS NULL" not in sql:
                    assert f"using {index} on keys" in shown, shown
                    assert "ROW(" in shown.partition("Index Cond")[2], shown
                assert "Sort" not in shown


@pytest.mark.parametrize("is_descending", [False, True])
async def test_the_order_of_last_uses_has_an_index(database: Database, is_descending: bool) -> None:
    sort = Sort(field="last_used_at", is_descending=is_descending, value=5.0)
    listing = lists.of_keys(KeyQuery(sort=sort))
    used, unused = listing.statements(statements.read_columns(KEYS), "key_b")
    shown = await plan(database, *used)
    assert "last_uses_in_order on last_uses" in shown
    assert "Sort" not in shown
    assert "Sort" not in await plan(database, *unused)


@pytest.mark.parametrize("field", ["", *INDEXES, "last_used_at"])
async def test_a_place_ahead_is_found_in_an_index_alone(database: Database, field: str) -> None:
    value = "b" if field == "name" else 5.0
    sort = Sort(field=field, value=value) if field else None
    sql, values = next(lists.in_order(sort, "").places("key_b"))
    shown = await plan(database, sql, values)
    assert "Index Only Scan" in shown
    assert "Join" not in shown
    assert "Loop" not in shown


async def test_changes_and_ends_are_found_by_an_index(database: Database) -> None:
    query = KeyQuery(sort=Sort(field="revision", value=3), until=Place(9, ""))
    [(sql, values)] = lists.of_keys(query).statements(
        statements.read_columns(KEYS), "", query.until
    )
    assert "using keys_by_revision on keys" in await plan(database, sql, values)
    shown = await plan(database, statements.COUNT_EXPIRING, [1.0, [2.0]])
    assert "using keys_by_expiry on keys" in shown


@pytest.mark.parametrize("field", ["name", "created_at"])
async def test_each_order_of_tenants_has_an_index(database: Database, field: str) -> None:
    listing = lists.Listing(TABLES[Tenant], Sort(field=field))
    [(sql, values)] = listing.statements("tenant_id")
    assert "tenants_in_order_of_" in await plan(database, sql, values)
