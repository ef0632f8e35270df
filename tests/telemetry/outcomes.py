"""Builds outcomes for the tests of recorders."""

from __future__ import annotations

from typing import Any

from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.outcome import Outcome
from gateway.domain.tenants import Tenant


def make_key(key_id: str = "key_1") -> BoundKey:
    record = KeyRecord(
        key_id=key_id,
        lineage_id="lin_1",
        tenant_id="ten_1",
        name="ci",
        format="sk",
        environment="live",
        digest=b"d" * 32,
        pepper_id="p1",
        display="sk_live_ab12…wxyz",
    )
    return BoundKey(
        record=record,
        tenant=Tenant(tenant_id="ten_1", name="Acme"),
        scopes=frozenset(),
        allowlists=(),
        claims=(),
        identity=b"",
    )


def make_outcome(**fields: Any) -> Outcome:
    """Return a forwarded GET that was answered with 200, with `fields` set."""
    outcome = Outcome(
        request_id="req_1",
        method="GET",
        target=b"/v1/jobs?limit=20",
        client_address="192.0.2.7",
        peer_address="10.0.0.1",
        user_agent=b"curl/8.5.0",
        started_at=1_700_000_000.1239,
    )
    forwarded = {
        "route": "jobs.read",
        "status": 200,
        "source": "upstream",
        "policy": "pro/minute",
        "upstream": "jobs",
        "upstream_target": "http://10.0.1.1:9000",
        "duration": 0.0125,
        "upstream_duration": 0.0121,
        "request_bytes": 3,
        "response_bytes": 760,
    }
    for name, value in (forwarded | fields).items():
        setattr(outcome, name, value)
    return outcome
