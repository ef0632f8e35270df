from __future__ import annotations

import pytest

from gateway.domain.denial import Reason
from gateway.domain.limits import Grant
from gateway.limiters.memory import MemoryLimiter
from gateway.pipeline.introspect import introspect
from gateway.ports import UpstreamFailure
from tests.clock import FakeClock
from tests.pipeline.fakes import Answer, FakeExchange
from tests.pipeline.samples import ME, admitted, bound, head, rate
from tests.pipeline.world import World


def answered(
    *,
    method: str = "GET",
    world: World | None = None,
    grant: Grant | None = None,
    keeps_alive: bool = True,
) -> Answer:
    world = world or World()
    asked = head("/me", method=method, keeps_alive=keeps_alive)
    exchange = FakeExchange(asked)
    admission = admitted(asked, ME, bound(), grant)
    assert introspect(admission, exchange, world.generation) == 200
    return exchange.response


def test_the_lines_of_every_answer_stand_on_this_one_too() -> None:
    response = answered(world=World().insist_on_tls())
    assert response.all("Strict-Transport-Security") == [b"max-age=60"]


def test_a_caller_is_told_about_its_own_key_and_nobody_keeps_the_answer() -> None:
    answer = answered()
    assert answer.status == 200
    assert answer.body == b'{"problem":"key_a"}'
    assert answer["Content-Type"] == b"application/json"
    assert answer["Cache-Control"] == b"no-store"
    assert answer["X-Request-Id"] == b"req_0123"
    assert answer["Date"] == b"Tue, 14 Nov 2023 22:13:20 GMT"


def test_the_answer_speaks_the_dialect_of_the_route() -> None:
    assert answered(world=World(errors="jobhive")).body == b'{"jobhive":"key_a"}'


def test_a_head_request_gets_the_same_fields_and_no_body() -> None:
    whole, only_head = answered(), answered(method="HEAD")
    assert only_head.body == b""
    assert only_head.fields == whole.fields


def test_the_answer_shows_what_this_request_drew() -> None:
    grant = MemoryLimiter(FakeClock()).acquire([rate(5)])
    answer = answered(grant=grant, world=World(rate_headers=("jobhive",)))
    assert answer["X-RateLimit-Remaining"] == b"4"


def test_nothing_was_sent_to_a_client_that_had_left() -> None:
    asked = head("/me")
    exchange = FakeExchange(asked)
    exchange.is_gone = True
    assert introspect(admitted(asked, ME, bound()), exchange, World().generation) == 0


def test_a_connection_that_ends_with_the_answer_is_told_so() -> None:
    assert answered(keeps_alive=False)["Connection"] == b"close"


async def test_introspection_needs_no_upstream_and_counts_one_request() -> None:
    world = World(claims=(rate(5),))
    await world.add_key()
    world.upstream.unreachable = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "down")
    answer = await world.ask(head("/me"))
    assert answer.status == 200
    assert "upstream" not in world.touched
    assert world.touched.count("limits") == 1
    assert world.outcome.status == 200
    assert world.outcome.source == "gateway"
    assert world.outcome.route_name == "me"
    assert world.outcome.key is not None
    assert world.outcome.response_bytes == len(answer.body)


async def test_introspection_needs_a_key_like_every_other_route() -> None:
    world = World()
    assert (await world.ask(head("/me", token=None))).status == 401
    assert (await world.ask(head("/me"))).status == 401


async def test_introspection_needs_no_scope() -> None:
    world = World()
    await world.add_key(scopes=())
    assert (await world.ask(head("/me"))).status == 200


def test_a_route_that_answers_strangers_about_themselves_cannot_be_built_by_mistake() -> None:
    asked = head("/me", token=None)
    with pytest.raises(AssertionError):
        introspect(admitted(asked, ME), FakeExchange(asked), World().generation)
