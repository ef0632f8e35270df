"""The last step for proxies that forward by themselves: they learn who the caller is, and nothing is forwarded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.denial import Reason
from gateway.domain.passage import Border
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.ports import UpstreamFailure
from tests.pipeline.fakes import FakeExchange
from tests.pipeline.samples import ME, OPEN, THINGS, TOKEN, concurrency, head, rate
from tests.pipeline.world import World, turn


def asked(
    target: str = "/v1/things",
    *fields: tuple[str, str],
    method: str = "GET",
    token: str | None = TOKEN,
) -> RequestHead:
    """Return the head of a request that a proxy asks about."""
    return head(target, *fields, method=method, token=token, ends_here=True, is_consultation=True)


async def test_a_request_that_may_pass_is_approved_with_its_identity_and_never_forwarded() -> None:
    world = World()
    await world.add_key()
    answer = await world.ask(asked())
    assert answer.status == 200
    assert answer["x-gateway-key-id"] == b"key_a"
    assert answer["content-length"] == b"0"
    assert answer["x-request-id"] == b"req_0123"
    assert "upstream" not in world.touched
    assert (world.outcome.status, world.outcome.source) == (200, "forward_auth")


async def test_identity_fields_are_there_even_when_nobody_is_known_so_that_they_are_overwritten() -> (
    None
):
    world = World(OPEN)
    border = Border(
        identity_names=[b"X-Gateway-Key-Id", b"X-Gateway-Tenant"],
        identity_prefix=b"X-Gateway-",
        pseudonym=b"tollhouse",
    )
    world.change(border=border)
    answer = await world.ask(asked("/open", ("X-Gateway-Key-Id", "key_forged"), token=None))
    assert answer.status == 200
    assert answer.all("x-gateway-key-id") == [b""]
    assert answer.all("x-gateway-tenant") == [b""]


async def test_what_is_not_told_of_a_key_is_told_as_empty() -> None:
    world = World()
    names = [b"X-Gateway-Key-Id", b"X-Environment"]
    world.change(border=Border(identity_names=names, identity_prefix=b"", pseudonym=b"tollhouse"))
    await world.add_key()
    answer = await world.ask(asked())
    assert answer.all("x-gateway-key-id") == [b"key_a"]
    assert answer.all("x-environment") == [b""]


@pytest.mark.parametrize(
    ("target", "token", "route", "status"),
    [
        ("/v1/things", None, THINGS, 401),
        ("/nowhere", TOKEN, THINGS, 404),
        ("/v1/..%2fadmin", TOKEN, THINGS, 404),
        ("/v1/things", TOKEN, replace(THINGS, scopes=("things:write",)), 403),
        ("/v1/things", TOKEN, replace(THINGS, methods=frozenset({"POST"})), 405),
    ],
)
async def test_what_would_be_refused_is_refused_to_the_proxy_in_the_same_words(
    target: str, token: str | None, route: Route, status: int
) -> None:
    world = World(route)
    await world.add_key()
    told = await world.ask(asked(target, token=token))
    assert told.status == status
    assert world.outcome.source == "forward_auth"
    plain = await world.ask(head(target, token=token))
    assert (told.line, told.body) == (plain.line, plain.body)
    assert (told.fields, world.outcome.source) == (plain.fields, "gateway")


async def test_limits_are_drawn_and_told() -> None:
    world = World(claims=(rate(limit=1),))
    await world.add_key()
    answer = await world.ask(asked())
    assert (answer.status, "ratelimit" in answer) == (200, True)
    assert (await world.ask(asked())).status == 429


async def test_concurrency_is_held_for_as_long_as_the_question_only() -> None:
    world = World(claims=(concurrency(limit=1),))
    await world.add_key()
    for _ in range(3):
        assert (await world.ask(asked())).status == 200
    assert len(world.limiter.released) == 3


async def test_a_route_that_the_gateway_answers_itself_is_approved_like_any_other() -> None:
    world = World(ME)
    await world.add_key()
    answer = await world.ask(asked("/me"))
    assert (answer.status, answer.body) == (200, b"")


async def test_an_options_is_judged_like_any_other_request() -> None:
    world = World()
    await world.add_key()
    answer = await world.ask(asked(method="OPTIONS"))
    assert answer.status == 200
    assert "allow" not in answer
    assert (await world.ask(asked(method="OPTIONS", token=None))).status == 401


async def test_a_proxy_that_has_left_is_not_answered() -> None:
    world = World()
    await world.add_key(is_cached=False)
    exchange = world.begin(FakeExchange(asked()))
    exchange.leave()
    await turn()
    assert exchange.answers == []
    assert (world.outcome.status, world.outcome.ended) == (0, "client_gone")


async def test_a_key_that_is_withdrawn_while_it_is_judged_is_not_approved() -> None:
    world = World()
    await world.add_key(is_cached=False)
    exchange = world.begin(FakeExchange(asked()))
    exchange.failure = UpstreamFailure(Reason.KEY_REVOKED, "cut: key_revoked")
    await turn()
    assert exchange.response.status == 401
    assert world.outcome.reason is Reason.KEY_REVOKED
