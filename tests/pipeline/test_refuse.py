from __future__ import annotations

import json

import pytest

from gateway.domain.denial import VERDICTS, Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from gateway.pipeline.refuse import refuse
from tests.pipeline.fakes import ADDRESS, NETWORK, Answer, FakeExchange
from tests.pipeline.samples import OPEN, THINGS, bound, head, rate
from tests.pipeline.world import RemoteLimiter, World

WANTS_PROBLEM = ("Accept", "application/json, application/problem+json;q=0.5")


def answered(
    denial: Denial,
    asked: RequestHead | None = None,
    *,
    world: World | None = None,
    key: BoundKey | None = None,
) -> Answer:
    """Return what the client of a refused request reads."""
    world = world or World()
    exchange = FakeExchange(asked or head())
    status = refuse(denial, exchange, THINGS, key, world.generation)
    assert exchange.response.status == status
    return exchange.response


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("errors", ["problem", "hirepanda", "jobhive", "instaview"])
def test_every_reason_is_answered_whole_in_every_dialect(reason: Reason, errors: str) -> None:
    answer = answered(Denial(reason=reason), world=World(errors=errors))
    assert 400 <= answer.status <= 599
    assert answer["Content-Length"] == b"%d" % len(answer.body)
    json.loads(answer.body)
    assert answer["Cache-Control"] == b"no-store"
    assert answer["X-Request-Id"] == b"req_0123"
    assert answer["X-Gateway-Error-Source"] == b"gateway"
    assert answer["Date"] == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert ("WWW-Authenticate" in answer) >= (answer.status in (401, 403))
    assert ("Allow" in answer) == (answer.status == 405)
    assert ("Retry-After" in answer) == (answer.status in (429, 503))


@pytest.mark.parametrize("reason", list(Reason))
def test_what_only_the_log_may_know_never_reaches_the_client(reason: Reason) -> None:
    answer = answered(Denial(reason=reason, internal="SECRET-10.0.0.9", upstream="SECRET-up"))
    assert b"SECRET" not in answer.body
    assert all(b"SECRET" not in value for _, value in answer.fields)


def test_the_lines_of_every_answer_stand_on_refusals_too() -> None:
    refused = answered(Denial(reason=Reason.NO_ROUTE), world=World().insist_on_tls())
    assert refused.all("Strict-Transport-Security") == [b"max-age=60"]


def test_the_default_dialect_answers_with_the_status_of_the_table() -> None:
    for reason, verdict in VERDICTS.items():
        assert answered(Denial(reason=reason)).status == verdict.status


def test_a_head_request_is_refused_with_the_same_fields_and_no_body() -> None:
    denial = Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=("things:read",))
    whole = answered(denial)
    only_head = answered(denial, head(method="HEAD"))
    assert only_head.body == b""
    assert only_head.line == whole.line
    assert only_head.fields == whole.fields


def test_a_connection_that_ends_with_the_answer_is_told_so() -> None:
    denial = Denial(reason=Reason.NO_ROUTE)
    assert answered(denial, head(keeps_alive=False))["Connection"] == b"close"
    assert "Connection" not in answered(denial)


def test_the_allowed_methods_and_the_needed_scope_are_named() -> None:
    denial = Denial(reason=Reason.METHOD_NOT_ALLOWED, allow=("GET", "HEAD"))
    assert answered(denial)["Allow"] == b"GET, HEAD"
    denial = Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=("a:b", "c:d"))
    assert b'scope="a:b c:d"' in answered(denial)["WWW-Authenticate"]


# ---- the dialect


def test_a_client_that_accepts_problem_json_gets_it_whatever_the_dialect() -> None:
    denial = Denial(reason=Reason.NO_ROUTE)
    world = World(errors="jobhive")
    assert answered(denial, world=world)["Content-Type"] == b"application/json"
    answer = answered(denial, head("/v1/things", WANTS_PROBLEM), world=world)
    assert answer["Content-Type"] == b"application/problem+json"
    assert json.loads(answer.body)["status"] == 404


def test_problem_json_on_accept_can_be_switched_off() -> None:
    world = World(errors="jobhive", problem=False)
    answer = answered(
        Denial(reason=Reason.NO_ROUTE), head("/v1/things", WANTS_PROBLEM), world=world
    )
    assert answer["Content-Type"] == b"application/json"


def test_a_route_speaks_its_own_dialect_and_what_matched_none_the_default_one() -> None:
    world = World(errors="problem")
    other = World(errors="jobhive").generation.voices[""]
    world.change(voices={**world.generation.voices, "open": other})
    denial = Denial(reason=Reason.INTERNAL)
    types = {}
    for name, route in (("", None), ("open", OPEN)):
        exchange = FakeExchange(head())
        refuse(denial, exchange, route, None, world.generation)
        types[name] = exchange.response["Content-Type"]
    assert types == {"": b"application/problem+json", "open": b"application/json"}


# ---- rate-limit headers


