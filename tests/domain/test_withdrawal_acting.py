"""What withdraws from keys that act for other tenants: X-21, IV-13."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey, KeyKind
from gateway.domain.routes import Route
from gateway.domain.streams import StreamKind, StreamReport
from gateway.domain.tenants import Tenant
from gateway.domain.withdrawal import Withdrawn, withdrawn_of_key, withdrawn_of_tenant
from tests.key_samples import a_key, a_tenant

PARTNER = a_tenant("ten_a")
CHILD = a_tenant("ten_c", parent_id="ten_a")
LISTED = a_tenant("ten_l")
RECORD = a_key(kind=KeyKind.MULTI_TENANT, tenants=("ten_l",))
NOW = 1_700_000_000.0


@dataclass
class Open:
    """Implements `domain.streams.OpenStream`."""

    key: BoundKey | None
    route: Route | None = None
    started: float = 0.0
    stream_id: str = "req_1"
    opened_at: float = 0.0
    kind: StreamKind = StreamKind.SSE
    client_address: str = "192.0.2.7"
    request_bytes: int = 0
    response_bytes: int = 0


def acting_for(tenant: Tenant) -> Open:
    key = BoundKey(
        record=RECORD,
        tenant=tenant,
        owner=PARTNER,
        scopes=frozenset(),
        allowlists=(),
        claims=(),
        identity=b"",
    )
    return Open(key)


@pytest.mark.parametrize(
    ("suspended", "expected"),
    [
        ("ten_c", [None, Reason.TENANT_SUSPENDED, None]),
        ("ten_l", [None, None, Reason.TENANT_SUSPENDED]),
        ("ten_a", [Reason.TENANT_SUSPENDED] * 3),  # the partner itself: whoever its keys act for
        ("ten_x", [None] * 3),
    ],
)
def test_iv_14_suspending_a_tenant_ends_the_streams_that_are_for_it(
    suspended: str, expected: list[Reason | None]
) -> None:
    condemn = withdrawn_of_tenant(a_tenant(suspended, is_suspended=True))
    assert [condemn(acting_for(tenant)) for tenant in (PARTNER, CHILD, LISTED)] == expected


def test_iv_14_an_allowlist_of_the_acting_tenant_ends_streams_from_elsewhere() -> None:
    listed = a_tenant("ten_c", ip_allowlist=("198.51.100.1",), ip_allowlist_enabled=True)
    condemn = withdrawn_of_tenant(listed)
    assert condemn(acting_for(CHILD)) is Reason.IP_NOT_ALLOWED
    assert condemn(acting_for(LISTED)) is None


def test_iv_35_a_tenant_that_left_the_list_of_a_key_takes_its_streams_along() -> None:
    reduced = a_key(kind=KeyKind.MULTI_TENANT, tenants=())
    condemn = withdrawn_of_key(reduced, frozenset(), NOW)
    assert condemn(acting_for(LISTED)) is Reason.CROSS_TENANT
    assert condemn(acting_for(CHILD)) is None
    assert condemn(acting_for(PARTNER)) is None


def test_iv_35_a_key_whose_list_grew_loses_nothing() -> None:
    grown = a_key(kind=KeyKind.MULTI_TENANT, tenants=("ten_l", "ten_m"))
    condemn = withdrawn_of_key(grown, frozenset(), NOW)
    assert [condemn(acting_for(each)) for each in (PARTNER, CHILD, LISTED)] == [None] * 3


def test_a_withdrawal_that_says_nothing_of_tenants_leaves_them() -> None:
    assert Withdrawn(key_id="key_a")(acting_for(LISTED)) is None


def test_iv_14_a_stream_is_listed_under_the_tenant_that_it_is_for() -> None:
    assert StreamReport.of(acting_for(CHILD)).tenant_id == "ten_c"
    assert StreamReport.of(Open(None)).tenant_id == ""
