"""Builds outcomes for the tests of recorders."""

from __future__ import annotations

from typing import Any

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim, Grant, Rate, Standing
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
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


def make_route(name: str) -> Route:
    return Route(name=name, pattern="/v1")


def make_grant(policy: str) -> Grant | None:
    """Return a grant that `policy` decided."""
    if not policy:
        return None
    rule = Rate(name="minute", limit=9, window_seconds=60, burst=9)
    standing = Standing(Claim(bucket="b", policy=policy, rule=rule), 5, 1)
    return Grant(standings=(standing,))


def make_outcome(**fields: Any) -> Outcome:
    """Return a forwarded GET that was answered with 200, with `fields` set.

    `route` and `policy` are names, `method`, `target` and `user_agent` go into the head; `upstream`, `upstream_target`
    and `upstream_duration` into the result, which is a refusal when there is a `reason`, a `Reply` when `source` is
    `upstream`, and else None.
    """
    values: dict[str, Any] = {
        "request_id": b"req_1",
        "method": "GET",
        "target": b"/v1/jobs?limit=20",
        "user_agent": b"curl/8.5.0",
        "client_address": "192.0.2.7",
        "peer_address": "10.0.0.1",
        "started": 1_000.1239,
        "generation": 0,
        "route": "jobs.read",
        "key": None,
        "policy": "pro/minute",
        "status": 200,
        "source": "upstream",
        "reason": None,
        "detail": "",
        "upstream": "jobs",
        "upstream_target": "http://10.0.1.1:9000",
        "upstream_duration": 0.0121,
        "duration": 0.0125,
        "request_bytes": 3,
        "response_bytes": 760,
        "ended": "complete",
    } | fields
    outcome = Outcome(values.pop("started"))
    outcome.head = RequestHead(
        method=values.pop("method"), target=values.pop("target"), path="/v1/jobs"
    )
    outcome.head.user_agent = values.pop("user_agent")
    route, policy = values.pop("route"), values.pop("policy")
    outcome.route = None if route == "__unmatched__" else make_route(route)
    outcome.grant = make_grant(policy)
    upstream = {name: values.pop(name) for name in ("upstream", "upstream_duration")}
    target, source = values.pop("upstream_target"), values.pop("source")
    for name, value in values.items():
        setattr(outcome, name, value)
    outcome.result = None
    if outcome.reason is not None or source == "gateway":
        if outcome.reason is not None or upstream["upstream"]:
            outcome.result = Denial(
                reason=outcome.reason or Reason.INTERNAL,
                upstream=upstream["upstream"],
                upstream_seconds=upstream["upstream_duration"],
            )
    else:
        outcome.result = Reply(
            outcome.status,
            ended=outcome.ended,
            upstream=upstream["upstream"],
            target=target,
            upstream_seconds=upstream["upstream_duration"],
        )
    return outcome