def test_a_refused_limit_shows_the_bucket_that_refused_and_one_number_of_seconds() -> None:
    world = World(rate_headers=("jobhive", "draft"))
    world.limiter.acquire([rate(1)])
    grant = world.limiter.acquire([rate(1)])
    denial = Denial(
        reason=Reason.RATE_LIMITED, grant=grant, retry_after_seconds=grant.retry_after_seconds
    )
    answer = answered(denial, world=world)
    assert answer["Retry-After"] == answer["X-RateLimit-Retry-After"] == b"60"
    assert answer["X-RateLimit-Limit"] == b"1"
    assert answer["X-RateLimit-Remaining"] == b"0"
    assert answer["RateLimit"] == b'"minute";r=0;t=60'


def test_a_known_key_that_is_refused_sees_how_its_limits_stand_without_being_charged() -> None:
    world = World(rate_headers=("jobhive",))
    key = bound(claims=[rate(5)])
    world.limiter.acquire(key.claims)
    for _ in range(3):
        answer = answered(Denial(reason=Reason.INSUFFICIENT_SCOPE), world=world, key=key)
        assert answer["X-RateLimit-Limit"] == b"5"
        assert answer["X-RateLimit-Remaining"] == b"4"


def test_a_key_without_limits_sees_those_of_its_address_where_headers_are_promised() -> None:
    world = World(rate_headers=("jobhive",), failures=20)
    answer = answered(Denial(reason=Reason.INSUFFICIENT_SCOPE), world=world, key=bound())
    assert answer["X-RateLimit-Limit"] == b"20"


@pytest.mark.parametrize("reason", [Reason.MISSING_CREDENTIALS, Reason.NO_ROUTE])
def test_promised_headers_are_on_every_refusal_with_the_standing_of_the_address(
    reason: Reason,
) -> None:
    world = World(rate_headers=("jobhive", "instaview"), failures=20)
    world.throttle.failed(NETWORK)
    answer = answered(Denial(reason=reason), world=world)
    assert answer["X-RateLimit-Limit"] == b"20"
    assert answer["X-RateLimit-Remaining"] == b"19"
    assert answer["X-RateLimit-Remaining-Minute"] == b"19"


def test_a_throttled_address_is_told_the_same_seconds_everywhere() -> None:
    world = World(rate_headers=("jobhive",), failures=1)
    world.throttle.failed(NETWORK)
    wait = world.throttle.retry_after(NETWORK)
    denial = Denial(reason=Reason.AUTH_THROTTLED, retry_after_seconds=wait)
    answer = answered(denial, world=world)
    assert answer["Retry-After"] == answer["X-RateLimit-Retry-After"] == b"%d" % wait
    assert answer["X-RateLimit-Remaining"] == b"0"


def test_an_outage_tells_when_to_retry_but_nothing_about_limits() -> None:
    world = World(rate_headers=("jobhive",))
    denial = Denial(reason=Reason.STORE_UNAVAILABLE, retry_after_seconds=7)
    answer = answered(denial, world=world)
    assert answer["Retry-After"] == b"7"
    assert answer["X-RateLimit-Remaining"] == b"3"


def test_headers_that_are_not_promised_are_left_out_where_no_bucket_was_asked() -> None:
    answer = answered(Denial(reason=Reason.NO_ROUTE), world=World(rate_headers=("draft",)))
    assert "RateLimit" not in answer


def test_where_headers_are_promised_a_client_reads_them_whatever_else_is_configured() -> None:
    world = World(rate_headers=("draft", "instaview"), failures=20)
    answer = answered(Denial(reason=Reason.NO_ROUTE), world=world)
    assert "RateLimit" not in answer
    assert answer["X-RateLimit-Remaining-Minute"] == b"20"


def test_without_rate_headers_a_refused_limit_tells_only_when_to_retry() -> None:
    world = World(rate_headers=("off",))
    world.limiter.acquire([rate(1)])
    grant = world.limiter.acquire([rate(1)])
    denial = Denial(reason=Reason.RATE_LIMITED, grant=grant, retry_after_seconds=60)
    answer = answered(denial, world=world, key=bound(claims=[rate(1)]))
    assert answer["Retry-After"] == b"60"
    assert not [name for name, _ in answer.fields if b"ratelimit" in name]


async def test_a_limiter_on_another_host_is_not_asked_for_the_sake_of_headers() -> None:
    world = World(rate_headers=("jobhive",), failures=20)
    world.use(RemoteLimiter(world.limiter))
    key = bound(claims=[rate(5)])
    answer = answered(Denial(reason=Reason.INSUFFICIENT_SCOPE), world=world, key=key)
    assert answer["X-RateLimit-Limit"] == b"20"


def test_only_an_authenticated_caller_is_told_its_address() -> None:
    named = answered(Denial(reason=Reason.IP_NOT_ALLOWED, client_address=ADDRESS))
    silent = answered(Denial(reason=Reason.IP_NOT_ALLOWED))
    assert ADDRESS.encode() in named.body
    assert ADDRESS.encode() not in silent.body
