from __future__ import annotations

import json
from hashlib import sha256

from gateway.domain.audit import GENESIS, Head, audit_id, canonical, seal
from gateway.domain.change import Actor, Change, ChangeType

CHANGE = Change(
    type=ChangeType.KEY_SCOPES_CHANGED,
    actor=Actor(kind="admin", name="ann", address="192.0.2.1", user_agent="ü", request_id="req_1"),
    tenant_id="ten_a",
    key_id="key_a",
    subject_id="rot_a",
    reason="why",
    before={"scopes": ("a",), "tags": frozenset({"x"}), "digest": b"not told"},
    after={"scopes": ("a", "b"), "plan": None},
    at=1_700_000_000.1234567,
)


def test_a_record_holds_what_the_change_tells_and_no_digest() -> None:
    record = seal(Head(), CHANGE)
    assert record.content() == {
        "id": "aud_0000000000000001",
        "seq": 1,
        "ts": 1_700_000_000.123457,
        "type": "key.scopes_changed",
        "actor": {
            "kind": "admin",
            "name": "ann",
            "address": "192.0.2.1",
            "user_agent": "ü",
            "request_id": "req_1",
        },
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "subject_id": "rot_a",
        "reason": "why",
        "before": {"scopes": ["a"], "tags": ["x"]},
        "after": {"scopes": ["a", "b"], "plan": None},
        "request_id": "req_1",
        "prev_hash": GENESIS.hex(),
    }
    assert (record.at, record.actor, record.audit_id) == (1_700_000_000.123457, "ann", audit_id(1))


def test_the_hash_is_of_the_body_and_the_body_holds_the_hash_before() -> None:
    first = seal(Head(), CHANGE)
    second = seal(Head(first.seq, first.hash), CHANGE)
    assert second.seq == 2
    assert second.hash == sha256(second.body.encode("ascii")).digest()
    assert json.loads(second.body)["prev_hash"] == first.hash.hex()


def test_there_is_one_text_of_a_content() -> None:
    assert canonical({"b": 1, "a": ["ü"]}) == '{"a":["\\u00fc"],"b":1}'


def test_ids_sort_as_records_do() -> None:
    assert audit_id(9) < audit_id(10) < audit_id(10**15)
