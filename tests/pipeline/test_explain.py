"""What is told of a request, step by step; that it is true shows `test_explain_differential`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import KeyState
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.domain.shadow import shadow_rules
from gateway.domain.tenants import Tenant
from gateway.pipeline.explain import Explanation
from tests.pipeline.explained import bearing, explained, facts
from tests.pipeline.fakes import NETWORK
from tests.pipeline.samples import ME, THINGS, concurrency, head, quota, rate
from tests.pipeline.test_shadow import trial
from tests.pipeline.world import RemoteLimiter, World

STEPS = [
    *("client_address", "request", "route", "key", "tenant", "environment"),
    *("addresses", "scopes", "limits", "handler"),
]


def results(told: Explanation) -> dict[str, str]:
    assert [step.name for step in told.steps] == STEPS
    return {step.name: step.result for step in told.steps}


async def test_a_request_that_is_let_through_passes_every_step() -> None:
    """D5."""
    world = World()
    told = await explained(world, record=await world.add_key())
    assert set(results(told).values()) == {"passed"}
    assert (told.verdict, told.status, told.generation) == ("forward", None, 1)
    assert facts(told, "handler") == {
        "handler": "proxy",
        "upstream": "up",
        "request_line": "GET /v1/things HTTP/1.1",
    }
    assert b"X-Request-Id" in told.head
    assert b"Content-Length" not in told.head


async def test_nothing_is_sent_drawn_or_recorded() -> None:
    claims = (rate(2), quota(2), concurrency(2))
    world = World(claims=claims)
    record = await world.add_key()
    for _ in range(5):
        assert (await explained(world, record=record)).verdict == "forward"
    assert world.limiter.look(claims).levels == (0, 0, 0)
    assert (world.recorded.outcomes, world.upstream.connections) == ([], [])
    assert not [each for each in world.touched if each != "cache"]


async def test_the_address_is_told_with_how_it_was_found() -> None:
    """D11."""
    world = World()
    told = await explained(world, record=await world.add_key(), address="192.0.2.9")
    assert facts(told, "client_address") == {
        "peer_address": "10.0.0.1",
        "client_address": "192.0.2.9",
        "network": NETWORK,
        "derivation": "the peer is no declared proxy",
    }


async def test_a_malformed_request_ends_at_its_head() -> None:
    denial = Denial(reason=Reason.INVALID_REQUEST, internal="no host")
    told = await explained(World(), head(token=None), malformed=denial)
    assert results(told)["request"] == "refused"
    assert facts(told, "request")["detail"] == "no host"
    assert (told.verdict, told.status) == ("refuse", 400)
    assert results(told)["route"] == "not_reached"
    assert b"Connection: close" in told.head


async def test_a_path_that_no_route_lists_ends_at_the_route() -> None:
    told = await explained(World(), bearing(None, "/nowhere"))
    assert results(told)["route"] == "refused"
    assert facts(told, "route") == {"reason": "no_route"}
    assert told.status == 404


async def test_a_method_that_is_not_listed_is_told_those_that_are() -> None:
    told = await explained(World(ME), bearing(None, "/me", method="POST"))
    assert facts(told, "route")["allow"] == ["GET", "HEAD"]


async def test_a_request_without_a_key_ends_at_the_key() -> None:
    told = await explained(World())
    assert results(told)["key"] == "refused"
    assert facts(told, "key") == {"throttled_seconds": 0, "reason": "missing_credentials"}
    assert b"WWW-Authenticate" in told.head


async def test_a_public_route_asks_no_key_for_anything() -> None:
    told = await explained(World(), bearing(None, "/open"))
    asked = results(told)
    assert [asked[each] for each in ("key", "tenant", "environment", "scopes")] == ["not_asked"] * 4
    assert [asked[each] for each in ("addresses", "limits", "handler")] == ["passed"] * 3
    assert facts(told, "handler")["upstream"] == "up"


async def test_the_state_of_a_key_is_told() -> None:
    world = World()
    record = await world.add_key(state=KeyState.SUSPENDED, state_reason="looks stolen")
    told = await explained(world, record=record)
    assert results(told)["key"] == "refused"
    key = facts(told, "key")
    assert (key["key_id"], key["state"], key["state_reason"], key["reason"]) == (
        *("key_a", "suspended", "looks stolen"),
        "key_suspended",
    )


async def test_a_suspended_tenant_ends_the_request_at_the_tenant() -> None:
    world = World()
    tenant = Tenant(tenant_id="ten_a", name="A", is_suspended=True)
    told = await explained(world, record=await world.add_key(tenant=tenant))
    assert results(told)["tenant"] == "refused"
    assert facts(told, "tenant")["is_suspended"]


async def test_a_key_that_is_not_in_memory_is_looked_up() -> None:
    world = World()
    told = await explained(world, record=await world.add_key(is_cached=False))
    assert (told.verdict, facts(told, "key")["key_id"]) == ("forward", "key_a")


async def test_an_address_that_failed_too_often_has_to_wait_unless_its_key_is_in_memory() -> None:
    world = World(failures=1)
    assert world.throttle.failed(NETWORK) == 0
    cold = await world.add_key(is_cached=False)
    told = await explained(world, record=cold)
    assert (told.outcome.reason, told.status) == (Reason.AUTH_THROTTLED, 429)
    assert facts(told, "key")["throttled_seconds"] == 60
    assert (await explained(world, record=await world.add_key())).verdict == "forward"


async def test_failures_that_cannot_be_looked_at_hold_nobody_up() -> None:
    class Blind:
        """Implements `ports.Throttle` while somebody keeps its lock."""

        def retry_after(self, _: str) -> int:
            raise AssertionError

        def failed(self, _: str) -> int:
            raise AssertionError

        def standing(self, _: str) -> tuple[int, int, int]:
            raise AssertionError

        def look(self, _: str) -> None:
            return None

    world = World()
    world.change(throttle=Blind())
    told = await explained(world, record=await world.add_key(is_cached=False))
    assert told.verdict == "forward"


async def test_the_environment_is_told_with_those_that_the_route_takes() -> None:
    world = World(Route(name="things", pattern="/v1/things", environments=frozenset({"test"})))
    told = await explained(world, record=await world.add_key())
    assert results(told)["environment"] == "refused"
    assert facts(told, "environment") == {
        "environment": "live",
        "of_route": ["test"],
        "is_barred": False,
        "reason": "env_mismatch",
        "detail": "key is live",
    }


async def test_each_address_rule_is_told_with_the_entry_that_was_hit() -> None:
    """HP-22, X-18."""
    route = Route(
        name="things",
        pattern="/v1/things",
        upstream="up",
        allowlist=Allowlist(["192.0.2.0/24"], "route"),
        shadow=shadow_rules(allowlists=(Allowlist(["203.0.113.0/24"], "route"),)),
    )
    world = World(route)
    tenant = Tenant(
        tenant_id="ten_a",
        name="A",
        ip_allowlist=("192.0.2.7",),
        ip_allowlist_enabled=True,
        ip_allowlist_mode="shadow",
    )
    record = await world.add_key(tenant=tenant, ip_allowlist=("198.51.100.0/24",))
    told = await explained(world, record=record)
    assert results(told)["addresses"] == "refused"
    told_facts = facts(told, "addresses")
    assert told_facts["detail"] == "the list of the key"
    assert [
        (each["rule"], each["mode"], each["network"], each["is_allowed"])
        for each in told_facts["rules"]
    ] == [
        ("route_ip", "enforce", "192.0.2.0/24", True),
        ("key_ip", "enforce", None, False),
        ("route_ip", "shadow", None, False),
        ("tenant_ip", "shadow", "192.0.2.7", True),
    ]


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_scopes_are_told_as_needed_held_and_missing(mode: str) -> None:
    needed = ("things:read", "things:write")
    changes: dict[str, Any] = {"scopes": needed}
    if mode == "shadow":
        changes = {"shadow": shadow_rules(scopes=needed)}
    world = World(Route(name="things", pattern="/v1/things", upstream="up", **changes))
    told = await explained(world, record=await world.add_key())
    assert results(told)["scopes"] == ("refused" if mode == "enforce" else "passed")
    scopes = facts(told, "scopes")
    assert (scopes["mode"], scopes["missing"]) == (mode, ["things:write"])
    assert (scopes["required"], scopes["held"]) == ([*needed], ["things:read"])
    assert [each.kind for each in told.outcome.shadow] == (["scope"] if mode == "shadow" else [])


async def test_buckets_are_told_before_and_after() -> None:
    claims = (rate(3), quota(2), concurrency(5))
    world = World(claims=claims)
    record = await world.add_key()
    await world.ask(head())
    told = await explained(world, record=record)
    assert facts(told, "limits")["is_known"]
    assert [
        (each["kind"], each["remaining_before"], each["remaining_after"], each["mode"])
        for each in facts(told, "limits")["buckets"]
    ] == [
        ("rate", 2, 1, "enforce"),
        ("quota", 1, 0, "enforce"),
        ("running", 5, 4, "enforce"),
    ]


async def test_the_bucket_that_refuses_is_told_with_when_to_come_again() -> None:
    world = World(claims=(rate(9), quota(1)))
    record = await world.add_key()
    await world.ask(head())
    told = await explained(world, record=record)
    limits = facts(told, "limits")
    assert results(told)["limits"] == "refused"
    assert [(each["policy"], each["refuses"]) for each in limits["buckets"]] == [
        ("pro/minute", False),
        ("pro/monthly", True),
    ]
    assert limits["reason"] == "quota_exceeded"
    assert limits["retry_after_seconds"] > 0


async def test_buckets_of_plans_in_shadow_mode_are_told_too() -> None:
    tried = trial(rate(1))
    world = World(claims=(rate(9),), shadow_plans=((tried,),))
    record = await world.add_key()
    await world.ask(head())
    told = await explained(world, record=record)
    assert told.verdict == "forward"
    *_, last = facts(told, "limits")["buckets"]
    assert (last["policy"], last["mode"], last["remaining_before"]) == ("trial/minute", "shadow", 0)
    assert [(each.kind, each.policy) for each in told.outcome.shadow] == [("limit", "trial/minute")]


async def test_buckets_that_cannot_be_looked_at_are_said_to_be_unknown() -> None:
    world = World(claims=(rate(1),))
    record = await world.add_key()
    world.use(RemoteLimiter(world.limiter))
    told = await explained(world, record=record)
    limits = facts(told, "limits")
    assert (limits["is_known"], limits["buckets"][0]["remaining_before"]) == (False, None)
    # Also where a refusal would tell of them.
    await world.forget()
    await world.add_key(scopes=())
    assert (await explained(world, record=record)).verdict == "refuse"


async def test_a_refusal_behind_the_limits_is_the_handlers_and_tells_the_buckets_as_drawn() -> None:
    route = Route(name="things", pattern="/v1/things", upstream="up", body_bytes_max=10)
    world = World(route, claims=(rate(3),))
    record = await world.add_key()
    told = await explained(world, bearing(record, method="POST", body_length=50), record)
    assert results(told)["handler"] == "refused"
    assert facts(told, "handler")["reason"] == "body_too_large"
    assert facts(told, "handler")["request_line"] == ""
    assert b'"minute";r=2' in told.head


async def test_introspection_is_answered_as_it_would_be() -> None:
    world = World()
    told = await explained(world, bearing(record := await world.add_key(), "/me"), record)
    assert (told.verdict, told.status, told.body) == ("answer", 200, b'{"problem":"key_a"}')
    assert facts(told, "handler") == {"handler": "introspect"}


async def test_options_about_the_server_as_a_whole_asks_for_no_route() -> None:
    asked = head("*", method="OPTIONS", token=None, ends_here=True)
    told = await explained(World(), asked)
    assert (told.verdict, told.status) == ("answer", 200)
    assert results(told)["route"] == results(told)["limits"] == "not_asked"
    assert facts(told, "handler") == {"handler": "options"}


async def test_a_key_that_cannot_be_bound_is_told_as_the_crash_that_it_is() -> None:
    world = World()
    record = await world.add_key(is_cached=False)

    def bind(*_: Any) -> Any:
        raise LookupError("plan 'gone' is not declared")

    world._bind = bind  # type: ignore[method-assign,assignment]
    told = await explained(world, record=record)
    assert (told.outcome.reason, told.status) == (Reason.INTERNAL, 500)
    assert results(told)["key"] == "refused"


async def test_the_environment_of_the_key_chooses_the_upstream() -> None:
    world = World(THINGS)
    told = await explained(world, record=await world.add_key(environment="test"))
    assert facts(told, "handler")["upstream"] == "sandbox"
