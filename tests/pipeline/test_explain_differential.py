"""What is told of a request is what becomes of it: the same verdict, the same bytes, and nothing used up (D5)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.limits import Claim
from gateway.domain.networks import Allowlist
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.shadow import shadow_rules
from gateway.domain.tenants import Tenant
from gateway.pipeline.explain import Explanation
from tests.pipeline.explained import explained, facts
from tests.pipeline.fakes import FakeExchange, FakeUpstream
from tests.pipeline.samples import FORMAT, PEPPERS, concurrency, head, quota, rate
from tests.pipeline.world import World

NOW = 1_700_000_000.0
HOSTS = ("192.0.2.7", "192.0.2.99", "198.51.100.1", "2001:db8::7", "")
LISTS = ((), ("192.0.2.0/28",), ("198.51.100.0/24", "2001:db8::/32"))
MODES = st.sampled_from(["enforce", "shadow"])
DIALECTS = ("problem", "hirepanda", "jobhive", "instaview")
RATE_HEADERS = ((), ("draft",), ("jobhive",), ("instaview",), ("jobhive", "draft"))


class Kept(FakeExchange):
    """Keeps the bytes of an answer of the gateway's own."""

    raw: tuple[bytes, bytes] | None = None

    def answer(self, head: bytes, body: bytes) -> None:
        self.raw = head, body
        super().answer(head, body)


@dataclass(frozen=True)
class Step:
    """One request; `moves` seconds pass before it."""

    target: str
    method: str
    fields: tuple[tuple[str, str], ...]
    bears: str
    address: str
    body_length: int
    malformed: Denial | None
    moves: float
    keeps_alive: bool


def limits() -> st.SearchStrategy[tuple[Claim, ...]]:
    owners = st.sampled_from(["lineage:lin_a", "tenant:ten_a"])
    one = st.one_of(
        st.builds(rate, st.integers(1, 3), owners),
        st.builds(quota, st.integers(1, 3)),
        st.builds(concurrency, st.integers(1, 2)),
    )
    return st.lists(one, max_size=3, unique_by=lambda claim: claim.bucket).map(tuple)


def tried(claims: tuple[Claim, ...]) -> tuple[tuple[Claim, ...], ...]:
    """Return the same limits as a plan in shadow mode, with buckets of its own."""
    renamed = tuple(
        Claim(
            bucket=claim.bucket.replace(":pro:", ":trial:"),
            policy=claim.policy.replace("pro/", "trial/"),
            rule=claim.rule,
        )
        for claim in claims
    )
    return (renamed,) if renamed else ()


@st.composite
def routes(draw: st.DrawFn) -> tuple[Route, ...]:
    made = []
    for name, pattern in (("things", "/v1/things"), ("thing", "/v1/things/{id}"), ("me", "/me")):
        entries, is_tried = draw(st.sampled_from(LISTS)), draw(st.booleans())
        needed = draw(st.sampled_from([(), ("things:read",), ("things:write", "things:read")]))
        is_scope_tried = draw(st.booleans())
        allowlist = Allowlist(entries, "route") if entries else None
        own = (rate(draw(st.integers(1, 3)), f"route:{name}"),) if draw(st.booleans()) else ()
        is_plan_tried = draw(st.booleans())
        made.append(
            Route(
                name=name,
                pattern=pattern,
                methods=draw(st.sampled_from([frozenset(), frozenset({"GET", "POST"})])),
                needs_key=name == "me" or draw(st.integers(0, 3)) > 0,
                environments=draw(st.sampled_from([frozenset(), frozenset({"live"})])),
                scopes=() if is_scope_tried else needed,
                allowlist=None if is_tried else allowlist,
                claims=() if is_plan_tried else own,
                shadow=shadow_rules(
                    scopes=needed if is_scope_tried else (),
                    allowlists=(allowlist,) if allowlist and is_tried else (),
                    plans=tried(own) if is_plan_tried else (),
                ),
                upstream="up",
                handler="introspect" if name == "me" else "proxy",
                body_bytes_max=draw(st.sampled_from([0, 10])),
            )
        )
    return tuple(made)


RECORDS = st.fixed_dictionaries(
    {
        "state": st.sampled_from(
            [*[KeyState.ACTIVE] * 6, KeyState.SUSPENDED, KeyState.ROTATING, KeyState.REVOKED]
        ),
        "scopes": st.sampled_from([("things:read",), (), ("things:read", "things:write")]),
        "ip_allowlist": st.sampled_from(LISTS),
        "ip_allowlist_mode": MODES,
        "expires_at": st.sampled_from([None, None, NOW + 20, NOW - 1]),
        "retires_at": st.sampled_from([None, None, NOW + 20, NOW - 1]),
        "environment": st.sampled_from(["live", "live", "live", "test"]),
        "kind": st.just(KeyKind.REGULAR),
    }
)
TENANTS = st.builds(
    Tenant,
    tenant_id=st.just("ten_a"),
    name=st.just("A"),
    is_suspended=st.sampled_from([False, False, False, True]),
    ip_allowlist=st.sampled_from(LISTS),
    ip_allowlist_enabled=st.booleans(),
    ip_allowlist_mode=MODES,
)
FIELDS = st.lists(
    st.sampled_from(
        [
            ("Accept", "application/problem+json"),
            ("Accept", "text/html"),
            ("Via", "1.1 tollhouse"),
            ("X-Other", "1"),
        ]
    ),
    max_size=2,
).map(tuple)
STEPS = st.builds(
    Step,
    target=st.sampled_from(
        [
            *("/v1/things", "/v1/things", "/v1/things/7", "/me", "/nowhere", "*"),
            *("/v1/things?access_token=x", "/v1/things?page=2"),
        ]
    ),
    method=st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "PATCH"]),
    fields=FIELDS,
    bears=st.sampled_from([*["key"] * 6, "nothing", "broken"]),
    address=st.sampled_from(HOSTS),
    body_length=st.sampled_from([0, 0, 5, 50]),
    malformed=st.sampled_from(
        [*[None] * 9, Denial(reason=Reason.INVALID_REQUEST, internal="no host")]
    ),
    moves=st.sampled_from([0.0, 0.0, 1.0, 25.0]),
    keeps_alive=st.sampled_from([True, True, False]),
)


