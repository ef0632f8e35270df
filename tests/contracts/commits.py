"""What every `KeyStore` promises about the whole life of keys: commits of several records, pages, what time has done.

Part of `KeyStoreContract`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.domain.change import Change, ChangeType
from gateway.domain.deliveries import Delivery
from gateway.domain.incidents import Incident
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.queries import KeyQuery
from gateway.domain.rotations import Rotation, RotationState
from gateway.domain.tenants import Tenant
from gateway.ports import AuditTrail, Conflict, KeyStore, Record, Write
from tests.key_samples import ACTOR, a_key, a_tenant

NOW = 1_700_000_000.0
DAY = 86_400


def a_rotation(rotation_id: str = "rot_1", **changes: Any) -> Rotation:
    values: dict[str, Any] = {
        "lineage_id": "lin_key_a",
        "tenant_id": "ten_a",
        "old_key_id": "key_a",
        "new_key_id": "key_b",
        "started_at": NOW,
        "deadline": NOW + DAY,
    }
    return Rotation(rotation_id=rotation_id, **(values | changes))


def an_incident(incident_id: str = "inc_1", **changes: Any) -> Incident:
    values: dict[str, Any] = {
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "lineage_id": "lin_key_a",
        "since": NOW - DAY,
        "opened_at": NOW,
        "opened_by": "tester",
        "reason": "leaked",
    }
    return Incident(incident_id=incident_id, **(values | changes))


def a_delivery(delivery_id: str = "dlv_1", **changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "digest": bytes([1] * 32),
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "created_at": NOW,
        "expires_at": NOW + DAY,
    }
    return Delivery(delivery_id=delivery_id, **(values | changes))


def a_token(token_id: str = "adm_1", **changes: Any) -> AdminToken:
    values: dict[str, Any] = {
        "name": "Operator",
        "role": Role.OPERATOR,
        "digest": bytes([2] * 32),
        "pepper_id": "p1",
        "display": "tha_ab12…",
        "created_at": NOW,
    }
    return AdminToken(token_id=token_id, **(values | changes))


def a_change(key_id: str = "key_a", **changes: Any) -> Change:
    values: dict[str, Any] = {"type": ChangeType.KEY_CREATED, "tenant_id": "ten_a", "at": NOW}
    return Change(actor=ACTOR, key_id=key_id, **(values | changes))


RECORDS: tuple[Record, ...] = (
    a_rotation(state=RotationState.COMPLETED, idle_seconds=0.5, ended_at=NOW, ended_by="idle"),
    an_incident(replacement_key_id="key_b"),
    a_delivery(redeemed_at=NOW + 1, redeemed_from="2001:db8::1"),
    a_token(tenant_id="ten_a", expires_at=NOW, revoked_at=NOW, last_used_at=NOW),
)


def trail(store: KeyStore) -> AuditTrail:
    """Return the audit trail beside the store."""
    audit: AuditTrail = store.audit  # type: ignore[attr-defined]
    return audit


async def with_keys(store: KeyStore) -> None:
    await store.save_tenant(a_tenant())
    await store.save_key(a_key("key_a"))
    await store.save_key(a_key("key_b"))


class CommitContract:
    """The suite; `store` is empty at the start of each test."""

    # ---- one transaction

    async def test_records_of_every_kind_are_committed_together_and_told(
        self, store: KeyStore
    ) -> None:
        written = await store.commit(
            [
                Write(a_tenant(), 0),
                Write(a_key("key_a"), 0),
                Write(a_key("key_b"), 0),
                *(Write(each, 0) for each in RECORDS),
            ],
            [a_change("key_a"), a_change("key_b")],
        )
        assert [record.revision for record in written] == list(range(1, 8))
        assert await store.revision() == 7
        for record in written[3:]:
            record_id = str(getattr(record, next(iter(record.__dataclass_fields__))))
            assert await store.get(type(record), record_id) == record
        audit = await trail(store).audit_records()
        assert [(each.seq, each.key_id) for each in audit] == [(1, "key_a"), (2, "key_b")]

    @pytest.mark.parametrize(
        "last",
        [
            Write(a_key("key_b"), 0),  # exists
            Write(a_key("key_b"), 99),  # stale
            Write(a_key("key_c", tenant_id="ten_x")),  # belongs to nobody
            Write(a_key("key_c", digest=a_key("key_b").digest)),  # another one's secret
            Write(a_rotation(new_key_id="key_x")),  # of a key that there is not
            Write(a_delivery("dlv_2")),  # another one's link
            Write(a_token("adm_2")),  # another one's token
            Write(an_incident(key_id="key_x")),
        ],
        ids=lambda write: f"{type(write.record).__name__}-{write.expected_revision}",
    )
    async def test_a_commit_that_cannot_be_made_leaves_neither_record_nor_audit(
        self, store: KeyStore, last: Write
    ) -> None:
        await with_keys(store)
        await store.commit([Write(a_delivery(), 0), Write(a_token(), 0)], [a_change()])
        revision, head = await store.revision(), await trail(store).audit_head()
        before = await store.get_key("key_a")
        writes = [Write(a_key("key_a", name="Renamed")), Write(a_tenant("ten_new"), 0), last]
        with pytest.raises(Conflict):
            await store.commit(writes, [a_change("key_a")])
        assert await store.revision() == revision
        assert await store.get_key("key_a") == before
        assert await store.get_tenant("ten_new") is None
        assert await trail(store).audit_head() == head
        assert (await store.changes_since(revision))[1] == []

    async def test_what_a_commit_refers_to_may_be_made_by_it(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        await store.commit(
            [Write(a_key("key_a"), 0), Write(a_key("key_b"), 0), Write(a_rotation(), 0)]
        )
        assert await store.get(Rotation, "rot_1") is not None

    async def test_of_commits_at_the_same_time_each_is_whole_and_the_chain_has_no_gap(
        self, store: KeyStore
    ) -> None:
        await with_keys(store)
        key = await store.get_key("key_a")
        assert key is not None

        async def attempt(number: int) -> bool:
            writes = [
                Write(replace(key, name=f"Name {number}"), key.revision),
                Write(an_incident(f"inc_{number}"), 0),
            ]
            try:
                await store.commit(writes, [a_change(reason=str(number))])
            except Conflict:
                return False
            return True

        won = await asyncio.gather(*(attempt(number) for number in range(8)))
        assert sum(won) == 1
        [incident] = await store.page(Incident)
        after = await store.get_key("key_a")
        assert after is not None
        assert after.name == f"Name {incident.incident_id.removeprefix('inc_')}"
        assert [each.seq for each in await trail(store).audit_records()] == [1]

    async def test_other_records_are_no_news_to_whoever_serves_by_keys(
        self, store: KeyStore
    ) -> None:
        await with_keys(store)
        before = await store.revision()
        await store.commit([Write(a_rotation(), 0), Write(a_token(), 0)])
        assert await store.changes_since(before) == (before + 2, [])

    async def test_a_key_with_everything_of_its_life_comes_back_as_it_was_written(
        self, store: KeyStore
    ) -> None:
        await store.save_tenant(
            a_tenant(
                parent_id="ten_p",
                ip_allowlist_mode="shadow",
                default_template="ci",
                export_name="ACME_KEY",
                alerts={"mail": ["a@example.com"]},
            )
        )
        written = await store.save_key(
            a_key(
                state=KeyState.EXPIRED,
                template="ci",
                kind=KeyKind.MULTI_TENANT,
                tenants=("ten_b", "ten_c"),
                ip_allowlist_mode="shadow",
                is_hidden=True,
                is_held=True,
                resume_at=NOW + 0.25,
                retires_at=NOW + 0.5,
            )
        )
        assert await store.get_key("key_a") == written
        found = await store.find([written.digest])
        assert found is not None
        assert found == (written, await store.get_tenant("ten_a"))
        assert found[1].alerts == {"mail": ["a@example.com"]}

    # ---- pages

    async def test_records_are_paged_by_id_and_by_the_values_of_their_fields(
        self, store: KeyStore
    ) -> None:
        await with_keys(store)
        ended = RotationState.COMPLETED
        variants: list[dict[str, Any]] = [
            {},
            {"state": ended},
            {"lineage_id": "lin_x"},
            {"state": ended, "tenant_id": "ten_b"},
        ]
        for number, changes in enumerate(variants):
            await store.commit([Write(a_rotation(f"rot_{number}", **changes), 0)])

        async def ids(after: str = "", limit: int = 100, **where: Any) -> str:
            found = await store.page(Rotation, where=where, after=after, limit=limit)
            return "".join(each.rotation_id[-1] for each in found)

        assert await ids() == "0123"
        assert await ids(after="rot_1") == "23"
        assert await ids(limit=2) == "01"
        assert await ids(state="completed") == "13"
        assert await ids(state="completed", tenant_id="ten_a") == "1"
        assert await ids(lineage_id="lin_x", after="rot_2") == ""
        assert await ids(idle_seconds=None, limit=0) == ""
        assert await ids(deadline=NOW + DAY, state="pending") == "02"

    async def test_a_delivery_is_found_by_its_digest(self, store: KeyStore) -> None:
        await with_keys(store)
        [written] = await store.commit([Write(a_delivery(), 0)])
        assert await store.page(Delivery, where={"digest": bytes([1] * 32)}) == [written]
        assert await store.page(Delivery, where={"digest": bytes(32)}) == []

    async def test_tenants_and_keys_are_paged_like_every_other_record(
        self, store: KeyStore
    ) -> None:
        await with_keys(store)
        await store.save_tenant(a_tenant("ten_b", parent_id="ten_a"))
        children = await store.page(Tenant, where={"parent_id": "ten_a"})
        assert [each.tenant_id for each in children] == ["ten_b"]
        named = await store.page(KeyRecord, where={"tenant_id": "ten_a", "name": "Key key_b"})
        assert [each.key_id for each in named] == ["key_b"]

    # ---- lists of keys

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (KeyQuery(), "123"),
            (KeyQuery(with_hidden=True), "1234"),
            (KeyQuery(environment="test"), "2"),
            (KeyQuery(template="ci"), "1"),
            (KeyQuery(kind=KeyKind.MULTI_TENANT), "2"),
            (KeyQuery(tag="größe"), "3"),
            (KeyQuery(tag="gr"), ""),
            (KeyQuery(lineage_id="lin_key_2"), "2"),
            (KeyQuery(pepper_id="p2"), "3"),
            (KeyQuery(not_pepper_id="p2"), "12"),
            (KeyQuery(text="BILLING"), "12"),
            (KeyQuery(text="key_3"), "3"),
            (KeyQuery(text="sk_live_zz…9999"), "3"),
            (KeyQuery(text="%"), ""),
            (KeyQuery(tenant_ids=("ten_b",)), "3"),
            (KeyQuery(tenant_ids=("ten_a", "ten_b"), text="billing", environment="live"), "1"),
            (KeyQuery(tenant_ids=()), ""),
        ],
        ids=lambda value: "",
    )
    async def test_keys_are_listed_by_what_is_asked_for(
        self, store: KeyStore, query: KeyQuery, found: str
    ) -> None:
        for tenant_id in ("ten_a", "ten_b"):
            await store.save_tenant(a_tenant(tenant_id))
        for record in (
            a_key("key_1", name="Billing export", template="ci", tags=("a", "b")),
            a_key("key_2", name="New billing", environment="test", kind=KeyKind.MULTI_TENANT),
            a_key(
                "key_3",
                tenant_id="ten_b",
                name="Other",
                tags=("größe",),
                pepper_id="p2",
                display="sk_live_zz…9999",
            ),
            a_key("key_4", is_hidden=True, template="other"),
        ):
            await store.save_key(record)
        listed = await store.list_keys(query)
        assert "".join(record.key_id[-1] for record in listed) == found

    async def test_keys_are_counted_by_pepper_but_for_revoked_ones(self, store: KeyStore) -> None:
        assert dict(await store.count_peppers()) == {}
        await with_keys(store)
        await store.save_key(a_key("key_c", pepper_id="p2", state=KeyState.EXPIRED))
        await store.save_key(a_key("key_d", pepper_id="p3", state=KeyState.REVOKED))
        assert dict(await store.count_peppers()) == {"p1": 2, "p2": 1}

    # ---- what time has done

    @pytest.mark.parametrize(
        ("changes", "is_due"),
        [
            ({}, False),
            ({"expires_at": NOW}, True),
            ({"expires_at": NOW + 0.5}, False),
            ({"expires_at": NOW - 999 * DAY}, True),
            ({"expires_at": NOW, "state": KeyState.SUSPENDED}, True),
            ({"expires_at": NOW, "state": KeyState.ROTATING}, True),
            ({"expires_at": NOW, "state": KeyState.EXPIRED}, False),
            ({"expires_at": NOW, "state": KeyState.REVOKED}, False),
            ({"resume_at": NOW, "state": KeyState.SUSPENDED}, True),
            ({"resume_at": NOW + 0.5, "state": KeyState.SUSPENDED}, False),
            ({"resume_at": NOW, "state": KeyState.ACTIVE}, False),
            ({"resume_at": NOW, "state": KeyState.EXPIRED}, False),
            ({"retires_at": NOW, "state": KeyState.ROTATING}, True),
            ({"retires_at": NOW, "state": KeyState.SUSPENDED}, True),
            ({"retires_at": NOW, "state": KeyState.EXPIRED}, True),
            ({"retires_at": NOW, "state": KeyState.REVOKED}, False),
            ({"retires_at": NOW + 0.5, "state": KeyState.ROTATING}, False),
            ({"retires_at": NOW, "resume_at": NOW, "expires_at": NOW}, True),
        ],
    )
    async def test_a_key_is_due_until_its_state_says_what_time_has_done(
        self, store: KeyStore, changes: dict[str, Any], is_due: bool
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key("key_other"))
        written = await store.save_key(a_key("key_a", **changes))
        assert await store.keys_due(NOW) == ([written] if is_due else [])

    async def test_of_many_keys_that_are_due_so_many_are_returned(self, store: KeyStore) -> None:
        await store.save_tenant(a_tenant())
        for number in range(5):
            await store.save_key(a_key(f"key_{number}", expires_at=NOW - number))
        assert len({key.key_id for key in await store.keys_due(NOW, 2)}) == 2
        assert len(await store.keys_due(NOW)) == 5

    # ---- idempotency keys

    async def test_what_was_made_for_an_idempotency_key_is_kept_for_a_day(
        self, store: KeyStore
    ) -> None:
        assert await store.remember("idem", "print", "key_1", NOW) == ("print", "key_1")
        assert await store.remember("idem", "other", "key_2", NOW + 1) == ("print", "key_1")
        assert await store.remember("mine", "print", "key_3", NOW + 1) == ("print", "key_3")
        assert await store.remember("idem", "other", "key_2", NOW + DAY) == ("other", "key_2")

    async def test_of_many_who_ask_at_once_with_one_key_all_are_told_the_same(
        self, store: KeyStore
    ) -> None:
        kept = await asyncio.gather(
            *(store.remember("idem", "print", f"key_{number}", NOW) for number in range(5))
        )
        assert len(set(kept)) == 1
