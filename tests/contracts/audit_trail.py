"""What every `AuditTrail` promises. An adapter's test subclasses `AuditTrailContract` and gives `trail`."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any

import pytest

from gateway.domain.audit import GENESIS, Checkpoint, Head
from gateway.domain.change import Actor, Change, ChangeType
from gateway.domain.queries import AuditQuery
from gateway.ports import AuditTrail, Conflict

NOW = 1_700_000_000.0


def a_change(number: int = 0, **values: Any) -> Change:
    given: dict[str, Any] = {
        "type": ChangeType.KEY_CREATED,
        "actor": Actor(kind="admin", name="ann", address="192.0.2.1", request_id="req_1"),
        "tenant_id": "ten_a",
        "key_id": f"key_{number}",
        "reason": "grüße \u2028 \U0001f600",
        "after": {"scopes": ("jobs:read",), "digest": b"never told"},
        "at": NOW + number,
    }
    return Change(**(given | values))


def a_checkpoint(head: Head, at: float = NOW) -> Checkpoint:
    return Checkpoint(
        seq=head.seq,
        at=at,
        hash=head.hash,
        signature=b"signature",
        number=head.seq + 2**33,
        number_signature=b"number",
    )


async def numbers(trail: AuditTrail, after: int = 0, limit: int = 100, **query: Any) -> list[int]:
    found = await trail.audit_records(AuditQuery(**query), after=after, limit=limit)
    return [record.seq for record in found]


class AuditTrailContract:
    """The suite; `trail` is empty at the start of each test."""

    async def test_an_empty_chain_has_the_head_before_the_first_record(
        self, trail: AuditTrail
    ) -> None:
        assert await trail.audit_head() == Head(0, GENESIS)
        assert await trail.audit_records() == []
        await trail.append([])
        assert await trail.audit_head() == Head(0, GENESIS)

    async def test_each_record_carries_the_hash_of_the_one_before(self, trail: AuditTrail) -> None:
        await trail.append([a_change(0), a_change(1)])
        await trail.append([a_change(2)])
        records = await trail.audit_records()
        before = GENESIS
        for number, record in enumerate(records):
            assert record.seq == number + 1
            assert record.content()["prev_hash"] == before.hex()
            assert record.hash == sha256(record.body.encode("ascii")).digest()
            before = record.hash
        assert await trail.audit_head() == Head(3, before)

    async def test_a_record_comes_back_as_it_was_told(self, trail: AuditTrail) -> None:
        await trail.append([a_change(7)])
        [record] = await trail.audit_records()
        content = record.content()
        assert (record.type, record.tenant_id, record.key_id) == ("key.created", "ten_a", "key_7")
        assert (record.actor, record.at) == ("ann", NOW + 7)
        assert content["id"] == record.audit_id == "aud_0000000000000001"
        assert content["reason"] == "grüße \u2028 \U0001f600"
        assert content["after"] == {"scopes": ["jobs:read"]}
        assert content["actor"]["address"] == "192.0.2.1"
        assert content["request_id"] == "req_1"

    async def test_appending_at_once_leaves_neither_a_gap_nor_a_fork(
        self, trail: AuditTrail
    ) -> None:
        await asyncio.gather(*(trail.append([a_change(n), a_change(n)]) for n in range(20)))
        records = await trail.audit_records()
        assert [record.seq for record in records] == list(range(1, 41))
        hashes = [GENESIS.hex(), *(record.hash.hex() for record in records)]
        assert [record.content()["prev_hash"] for record in records] == hashes[:-1]

    async def test_records_are_found_by_what_they_are_about(self, trail: AuditTrail) -> None:
        await trail.append(
            [
                a_change(0),
                a_change(1, type=ChangeType.KEY_REVOKED, tenant_id="ten_b"),
                a_change(
                    2, type=ChangeType.TENANT_CREATED, key_id="", actor=Actor(kind="x", name="b")
                ),
            ]
        )
        assert await numbers(trail, key_id="key_1") == [2]
        assert await numbers(trail, tenant_id="ten_a") == [1, 3]
        assert await numbers(trail, type="key.revoked") == [2]
        assert await numbers(trail, type="key.*") == [1, 2]
        assert await numbers(trail, type="*") == [1, 2, 3]
        assert await numbers(trail, actor="b") == [3]
        assert await numbers(trail, since=NOW + 1) == [2, 3]
        assert await numbers(trail, until=NOW + 1) == [1]
        assert await numbers(trail, tenant_ids=("ten_b", "ten_c")) == [2]
        assert await numbers(trail, tenant_ids=()) == []
        many = tuple(f"ten_{n}" for n in range(40_000))  # more than a statement takes parameters
        assert await numbers(trail, tenant_ids=("ten_b", *many)) == [2]
        assert await numbers(trail, type="key.*", tenant_id="ten_a", key_id="key_1") == []

    async def test_records_are_paged_in_both_directions(self, trail: AuditTrail) -> None:
        await trail.append([a_change(n) for n in range(5)])
        assert await numbers(trail, limit=2) == [1, 2]
        assert await numbers(trail, after=2, limit=2) == [3, 4]
        assert await numbers(trail, limit=2, is_newest_first=True) == [5, 4]
        assert await numbers(trail, after=4, limit=2, is_newest_first=True) == [3, 2]
        assert await numbers(trail, after=1, is_newest_first=True) == []

    async def test_checkpoints_come_back_and_one_for_the_same_record_replaces(
        self, trail: AuditTrail
    ) -> None:
        await trail.append([a_change(n) for n in range(3)])
        head = await trail.audit_head()
        for seq, at in ((1, NOW), (3, NOW), (3, NOW + 1)):
            await trail.add_checkpoint(a_checkpoint(Head(seq, head.hash), at))
        assert [(each.seq, each.at) for each in await trail.checkpoints()] == [
            (1, NOW),
            (3, NOW + 1),
        ]
        assert [each.seq for each in await trail.checkpoints(after=1)] == [3]
        assert [each.seq for each in await trail.checkpoints(limit=1)] == [1]

    async def test_pruning_keeps_the_checkpoint_that_the_rest_hangs_on(
        self, trail: AuditTrail
    ) -> None:
        await trail.append([a_change(n) for n in range(6)])
        for record in (await trail.audit_records())[1::2]:
            await trail.add_checkpoint(a_checkpoint(Head(record.seq, record.hash)))
        assert await trail.prune_audit(5) == 4
        assert await numbers(trail) == [5, 6]
        assert [each.seq for each in await trail.checkpoints()] == [4, 6]
        assert await trail.prune_audit(5) == 0

    async def test_pruning_without_a_checkpoint_is_refused(self, trail: AuditTrail) -> None:
        await trail.append([a_change(n) for n in range(3)])
        with pytest.raises(Conflict, match="checkpoint"):
            await trail.prune_audit(3)
        assert await numbers(trail) == [1, 2, 3]

    async def test_a_chain_that_was_pruned_as_a_whole_goes_on_where_it_was(
        self, trail: AuditTrail
    ) -> None:
        await trail.append([a_change(n) for n in range(3)])
        head = await trail.audit_head()
        await trail.add_checkpoint(a_checkpoint(head))
        await trail.prune_audit(4)
        assert await trail.audit_head() == head
        await trail.append([a_change(3)])
        [record] = await trail.audit_records()
        assert (record.seq, record.content()["prev_hash"]) == (4, head.hash.hex())
