"""The order of the steps: what is judged first, and what a refusal spares all that comes after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.denial import Reason
from gateway.domain.keys import KeyState
from gateway.domain.networks import Allowlist
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.tenants import Tenant
from gateway.ports import UpstreamFailure
from tests.pipeline.fakes import FakeExchange, ok
from tests.pipeline.samples import (
    BAD_CHECKSUM,
    ME,
    OPEN,
    THINGS,
    TOKEN,
    concurrency,
    head,
    quota,
    rate,
)
from tests.pipeline.world import World

DOWN = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "10.0.0.9: refused")
ORDER = ["cache", "throttle", "store", "limits", "upstream"]


def steps(world: World) -> list[str]:
    """Return which ports were asked, in order, each once."""
    return [each for each in dict.fromkeys(world.touched) if each in ORDER]


# ---- the straight line


async def test_a_new_key_is_judged_in_the_promised_order() -> None:
    world = World(claims=(rate(),))
    await world.add_key(is_cached=False)
    assert (await world.ask(head())).status == 200
    assert steps(world) == ORDER


async def test_a_known_key_goes_from_cache_to_upstream_in_one_call_without_the_loop() -> None:
    world = World(claims=(rate(), quota(), concurrency()))
    await world.add_key()
    exchange = world.begin(FakeExchange(head()))
    assert exchange.response.status == 200
    assert len(world.recorded.outcomes) == 1
    assert steps(world) == ["cache", "limits", "upstream"]


async def test_a_public_route_walks_the_same_steps_as_anonymous() -> None:
    world = World(replace(OPEN, claims=(rate(1, owner="route:open"),)), THINGS)
    assert (await world.ask(head("/open", token=None))).status == 200
    assert steps(world) == ["limits", "upstream"]
    assert world.outcome.key is None
    assert world.outcome.route_name == "open"
    refused = await world.ask(head("/open", token=None))
    assert refused.status == 429


# ---- every refusal spares all that comes after it


def refused_address() -> Route:
    return replace(THINGS, allowlist=Allowlist(["198.51.100.0/24"]))


REFUSALS: list[tuple[Reason, int, RequestHead, dict[str, Any], list[Route], list[str]]] = [
    (Reason.NO_ROUTE, 404, head("/secret"), {}, [THINGS], []),
    (Reason.METHOD_NOT_ALLOWED, 405, head("/me", method="POST"), {}, [ME], []),
    (Reason.MISSING_CREDENTIALS, 401, head(token=None), {}, [THINGS], []),
    (Reason.MALFORMED_CREDENTIALS, 401, head(token="x"), {}, [THINGS], ["throttle"]),
    (Reason.BAD_CHECKSUM, 401, head(token=BAD_CHECKSUM), {}, [THINGS], ["throttle"]),
    (
        Reason.DUPLICATE_CREDENTIALS,
        400,
        head(f"/v1/things?api_key={TOKEN}"),
        {},
        [THINGS],
        ["throttle"],
    ),
    (
        Reason.UNKNOWN_KEY,
        401,
        head(token="sk_live_" + TOKEN[8:]),
        {"token": "sk_test_nobody"},
        [THINGS],
        ["cache", "throttle", "store"],
    ),
    (
        Reason.KEY_REVOKED,
        401,
        head(),
        {"state": KeyState.REVOKED},
        [THINGS],
        ["cache", "throttle"],
    ),
    (
        Reason.KEY_SUSPENDED,
        401,
        head(),
        {"state": KeyState.SUSPENDED},
        [THINGS],
        ["cache", "throttle"],
    ),
    (Reason.KEY_EXPIRED, 401, head(), {"expires_at": 1.0}, [THINGS], ["cache", "throttle"]),
    (
        Reason.TENANT_SUSPENDED,
        403,
        head(),
        {"tenant": Tenant(tenant_id="ten_a", name="A", is_suspended=True)},
        [THINGS],
        ["cache"],
    ),
    (Reason.ENV_MISMATCH, 403, head(), {"environment": "test"}, [THINGS], ["cache"]),
    (
        Reason.ENV_MISMATCH,
        403,
        head(),
        {},
        [replace(THINGS, environments=frozenset({"test"}))],
        ["cache"],
    ),
    (Reason.IP_NOT_ALLOWED, 403, head(), {}, [refused_address()], ["cache"]),
    (
        Reason.IP_NOT_ALLOWED,
        403,
        head(),
        {"ip_allowlist": ("198.51.100.0/24",)},
        [THINGS],
        ["cache"],
    ),
    (Reason.INSUFFICIENT_SCOPE, 403, head(), {"scopes": ()}, [THINGS], ["cache"]),
    (
        Reason.BODY_TOO_LARGE,
        413,
        head(method="POST", body_length=11),
        {},
        [replace(THINGS, body_bytes_max=10)],
        ["cache", "limits"],
    ),
    (
        Reason.LOOP_DETECTED,
        502,
        head("/v1/things", ("Via", "1.1 tollhouse")),
        {},
        [THINGS],
        ["cache", "limits"],
    ),
]


@pytest.mark.parametrize(
    ("reason", "status", "asked", "key", "table", "touched"),
    REFUSALS,
    ids=[f"{each[0]}-{n}" for n, each in enumerate(REFUSALS)],
)
async def test_a_refusal_keeps_every_later_port_from_being_asked(
    reason: Reason,
    status: int,
    asked: RequestHead,
    key: dict[str, Any],
    table: list[Route],
    touched: list[str],
) -> None:
    world = World(*table, claims=(rate(),))
    await world.add_key(**key)
    answer = await world.ask(asked)
    assert answer.status == status
    assert world.outcome.reason is reason
    assert world.outcome.status == status
    assert world.outcome.source == "gateway"
    assert steps(world) == touched


async def test_revoked_key_is_refused_before_any_upstream_contact() -> None:
    world = World()
    record = await world.add_key()
    assert (await world.ask(head())).status == 200
    await world.add_key(state=KeyState.REVOKED, is_cached=False)
    world.keys.invalidate([record.key_id])
    assert (await world.ask(head())).status == 401
    assert "upstream" not in world.touched


async def test_an_unlisted_path_is_not_found_without_a_look_at_any_key() -> None:
    world = World()
    assert (await world.ask(head("/v1/secret"))).status == 404
    assert world.touched == []
    assert world.outcome.route_name == "__unmatched__"


async def test_a_refused_limit_tells_when_to_come_back_and_spares_the_upstream() -> None:
    world = World(claims=(rate(1),), rate_headers=("draft", "jobhive"))
    await world.add_key()
    assert (await world.ask(head()))["X-RateLimit-Remaining"] == b"0"
    world.touched.clear()
    answer = await world.ask(head())
    assert answer.status == 429
    assert answer["Retry-After"] == b"60"
    assert answer["X-RateLimit-Retry-After"] == b"60"
    assert "upstream" not in world.touched
    assert world.outcome.policy == "pro/minute"
    world.clock.advance(60)
    assert (await world.ask(head())).status == 200


async def test_a_store_that_is_down_is_a_503_with_a_time_to_retry_and_never_a_pass() -> None:
    world = World()
    await world.add_key(is_cached=False)
    world.store.is_down = True
    answer = await world.ask(head())
    assert answer.status == 503
    assert int(answer["Retry-After"]) >= 1
    assert b"keys.db" not in answer.body
    assert "upstream" not in world.touched
    assert "keys.db" in world.outcome.detail


@pytest.mark.parametrize(
    "asked", [head("/nowhere"), head(token=None), head(token=BAD_CHECKSUM), head(method="HEAD")]
)
async def test_promised_rate_headers_are_on_every_refusal(asked: RequestHead) -> None:
    answer = await World(rate_headers=("jobhive",)).ask(asked)
    assert answer.status in (401, 404)
    assert "X-RateLimit-Limit" in answer
    assert "X-RateLimit-Remaining" in answer
    assert "X-RateLimit-Reset" in answer


async def test_an_upstream_failure_is_the_upstream_s_in_the_log_and_nameless_outside() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(DOWN)
    answer = await world.ask(head())
    assert answer.status == 502
    assert b"10.0.0.9" not in answer.body
    assert world.outcome.upstream == "up"
    assert world.outcome.detail == "10.0.0.9: refused"


async def test_a_relayed_response_is_recorded_as_the_upstream_s() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(ok(status=404, body=b"no such thing"))
    exchange = await world.tell(head())
    assert exchange.content == b"no such thing"
    assert world.outcome.status == 404
    assert world.outcome.source == "upstream"
    assert world.outcome.reason is None
    assert world.outcome.key is not None
