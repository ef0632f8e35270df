"""What every `KeyStore` promises of its lists: which records, in which order, and where the next page begins.

Part of `KeyStoreContract`.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.domain.queries import KeyQuery, Sort
from gateway.domain.tenants import Tenant
from gateway.ports import KeyStore
from tests.key_samples import a_key, a_tenant

NAMES: Final = ("b", "a", "é", "B", "a", "Z")
ENDS: Final = (5.0, None, 1.5, 5.0, None, 2.0)

ORDERS: Final = (
    ("name", False, "351402"),
    ("name", True, "204153"),
    ("expires_at", False, "250314"),
    ("expires_at", True, "305241"),
    ("created_at", False, "012345"),
    ("created_at", True, "543210"),
)
"""Field, whether from its greatest value on, and the last letters of the ids in that order."""


async def with_six_keys(store: KeyStore) -> None:
    await store.save_tenant(a_tenant("ten_a"))
    await store.save_tenant(a_tenant("ten_b"))
    for number, (name, ends) in enumerate(zip(NAMES, ENDS, strict=True)):
        await store.save_key(
            a_key(
                f"key_{number}",
                name=name,
                expires_at=ends,
                tenant_id="ten_b" if number == 3 else "ten_a",
                digest=bytes([number] * 32),
            )
        )


class ListContract:
    """The suite; `store` is empty at the start of each test."""

    @pytest.mark.parametrize(("field", "is_descending", "expected"), ORDERS)
    @pytest.mark.parametrize("limit", [1, 2, 100])
    async def test_sorted_pages_follow_each_other_without_a_gap(
        self, store: KeyStore, field: str, is_descending: bool, expected: str, limit: int
    ) -> None:
        await with_six_keys(store)
        seen, after, value = "", "", None
        for _ in range(7):
            sort = Sort(field=field, is_descending=is_descending, value=value)
            found = await store.list_keys(KeyQuery(sort=sort), after=after, limit=limit)
            if not found:
                break
            seen += "".join(record.key_id[-1] for record in found)
            after, value = found[-1].key_id, getattr(found[-1], field)
        assert seen == expected

    async def test_a_sorted_list_holds_what_is_asked_for_only(self, store: KeyStore) -> None:
        await with_six_keys(store)
        sort = Sort(field="expires_at")
        query = KeyQuery(sort=sort, tenant_ids=("ten_a",), text="é")
        assert [each.key_id for each in await store.list_keys(query)] == ["key_2"]
        query = KeyQuery(sort=sort, tenant_ids=("ten_a",))
        assert [each.key_id[-1] for each in await store.list_keys(query)] == list("25014")

    async def test_a_place_between_records_is_one_where_a_list_goes_on(
        self, store: KeyStore
    ) -> None:
        """The record at the end of a page may have changed or left the list meanwhile."""
        await with_six_keys(store)
        for sort, after, expected in (
            (Sort(field="expires_at", value=1.7), "key_9", "50314"),
            (Sort(field="expires_at", value=5.0), "key_1", "314"),
            (Sort(field="expires_at", value=None), "key_2", "4"),
            (Sort(field="expires_at", value=2.0, is_descending=True), "key_5", "241"),
            (Sort(field="expires_at", value=None, is_descending=True), "key_9", "41"),
        ):
            found = await store.list_keys(KeyQuery(sort=sort), after=after)
            assert "".join(record.key_id[-1] for record in found) == expected, (sort, after)

    async def test_records_of_every_kind_are_sorted_and_wanted_by_one_of_several_values(
        self, store: KeyStore
    ) -> None:
        for number, name in enumerate(NAMES):
            await store.save_tenant(a_tenant(f"ten_{number}", name=name, plan=f"p{number % 3}"))

        async def ids(after: str = "", sort: Sort | None = None, **where: Any) -> str:
            found = await store.page(Tenant, where=where, after=after, sort=sort)
            return "".join(each.tenant_id[-1] for each in found)

        assert await ids(sort=Sort(field="name")) == "351402"
        assert await ids(after="ten_1", sort=Sort(field="name", value="a")) == "402"
        assert await ids(tenant_id=("ten_1", "ten_4", "ten_9")) == "14"
        assert await ids(tenant_id=()) == ""
        assert await ids(tenant_id=("ten_1", "ten_4"), plan="p1") == "14"
        assert await ids(tenant_id=("ten_1", "ten_4", "ten_5"), plan="p2") == "5"
        assert await ids(sort=Sort(field="name"), plan=("p0", "p1")) == "3140"
