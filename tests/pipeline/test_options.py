from __future__ import annotations

from dataclasses import replace

from gateway.limiters.memory import MemoryLimiter
from gateway.pipeline.options import options
from tests.clock import FakeClock
from tests.pipeline.fakes import FakeExchange
from tests.pipeline.samples import OPEN, THINGS, admitted, bound, head, rate
from tests.pipeline.world import World

LAST_HOP = head("/v1/things", method="OPTIONS", ends_here=True)
EVERYWHERE = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def test_the_server_as_a_whole_tells_what_it_knows_and_needs_no_key() -> None:
    exchange = FakeExchange(head("*", method="OPTIONS", token=None, ends_here=True))
    assert options(None, exchange, World().generation) == 200
    answer = exchange.response
    assert (answer.status, answer.body) == (200, b"")
    assert answer["Allow"] == EVERYWHERE
    assert answer["X-Request-Id"] == b"req_0123"
    assert answer["Date"] == b"Tue, 14 Nov 2023 22:13:20 GMT"


def test_a_route_tells_its_methods_and_what_the_request_drew() -> None:
    route = replace(THINGS, methods=frozenset({"POST", "GET", "OPTIONS"}))
    grant = MemoryLimiter(FakeClock()).acquire([rate(5)])
    exchange = FakeExchange(LAST_HOP)
    world = World(route, rate_headers=("jobhive",))
    assert options(admitted(LAST_HOP, route, bound(), grant), exchange, world.generation) == 200
    assert exchange.response["Allow"] == b"GET, OPTIONS, POST"
    assert exchange.response["X-RateLimit-Remaining"] == b"4"


def test_a_route_for_every_method_names_the_usual_ones() -> None:
    exchange = FakeExchange(LAST_HOP)
    assert options(admitted(LAST_HOP, THINGS, bound(), None), exchange, World().generation) == 200
    assert exchange.response["Allow"] == EVERYWHERE


def test_nothing_is_sent_to_a_client_that_had_left() -> None:
    exchange = FakeExchange(LAST_HOP)
    exchange.is_gone = True
    assert options(None, exchange, World().generation) == 0
    assert not exchange.is_begun


async def test_options_that_may_go_no_further_are_answered_here_and_only_to_who_may_ask() -> None:
    world = World()
    await world.add_key()
    assert (await world.ask(LAST_HOP)).status == 200
    nobody = head("/v1/things", method="OPTIONS", ends_here=True, token=None)
    assert (await world.ask(nobody)).status == 401
    assert world.upstream.connections == []


async def test_asking_about_the_server_is_answered_here_whatever_the_routes_say() -> None:
    world = World(replace(OPEN, pattern="/", kind="prefix"))
    assert (await world.ask(head("*", method="OPTIONS", token=None, ends_here=True))).status == 200
    assert world.upstream.connections == []
    assert world.outcome.route_name == "__unmatched__"


async def test_a_path_that_is_no_route_is_not_answered_because_it_may_go_no_further() -> None:
    world = World()
    asked = head("/nothing", method="OPTIONS", ends_here=True)
    assert (await world.ask(asked)).status == 404
