"""How SQLite carries out each list that the admin API offers: by an index that has it in its order, however many keys
there are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from gateway.admin.keys import _SORTS as KEY_SORTS
from gateway.admin.tenants import _SORTS as TENANT_SORTS
from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.domain.tenants import Tenant
from gateway.stores import sqlite_lists
from gateway.stores.migrations import prepare
from gateway.stores.rows import KEYS, TABLES

FILTERS: Final = {
    "": KeyQuery(),
    "tenant_id": KeyQuery(tenant_id="ten_a"),
    "one tenant of a token": KeyQuery(tenant_ids=("ten_a",)),
    "state": KeyQuery(state="active"),
    "expired": KeyQuery(expired_at=1.0),
    "environment": KeyQuery(environment="live"),
    "template": KeyQuery(template="t"),
    "kind": KeyQuery(kind="regular"),
    "tag": KeyQuery(tag="ci"),
    "pepper_id": KeyQuery(pepper_id="p1"),
    "not_pepper_id": KeyQuery(not_pepper_id="p1"),
    "q": KeyQuery(text="acme"),
    "state of a tenant": KeyQuery(state="active", tenant_id="ten_a"),
    "q in a tenant": KeyQuery(text="acme", tenant_ids=("ten_a",)),
}
SORTS: Final = (
    None,
    *(Sort(field=field, is_descending=way) for field in KEY_SORTS for way in (False, True)),
)
PLACES: Final = (Place(None, ""), Place(5.0, "key_b"), Place(None, "key_b"))
_IN_ORDER: Final = "keys_in_order_of_", "sqlite_autoindex_keys_1"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "keys.db")
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file:
        yield file


def plan(file: sqlite3.Connection, sql: str, values: dict[str, object]) -> list[str]:
    """Return what SQLite does for a statement, without its looks into JSON that it was given."""
    rows = file.execute(f"EXPLAIN QUERY PLAN {sql}", {"limit": 100, "ahead": 100} | values)
    return [row[3] for row in rows if "json_each" not in row[3] and "SUBQUERY" not in row[3]]


def is_bounded(step: str) -> bool:
    """Tell whether a step goes to a place in an index, or along one that has the list in its order."""
    is_walk = step.startswith("SCAN keys USING") and any(name in step for name in _IN_ORDER)
    return step.startswith("SEARCH keys USING") or is_walk


@pytest.mark.parametrize("name", FILTERS)
def test_each_list_of_keys_is_read_in_its_order_and_nothing_is_sorted(
    file: sqlite3.Connection, name: str
) -> None:
    for sort, place in product(SORTS, PLACES):
        if sort is not None and place.value is not None and sort.field == "name":
            place = Place("b", place.record_id)
        order = None if sort is None else replace(sort, value=place.value)
        listing = sqlite_lists.of_keys(replace(FILTERS[name], sort=order))
        for sql, values in listing.statements(KEYS.columns, place.record_id):
            steps = plan(file, sql, values)
            assert [*map(is_bounded, steps)] == [True], (name, sort, place, steps)


@pytest.mark.parametrize("tenant_id", ["", "ten_a"])
def test_a_place_ahead_is_found_in_an_index_alone(file: sqlite3.Connection, tenant_id: str) -> None:
    for sort in SORTS:
        listing = sqlite_lists.in_order(sort, tenant_id)
        columns = ("key_id",) if sort is None else (sort.field, "key_id")
        for sql, values in listing.statements(columns, "key_b", Place(None, "key_y")):
            [step] = plan(file, f"{sql} OFFSET :ahead", values)
            assert "COVERING INDEX" in step, (sort, step)
            assert is_bounded(step), (sort, step)


def test_only_the_keys_of_one_lineage_or_of_several_tenants_are_sorted(
    file: sqlite3.Connection,
) -> None:
    for query, index in (
        (KeyQuery(lineage_id="lin_a"), "keys_by_lineage"),
        (KeyQuery(tenant_ids=("ten_a", "ten_b")), "keys_by_tenant"),
    ):
        for sort in SORTS:
            listing = sqlite_lists.of_keys(replace(query, sort=sort))
            for sql, values in listing.statements(KEYS.columns):
                first, *_ = plan(file, sql, values)
                assert first.startswith(f"SEARCH keys USING INDEX {index}"), (sort, first)


def test_what_expires_and_what_was_changed_is_found_without_looking_at_all_keys(
    file: sqlite3.Connection,
) -> None:
    counted = plan(file, sqlite_lists.COUNT_EXPIRING, {"after": 1.0, "moments": "[2.0]"})
    assert [step for step in counted if "keys" in step] == [
        "SEARCH keys USING COVERING INDEX keys_in_order_of_end (expires_at>? AND expires_at<?)"
    ]
    for field in ("expires_at", "created_at", "revision"):
        query = KeyQuery(sort=Sort(field=field, value=1), until=Place(2, ""), with_hidden=True)
        listing = sqlite_lists.of_keys(query)
        [(sql, values)] = listing.statements(KEYS.columns, "", query.until)
        first, *_ = plan(file, sql, values)
        assert first.startswith("SEARCH keys USING INDEX keys_"), (field, first)


def test_a_sorted_list_of_tenants_is_read_in_its_order(file: sqlite3.Connection) -> None:
    for field, way in product(TENANT_SORTS, (False, True)):
        listing = sqlite_lists.Listing(TABLES[Tenant], Sort(field=field, is_descending=way))
        for sql, values in listing.statements(("tenant_id",), "ten_b"):
            [step] = plan(file, sql, values)
            assert "INDEX tenants_in_order_of_" in step, step


def test_an_order_by_what_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="no column"):
        sqlite_lists.Listing(KEYS, Sort(field="digest; --"))
