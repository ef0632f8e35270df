"""What every `KeyStore` promises about deleted tenants: they own nothing that works, whoever writes at the same time.

Part of `KeyStoreContract`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.keys import KeyState
from gateway.domain.queries import Presence
from gateway.domain.tenants import Tenant, deleted
from gateway.ports import Conflict, KeyStore, Record, Write
from tests.contracts.commits import a_token
from tests.key_samples import a_key, a_tenant

GONE = deleted(a_tenant(), 1_700_000_000.5, "left")
REVOKED = a_key(state=KeyState.REVOKED)
BOUND = a_token(tenant_id="ten_a")
CHILD = a_tenant("ten_child", parent_id="ten_a")


class DeletedTenantContract:
    """The suite; `store` is empty at the start of each test."""

    async def test_a_deleted_tenant_comes_back_as_it_was_written(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        written = await store.save_tenant(GONE)
        assert written == replace(GONE, revision=written.revision)
        assert await store.get_tenant("ten_a") == written

    async def test_a_key_of_a_deleted_tenant_is_still_found(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        key = await store.save_key(REVOKED)
        tenant = await store.save_tenant(GONE)
        assert await store.find([key.digest]) == (key, tenant)

    async def test_tenants_are_listed_by_whether_they_are_deleted(self, store: KeyStore) -> None:
        for tenant in (a_tenant(), a_tenant("ten_b")):
            await store.save_tenant(tenant)
        await store.save_tenant(GONE)
        for presence, ids in ((Presence.MISSING, ["ten_b"]), (Presence.GIVEN, ["ten_a"])):
            found = await store.page(Tenant, where={"deleted_at": presence})
            assert [each.tenant_id for each in found] == ids
        assert len(await store.list_tenants()) == 2

    @pytest.mark.parametrize(
        ("works", "ends"),
        [
            (a_key(), REVOKED),
            (a_key(state=KeyState.EXPIRED), REVOKED),
            (BOUND, replace(BOUND, revoked_at=1.0)),
            (CHILD, deleted(CHILD, 1.0, "left")),
        ],
        ids=["key", "expired key", "admin token", "child"],
    )
    async def test_nothing_that_works_has_a_deleted_tenant(
        self, store: KeyStore, works: Record, ends: Record
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.commit([Write(works)])
        with pytest.raises(Conflict, match="ten_a: has something that still works"):
            await store.save_tenant(GONE)
        assert await store.get_tenant("ten_a") == replace(a_tenant(), revision=1)
        await store.commit([Write(ends), Write(GONE)])
        with pytest.raises(Conflict, match=r"(its tenant is deleted|is deleted for ever)$"):
            await store.commit([Write(works)])

    @pytest.mark.parametrize("new", [a_key(), BOUND, CHILD], ids=["key", "admin token", "child"])
    async def test_a_deleted_tenant_is_given_nothing_new(
        self, store: KeyStore, new: Record
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.save_tenant(GONE)
        with pytest.raises(Conflict, match="its tenant is deleted"):
            await store.commit([Write(new, 0)])
        await store.commit([Write(REVOKED, 0)])  # as a copy of the store would

    @pytest.mark.parametrize("expected", [None, 0, 2])
    async def test_a_deleted_tenant_stays_deleted(
        self, store: KeyStore, expected: int | None
    ) -> None:
        await store.save_tenant(a_tenant())
        gone = await store.save_tenant(GONE)
        with pytest.raises(Conflict):
            await store.save_tenant(a_tenant(), expected_revision=expected)
        assert await store.get_tenant("ten_a") == gone