def asked(step: Step, token: str | None) -> RequestHead:
    return head(
        step.target,
        *step.fields,
        method=step.method,
        token=token,
        body_length=step.body_length,
        keeps_alive=step.keeps_alive and step.malformed is None,
        ends_here=step.target == "*" and step.method == "OPTIONS",
    )


def verdict(outcome: Outcome) -> str:
    if isinstance(outcome.result, Reply):
        return "forward"
    return "refuse" if isinstance(outcome.result, Denial) else "answer"


def found(outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(each.kind.value, each.reason.value, each.policy) for each in outcome.shadow]


def standing(world: World, claims: Sequence[Claim], network: str) -> Any:
    """Return everything that a rehearsal might use up."""
    return (
        world.limiter.look(claims).levels,
        world.throttle.look(network),
        len(world.recorded.outcomes),
        len(world.upstream.connections) + len(world.sandbox.connections),
        len(world.shadowed),
    )


def compare(
    told: Explanation, outcome: Outcome, exchange: Kept, upstreams: list[FakeUpstream]
) -> None:
    mine = told.outcome
    assert told.verdict == verdict(outcome)
    assert (mine.reason, mine.detail) == (outcome.reason, outcome.detail)
    assert mine.route_name == outcome.route_name
    assert (mine.key is None) == (outcome.key is None)
    assert found(mine) == found(outcome)
    assert mine.policy == outcome.policy
    if told.verdict != "forward":
        assert (told.head, told.body) == exchange.raw
        assert told.status == exchange.response.status
        return
    assert told.status is None
    assert mine.upstream == outcome.upstream
    added = [line.partition(b": ") for line in told.head.split(b"\r\n") if line]
    assert {(name.lower(), value) for name, _, value in added} <= set(exchange.response.fields)
    asked_by = [upstream.last for upstream in upstreams if upstream.name == outcome.upstream]
    line = facts(told, "handler")["request_line"]
    assert [each.head.decode().startswith(f"{line}\r\n") for each in asked_by] == [True]


@given(
    table=routes(),
    record=RECORDS,
    tenant=TENANTS,
    claims=limits(),
    shadow_claims=limits(),
    steps=st.lists(STEPS, min_size=1, max_size=6),
    errors=st.sampled_from(DIALECTS),
    rate_headers=st.sampled_from(RATE_HEADERS),
    is_cached=st.booleans(),
    is_barred=st.booleans(),
    problem=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_what_is_told_is_what_happens_and_telling_it_uses_nothing_up(
    table: tuple[Route, ...],
    record: dict[str, Any],
    tenant: Tenant,
    claims: tuple[Claim, ...],
    shadow_claims: tuple[Claim, ...],
    steps: list[Step],
    errors: str,
    rate_headers: tuple[str, ...],
    is_cached: bool,
    is_barred: bool,
    problem: bool,
) -> None:
    async def live() -> None:
        world = World(
            *table,
            errors=errors,
            rate_headers=rate_headers,
            claims=claims,
            shadow_plans=tried(shadow_claims),
            barred=frozenset({("live", "thing")}) if is_barred else frozenset(),
            problem=problem,
        )
        secret = FORMAT.mint(record["environment"], "A" * 43)
        digest = PEPPERS.digest(secret.encode())
        key: KeyRecord = await world.add_key(
            secret, tenant=tenant, is_cached=is_cached, digest=digest, **record
        )
        everything = (*claims, *(each for plan in tried(shadow_claims) for each in plan))
        for step in steps:
            world.clock.advance(step.moves)
            # What is not about a key's secret can be told of every credential.
            token = {"key": secret, "nothing": None, "broken": "x y"}[step.bears]
            bears = {"key": key.key_id, "nothing": None, "broken": "x y"}[step.bears]
            network = step.address or "unix"
            before = standing(world, everything, network)
            told = await explained(
                world,
                asked(step, bears),
                key if step.bears == "key" else None,
                malformed=step.malformed,
                address=step.address,
                network=network,
            )
            assert standing(world, everything, network) == before
            exchange = Kept(
                asked(step, token),
                malformed=step.malformed,
                address=step.address,
                network=network,
                body=(b"x" * step.body_length,) if step.body_length else (),
            )
            await world.tell(exchange)
            compare(told, world.outcome, exchange, [world.upstream, world.sandbox])

    asyncio.run(live())
