"""What every `KeyStore` promises of its lists: which records, in which order, and where the next page begins.

Part of `KeyStoreContract`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from gateway.domain.keys import KeyState
from gateway.domain.queries import KeyQuery, Place, Sort
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

    @pytest.mark.parametrize(
        ("field", "is_descending", "expected"), [("", False, "012345"), *ORDERS]
    )
    @pytest.mark.parametrize("ahead", [1, 2, 3])
    async def test_a_list_can_be_read_in_parts_that_end_at_places_ahead(
        self, store: KeyStore, field: str, is_descending: bool, expected: str, ahead: int
    ) -> None:
        await with_six_keys(store)
        sort = Sort(field=field, is_descending=is_descending) if field else None
        seen, place = [""], Place(None, "")
        for _ in range(7):
            here = replace(sort, value=place.value) if sort else None
            after = place.record_id
            end = await store.place_ahead(ahead, sort=here, after=after)
            found = await store.list_keys(KeyQuery(sort=here, until=end), after=after)
            seen.append("".join(record.key_id[-1] for record in found))
            if end is None:
                break
            place = end
        assert "".join(seen) == expected
        assert max(map(len, seen)) <= 2 * ahead

    async def test_a_place_ahead_is_one_among_the_keys_of_a_tenant(self, store: KeyStore) -> None:
        await with_six_keys(store)
        assert await store.place_ahead(4, tenant_id="ten_a") == Place(None, "key_4")
        assert await store.place_ahead(6, tenant_id="ten_a") is None
        by_end = Sort(field="expires_at")
        assert await store.place_ahead(2, sort=by_end, tenant_id="ten_a") == Place(2.0, "key_5")
        assert await store.place_ahead(1, sort=by_end, tenant_id="ten_b") == Place(5.0, "key_3")

    async def test_a_list_begins_at_a_value_and_ends_at_one(self, store: KeyStore) -> None:
        await with_six_keys(store)
        for is_descending, begin, end, expected in (
            (False, 2.0, Place(5.0, "key_0"), "50"),
            (False, 2.0, Place(5.0, "key_3"), "503"),
            (True, 5.0, Place(2.0, ""), "5"),
            (True, None, Place(None, "key_4"), "30524"),
        ):
            sort = Sort(field="expires_at", is_descending=is_descending, value=begin)
            found = await store.list_keys(KeyQuery(sort=sort, until=end))
            assert "".join(record.key_id[-1] for record in found) == expected, (begin, end)

    async def test_keys_are_listed_in_the_order_of_their_last_use(self, store: KeyStore) -> None:
        await with_six_keys(store)
        await store.touch({"key_4": 7.0, "key_1": 9.0, "key_2": 7.0})
        for is_descending, expected in ((False, "241035"), (True, "142530")):
            seen, after, value = "", "", None
            for _ in range(4):
                sort = Sort(field="last_used_at", is_descending=is_descending, value=value)
                found = await store.list_keys(KeyQuery(sort=sort), after=after, limit=2)
                seen += "".join(record.key_id[-1] for record in found)
                if found:
                    after, value = found[-1].key_id, found[-1].last_used_at
            assert seen == expected

    async def test_keys_are_listed_in_the_order_of_their_changes(self, store: KeyStore) -> None:
        await with_six_keys(store)
        before = await store.revision()
        for number in (4, 1):
            key = await store.get_key(f"key_{number}")
            assert key is not None
            await store.save_key(replace(key, name="changed"))
        sort = Sort(field="revision", value=before + 1)
        query = KeyQuery(sort=sort, until=Place(before + 2, "~"))
        assert [key.key_id[-1] for key in await store.list_keys(query)] == ["4", "1"]

    async def test_those_that_have_expired_by_a_moment_are_listed_stored_or_not(
        self, store: KeyStore
    ) -> None:
        await with_six_keys(store)
        for number, state in ((1, KeyState.EXPIRED), (2, KeyState.REVOKED)):
            key = await store.get_key(f"key_{number}")
            assert key is not None
            await store.save_key(replace(key, state=state))
        found = await store.list_keys(KeyQuery(expired_at=2.0))
        assert [key.key_id for key in found] == ["key_1", "key_5"]

    async def test_keys_that_expire_by_moments_are_counted(self, store: KeyStore) -> None:
        await with_six_keys(store)
        key = await store.get_key("key_3")
        assert key is not None
        await store.save_key(replace(key, state=KeyState.REVOKED))
        assert await store.count_expiring(1.5, [1.9, 2.0, 5.0]) == [0, 1, 2]
        assert await store.count_expiring(0.0, [1.5]) == [1]

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
