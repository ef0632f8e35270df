"""Requests, routes, keys and limits for the tests of `tests/pipeline`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate, Rule
from gateway.domain.networks import Allowlist
from gateway.domain.request import Field, RequestHead
from gateway.domain.routes import Match, Route, RouteTable
from gateway.domain.tenants import Tenant
from gateway.pipeline.values import Admission, Permit, Principal

FORMAT = KeyFormat("tollhouse", "sk", ("live", "test"))
FORMATS = KeyFormats([FORMAT])
PEPPERS = Peppers("p1", {"p1": b"p" * 32})

TOKEN = FORMAT.mint("live", "A" * 43)
OTHER_TOKEN = FORMAT.mint("live", "B" * 43)
BAD_CHECKSUM = TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")

THINGS = Route(name="things", pattern="/v1/things", scopes=("things:read",), upstream="up")
OPEN = Route(name="open", pattern="/open", needs_key=False, upstream="up")
ME = Route(name="me", pattern="/me", methods=frozenset({"GET"}), handler="introspect")


def made_fields(fields: Iterable[tuple[str, str]]) -> tuple[Field, ...]:
    return tuple((n.lower().encode(), n.encode(), v.encode()) for n, v in fields)


def head(
    target: str = "/v1/things",
    *fields: tuple[str, str],
    method: str = "GET",
    token: str | None = TOKEN,
    **changes: Any,
) -> RequestHead:
    """Return the head of a request; `token` None sends no credentials."""
    if token is not None:
        fields = (*fields, ("Authorization", f"Bearer {token}"))
    path, _, query = target.partition("?")
    made = made_fields(fields)
    values: dict[str, Any] = {
        "method": method,
        "target": target.encode(),
        "path": path,
        "query": query.encode(),
        "host": "api.test",
        "authority": b"api.test",
        "fields": made,
        "authorization": tuple(value for name, _, value in made if name == b"authorization"),
    }
    return RequestHead(**(values | changes))


def claim(rule: Rule, owner: str = "lineage:lin_a", plan: str = "pro") -> Claim:
    return Claim(bucket=f"{owner}:{plan}:{rule.name}", policy=f"{plan}/{rule.name}", rule=rule)


def rate(limit: int = 2, owner: str = "lineage:lin_a") -> Claim:
    return claim(Rate(name="minute", limit=limit, window_seconds=60, burst=limit), owner)


def quota(limit: int = 2) -> Claim:
    return claim(Quota(name="monthly", limit=limit, period="month"))


def concurrency(limit: int = 1) -> Claim:
    return claim(Concurrency(name="concurrency", limit=limit))


def matched(asked: RequestHead, route: Route = THINGS) -> Match:
    """Return what step 1 makes of a head that is for `route`."""
    match = RouteTable([route]).match(asked)
    assert isinstance(match, Match)
    return match


def bound(
    record: KeyRecord | None = None,
    *,
    scopes: Iterable[str] = ("things:read",),
    allowlists: Sequence[Allowlist] = (),
    claims: Sequence[Claim] = (),
    environment: str = "live",
) -> BoundKey:
    """Return a key as step 2 finds it."""
    return BoundKey(
        record=record
        or KeyRecord(
            key_id="key_a",
            lineage_id="lin_a",
            tenant_id="ten_a",
            name="a",
            format="tollhouse",
            environment=environment,
            digest=b"d" * 32,
            pepper_id="p1",
            display="sk_live_AAAA…",
        ),
        tenant=Tenant(tenant_id="ten_a", name="A"),
        scopes=frozenset(scopes),
        allowlists=tuple(allowlists),
        claims=tuple(claims),
        identity=b"X-Gateway-Key-Id: key_a\r\n",
    )


def admitted(
    asked: RequestHead,
    route: Route = THINGS,
    key: BoundKey | None = None,
    grant: Grant | None = None,
    match: Match | None = None,
) -> Admission:
    """Return what steps 1 to 4 make of a request that nothing refuses."""
    return Admission(Permit(Principal(match or matched(asked, route), key)), grant)
