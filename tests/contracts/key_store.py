"""What every `KeyStore` promises. An adapter's test subclasses `KeyStoreContract` and gives
`store`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

import pytest

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.domain.keys import KeyState
from gateway.domain.queries import KeyQuery
from gateway.ports import Conflict, KeyRows, KeyStore, Write
from gateway.stores.rows import KEYS, TENANTS
from tests.contracts.commits import CommitContract
from tests.contracts.deleted_tenants import DeletedTenantContract
from tests.contracts.lists import ListContract
from tests.key_samples import a_key, a_tenant

DAY = 86_400


class Rows(KeyStore, KeyRows, Protocol):
    """A store that can be copied."""


class KeyStoreContract(CommitContract, ListContract, DeletedTenantContract):
    """The suite; `store` is empty at the start of each test."""

    async def test_a_key_comes_back_as_it_was_written(self, store: KeyStore) -> None:
        tenant = await store.save_tenant(
            a_tenant(ip_allowlist=("10.0.0.0/8",), ip_allowlist_enabled=True, plan="pro")
        )
        written = await store.save_key(
            a_key(
                state=KeyState.SUSPENDED,
                state_reason="maintenance",
                scopes=("read", "jobs:write"),
                ip_allowlist=("203.0.113.7", "2001:db8::/32"),
                plan="gold",
                tags=("ci", "größe"),
                metadata={"owner": {"team": "a"}, "n": [1, 2.5, None, True]},
                expires_at=1_800_000_000.25,
                revoked_at=1_750_000_000.5,
                last_used_at=1_740_000_000.5,
            )
        )
        assert await store.get_key("key_a") == written
        assert await store.get_tenant("ten_a") == tenant
        assert await store.find([written.digest]) == (written, tenant)

    async def test_unknown_ids_and_digests_are_none(self, store: KeyStore) -> None:
        assert await store.get_key("key_a") is None
        assert await store.get_tenant("ten_a") is None
        assert await store.find([bytes(32), bytes([1] * 32)]) is None

    async def test_a_key_is_found_by_any_of_several_digests(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        written = await store.save_key(a_key())
        found = await store.find([bytes(32), written.digest])
        assert found is not None
        assert found[0] == written

    async def test_every_write_takes_the_next_revision(self, store: KeyStore) -> None:
        assert await store.revision() == 0
        tenant = await store.save_tenant(a_tenant())
        key = await store.save_key(a_key())
        again = await store.save_key(replace(key, name="Renamed"))
        assert [tenant.revision, key.revision, again.revision] == [1, 2, 3]
        assert await store.revision() == 3

    async def test_concurrent_writes_take_different_revisions(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        written = await asyncio.gather(*(store.save_key(a_key(f"key_{n}")) for n in range(20)))
        assert sorted(record.revision for record in written) == list(range(2, 22))

    async def test_changes_since_names_exactly_what_was_written_later(
        self, store: KeyStore
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key("key_a"))
        await store.save_key(a_key("key_b"))
        before = await store.revision()
        await store.save_key(replace(a_key("key_a"), name="Renamed"))
        await store.save_tenant(a_tenant("ten_b"))
        current, ids = await store.changes_since(before)
        assert (current, sorted(ids)) == (5, ["key_a", "ten_b"])
        assert await store.changes_since(current) == (5, [])
        assert sorted((await store.changes_since(0))[1]) == ["key_a", "key_b", "ten_a", "ten_b"]

    async def test_an_insert_that_meets_a_key_conflicts_and_changes_nothing(
        self, store: KeyStore
    ) -> None:
        await store.save_tenant(a_tenant())
        first = await store.save_key(a_key(), expected_revision=0)
        with pytest.raises(Conflict):
            await store.save_key(a_key(name="Second"), expected_revision=0)
        assert await store.get_key("key_a") == first
        assert await store.revision() == first.revision

    async def test_a_stale_revision_conflicts_and_changes_nothing(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        first = await store.save_key(a_key())
        second = await store.save_key(replace(first, name="Second"), expected_revision=2)
        with pytest.raises(Conflict):
            await store.save_key(replace(first, name="Third"), expected_revision=first.revision)
        assert await store.get_key("key_a") == second
        assert await store.revision() == second.revision

    async def test_an_update_of_an_unknown_id_conflicts(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        with pytest.raises(Conflict):
            await store.save_key(a_key(), expected_revision=1)
        with pytest.raises(Conflict):
            await store.save_tenant(a_tenant("ten_b"), expected_revision=1)
        assert await store.get_key("key_a") is None

    async def test_tenants_obey_the_same_revision_rules(self, store: KeyStore) -> None:
        first = await store.save_tenant(a_tenant(), expected_revision=0)
        with pytest.raises(Conflict):
            await store.save_tenant(a_tenant(), expected_revision=0)
        second = await store.save_tenant(replace(first, is_suspended=True), expected_revision=1)
        with pytest.raises(Conflict):
            await store.save_tenant(first, expected_revision=first.revision)
        assert await store.get_tenant("ten_a") == second

    async def test_a_digest_belongs_to_one_key(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        first = await store.save_key(a_key("key_a"))
        with pytest.raises(Conflict):
            await store.save_key(a_key("key_b", digest=first.digest))
        assert await store.get_key("key_b") is None

    async def test_a_key_needs_its_tenant(self, store: KeyStore) -> None:
        with pytest.raises(Conflict):
            await store.save_key(a_key())
        assert await store.revision() == 0

    async def test_a_replaced_digest_no_longer_finds_the_key(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        old = await store.save_key(a_key())
        await store.save_key(replace(old, digest=bytes([7] * 32), pepper_id="p2"))
        assert await store.find([old.digest]) is None
        assert await store.find([bytes([7] * 32)]) is not None

    async def test_lists_are_ordered_by_id_filtered_and_paged(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant("ten_a"))
        await store.save_tenant(a_tenant("ten_b"))
        for key_id, tenant_id, state in (
            ("key_3", "ten_a", KeyState.ACTIVE),
            ("key_1", "ten_a", KeyState.REVOKED),
            ("key_2", "ten_b", KeyState.ACTIVE),
        ):
            await store.save_key(a_key(key_id, tenant_id=tenant_id, state=state))
        assert [key.key_id for key in await store.list_keys()] == ["key_1", "key_2", "key_3"]
        assert [key.key_id for key in await store.list_keys(after="key_1", limit=1)] == ["key_2"]
        assert [key.key_id for key in await store.list_keys(KeyQuery(tenant_id="ten_a"))] == [
            "key_1",
            "key_3",
        ]
        both = await store.list_keys(KeyQuery(tenant_id="ten_a", state=KeyState.ACTIVE))
        assert [key.key_id for key in both] == ["key_3"]
        assert [tenant.tenant_id for tenant in await store.list_tenants()] == ["ten_a", "ten_b"]
        assert [tenant.tenant_id for tenant in await store.list_tenants(after="ten_a")] == ["ten_b"]
        assert await store.list_tenants(limit=0) == []

    async def test_all_records_come_as_rows_in_the_order_of_bytes(self, store: Rows) -> None:
        for tenant_id in ("ten_a", "ten_B", "ten_b", "Ten.1"):
            await store.save_tenant(a_tenant(tenant_id))
        keys = [await store.save_key(a_key(f"key_{n}", tags=("x",))) for n in range(7)]
        ordered = sorted(keys, key=lambda key: key.digest)
        found, after = [], b""
        while rows := await store.key_rows(after, 3):
            found += [KEYS.record_of(row) for row in rows]
            after = found[-1].digest
        assert found == ordered
        rows = await store.tenant_rows("", 3)
        assert [row[0] for row in rows] == ["Ten.1", "ten_B", "ten_a"]
        [last] = await store.tenant_rows("ten_a", 3)
        assert TENANTS.record_of(last) == await store.get_tenant("ten_b")

    async def test_keys_are_counted_by_state_and_environment(self, store: KeyStore) -> None:
        assert dict(await store.count_keys()) == {}
        await store.save_tenant(a_tenant())
        await store.save_key(a_key("key_1"))
        await store.save_key(a_key("key_2"))
        await store.save_key(a_key("key_3", environment="test"))
        await store.save_key(a_key("key_4", state=KeyState.REVOKED))
        assert dict(await store.count_keys()) == {
            ("active", "live"): 2,
            ("active", "test"): 1,
            ("revoked", "live"): 1,
        }

    async def test_keys_are_counted_by_what_they_are_now(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        key = await store.save_key(a_key("key_1"))
        await store.save_key(a_key("key_2"))
        key = await store.save_key(replace(key, state=KeyState.SUSPENDED))
        assert dict(await store.count_keys()) == {("suspended", "live"): 1, ("active", "live"): 1}
        await store.save_key(replace(key, state=KeyState.ACTIVE, name="Renamed"))
        assert dict(await store.count_keys()) == {("active", "live"): 2}

    async def test_many_keys_are_read_together(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        written = [await store.save_key(a_key(f"key_{n}")) for n in range(3)]
        found = await store.get_keys(["key_0", "key_2", "key_unknown", 'key_"'])
        assert dict(found) == {"key_0": written[0], "key_2": written[2]}
        assert dict(await store.get_keys([])) == {}

    async def test_last_use_never_goes_back_and_is_no_change(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        key = await store.save_key(a_key())
        await store.touch({"key_a": 200.5, "key_unknown": 1.0})
        await store.touch({"key_a": 100.0})
        await store.touch({})
        touched = await store.get_key("key_a")
        assert touched is not None
        assert touched.last_used_at == 200.5
        assert await store.revision() == key.revision
        saved = await store.save_key(replace(key, name="Renamed"))  # read before the touch
        assert saved.last_used_at == 200.5
        assert await store.get_key("key_a") == saved

    async def test_quota_counts_come_back_and_never_fall(self, store: KeyStore) -> None:
        await store.save_counts({"a": (1000, 5), "b": (1000, 7)})
        await store.save_counts({"a": (1000, 3), "b": (1000, 9), "c": (2000, 1)})
        await store.save_counts({})
        assert await store.load_counts(3000.0) == {"a": (1000, 5), "b": (1000, 9), "c": (2000, 1)}

    async def test_a_new_period_starts_below_the_old_count(self, store: KeyStore) -> None:
        await store.save_counts({"a": (1000, 500)})
        await store.save_counts({"a": (4600, 1)})
        await store.save_counts({"a": (1000, 501)})  # late news of the old period
        assert await store.load_counts(5000.0) == {"a": (4600, 1)}

    async def test_counts_of_ended_months_are_forgotten(self, store: KeyStore) -> None:
        await store.save_counts({"old": (0, 5), "new": (20 * DAY, 5)})
        assert await store.load_counts(32.0 * DAY) == {"new": (20 * DAY, 5)}
        assert await store.load_counts(0.0) == {"new": (20 * DAY, 5)}

    async def test_admin_tokens_are_found_by_digest_and_touched_like_keys(
        self, store: KeyStore
    ) -> None:
        token = AdminToken(
            token_id="adm_a",
            name="Ops",
            role=Role.OPERATOR,
            digest=b"d" * 32,
            pepper_id="p1",
            display="tha_ab12…wxyz",
            created_at=1.0,
        )
        [written] = await store.commit([Write(token, 0)])
        assert await store.page(AdminToken, where={"digest": b"d" * 32}) == [written]
        assert await store.page(AdminToken, where={"digest": b"e" * 32}) == []
        await store.touch({"adm_a": 200.5})
        await store.touch({"adm_a": 100.0})
        touched = await store.get(AdminToken, "adm_a")
        assert isinstance(written, AdminToken)
        assert touched == replace(written, last_used_at=200.5)
        assert await store.revision() == written.revision

    async def test_one_of_many_reserves_an_idempotency_key(self, store: KeyStore) -> None:
        kept = await asyncio.gather(
            *(store.remember("k", "f", f"mark {n}", 1000.0) for n in range(20))
        )
        assert len(set(kept)) == 1
        await store.settle("k", "key_a")
        assert await store.remember("k", "g", "x", 1001.0) == ("f", "key_a")
        await store.settle("k", "")
        await store.settle("unknown", "x")
        assert await store.remember("k", "g", "x", 1002.0) == ("g", "x")
        assert await store.remember("unknown", "g", "y", 1002.0) == ("g", "y")
        assert await store.remember("k", "h", "z", 1002.0 + DAY) == ("h", "z")
