from __future__ import annotations

from typing import Literal

import pytest

from gateway.domain.affinity import Affinity
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import made_fields

KEY = BoundKey(
    record=a_key(key_id="key_2", lineage_id="lin_1", tenant_id="ten_a"),
    tenant=a_tenant(),
    scopes=frozenset(),
    allowlists=(),
    claims=(),
    identity=b"",
)
HEAD = RequestHead(
    method="GET", target=b"/", path="/", fields=made_fields([("X-Room", "7"), ("X-Room", "8")])
)

By = Literal["key", "tenant", "address", "header"]


@pytest.mark.parametrize(
    ("by", "key", "known_by"),
    [
        ("key", KEY, b"lin_1"),
        ("tenant", KEY, b"ten_a"),
        ("address", KEY, b"192.0.2.7"),
        ("header", KEY, b"7"),
        ("key", None, b"192.0.2.7"),
        ("tenant", None, b"192.0.2.7"),
        ("header", None, b"7"),
    ],
)
def test_request_is_known_by_what_was_chosen(by: By, key: BoundKey | None, known_by: bytes) -> None:
    assert Affinity(by=by, header=b"x-room").of(HEAD, key, "192.0.2.7") == known_by


def test_request_without_the_header_is_known_by_its_address() -> None:
    assert Affinity(by="header", header=b"x-other").of(HEAD, KEY, "::1") == b"::1"


def test_iv_14_a_request_for_another_tenant_is_kept_with_the_others_for_that_one() -> None:
    acting = BoundKey(
        record=KEY.record,
        tenant=a_tenant("ten_c", parent_id="ten_a"),
        owner=KEY.tenant,
        scopes=frozenset(),
        allowlists=(),
        claims=(),
        identity=b"",
    )
    assert Affinity(by="tenant").of(HEAD, acting, "192.0.2.7") == b"ten_c"
    assert Affinity(by="key").of(HEAD, acting, "192.0.2.7") == b"lin_1"
