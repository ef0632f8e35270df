"""What withdraws from keys that act for other tenants: X-21, IV-13."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey, KeyKind, KeyState
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.streams import StreamKind, StreamReport
from gateway.domain.tenants import Tenant
from gateway.domain.withdrawal import (
    Withdrawals,
    Withdrawn,
    withdrawn_of_key,
    withdrawn_of_tenant,
)
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import head

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
    head: RequestHead = field(default_factory=head)
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


def test_callers_without_a_key_and_other_keys_are_left_alone() -> None:
    condemn = Withdrawn(key_id="key_b", refusal=Reason.KEY_REVOKED)
    assert condemn(acting_for(CHILD)) is None
    assert condemn(Open(None)) is None


def test_a_revoked_key_loses_its_streams_whoever_they_are_for() -> None:
    condemn = withdrawn_of_key(a_key(state=KeyState.REVOKED), frozenset(), NOW)
    assert [condemn(acting_for(each)) for each in (PARTNER, CHILD)] == [Reason.KEY_REVOKED] * 2


def test_a_scope_that_is_gone_takes_the_streams_of_its_routes_along() -> None:
    condemn = withdrawn_of_key(RECORD, frozenset({"jobs:read"}), NOW)
    stream = acting_for(CHILD)
    assert condemn(stream) is None
    for scope, reason in (("jobs:read", None), ("jobs:write", Reason.INSUFFICIENT_SCOPE)):
        stream.route = Route(name="r", pattern="/r", scopes=(scope,))
        assert condemn(stream) is reason


def test_several_withdrawals_condemn_what_any_of_them_does() -> None:
    both = Withdrawals(
        (
            Withdrawn(tenant_id="ten_c", refusal=Reason.TENANT_SUSPENDED),
            Withdrawn(key_id="key_a", scopes=frozenset(), tenants=frozenset({"ten_a"})),
        )
    )
    found = [both(acting_for(each)) for each in (PARTNER, CHILD, LISTED)]
    assert found == [None, Reason.TENANT_SUSPENDED, Reason.CROSS_TENANT]
