"""Keys at rest come back as they were, or not at all."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.keys import KeyState
from gateway.stores.resting import CHANGES_MAX, PARTS_MAX, Parts, Resting
from tests.key_samples import a_key, a_tenant

TEXT = st.text(max_size=20)
TIME = st.one_of(st.none(), st.floats(0, 2e9))
TENANT = a_tenant()
BYTES_PER_KEY_MAX = 360
"""With its digest and its share of the table; measured 317. A hundred thousand of them fit beside an idle gateway."""


@given(
    name=TEXT,
    display=TEXT,
    state=st.sampled_from(KeyState),
    scopes=st.lists(TEXT, max_size=3).map(tuple),
    tags=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.lists(TEXT)), max_size=3),
    created_at=st.floats(0, 2e9),
    expires_at=TIME,
    revoked_at=TIME,
    last_used_at=TIME,
    revision=st.integers(0, 2**62),
)
def test_a_key_wakes_as_it_was(**changes: Any) -> None:
    record, resting = a_key(**changes), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    assert resting.wake(record.digest) == (record, TENANT)


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": "gold", "is_suspended": True, "state_reason": "unpaid", "revision": 7},
        {"ip_allowlist": ("10.0.0.0/8",), "ip_allowlist_enabled": True, "name": "größe"},
        {"metadata": {"crm": [1, {"a": None}]}},
    ],
)
def test_a_tenant_comes_back_as_it_was(changes: dict[str, Any]) -> None:
    record, tenant, resting = a_key(), a_tenant(**changes), Resting(Parts())
    resting.put(record.digest, record, tenant)
    assert resting.wake(record.digest) == (record, tenant)


def test_a_tenant_with_objects_of_its_own_is_kept_once_for_all_its_keys() -> None:
    tenant, resting = a_tenant(metadata={"crm": 1}), Resting(Parts())
    for n in range(3):
        resting.put(b"%d" % n, a_key(f"key_{n}"), tenant)
    found = [resting.wake(b"%d" % n) for n in range(3)]
    assert [each[1] is tenant for each in found if each] == [True] * 3
    assert len(resting.parts.known) == 2  # the tenant, and what its keys are


def test_a_key_that_names_another_tenant_than_it_rests_with_wakes_as_it_was() -> None:
    record, resting = a_key(tenant_id="ten_of_its_own"), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    assert resting.wake(record.digest) == (record, TENANT)


def test_a_key_at_rest_is_nothing_that_the_garbage_collector_looks_at() -> None:
    resting = Resting(Parts())
    resting.put(b"first", a_key(), TENANT)
    gc.collect()
    before = len(gc.get_objects())
    for n in range(1000):
        resting.put(b"%d" % n, a_key(f"key_{n}"), TENANT)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_key_whose_lineage_is_itself_wakes_as_it_was() -> None:
    record, resting = a_key(lineage_id="key_a"), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    assert resting.wake(record.digest) == (record, TENANT)


def test_a_key_under_an_old_pepper_keeps_the_digest_of_its_record() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(b"its digest under the current one", record, TENANT)
    found = resting.wake(b"its digest under the current one")
    assert found is not None
    assert found[0].digest == record.digest


def test_a_key_of_which_nothing_is_known_does_not_wake() -> None:
    assert Resting(Parts()).wake(b"?") is None


def test_a_changed_key_does_not_wake() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.forget([record.key_id])
    assert resting.wake(record.digest) is None


def test_no_key_of_a_changed_tenant_wakes() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.forget([TENANT.tenant_id])
    assert resting.wake(record.digest) is None


def test_a_change_of_another_key_wakes_nobody_less() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.forget(["key_b", "ten_b"])
    assert resting.wake(record.digest) is not None


def test_a_key_that_cannot_be_told_from_its_older_self_is_read_anew() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.forget([record.key_id])
    resting.put(record.digest, replace(record, name="new"), TENANT)
    assert resting.wake(record.digest) is None


def test_a_key_that_is_kept_elsewhere_is_dropped() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.drop(record.digest)
    assert resting.wake(record.digest) is None
    assert len(resting) == 0


def test_parts_are_full_when_they_hold_what_very_many_keys_share() -> None:
    parts = Parts()
    for n in range(PARTS_MAX - 1):
        parts.number_of_tenant(a_tenant(f"ten_{n}"))
    assert not parts.is_full
    parts.number_of_kind(a_key())
    assert parts.is_full


def test_more_changes_than_are_remembered_let_no_key_wake() -> None:
    record, resting = a_key(), Resting(Parts())
    resting.put(record.digest, record, TENANT)
    resting.forget([f"key_{n}" for n in range(CHANGES_MAX + 1)])
    assert len(resting) == 0


def test_a_key_at_rest_takes_little_memory() -> None:
    resting = Resting(Parts())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(2000):
            digest = sha256(b"%d" % n).digest()
            resting.put(digest, a_key(f"key_{n:032d}", digest=digest, scopes=("read",)), TENANT)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / 2000 < BYTES_PER_KEY_MAX
