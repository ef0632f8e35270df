"""What heads remember of a crossing is nothing but the crossing: the same bytes as a fresh one would give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.passage import Border
from gateway.domain.request import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from gateway.domain.routes import Route
from tests.pipeline.fakes import Says
from tests.pipeline.samples import (
    THINGS,
    bound,
    head,
    made_fields,
)
from tests.pipeline.stories import Story, answered
from tests.pipeline.world import World

TOKENS = st.text("abcXYZ019-_", min_size=1, max_size=8)
NAMES = st.sampled_from(
    [
        "Accept", "Cookie", "Via", "traceparent", "tracestate", "X-Gateway-Key-Id", "x_gateway_x", "Connection",
        "X-Forwarded-For", "Content-Length", "Expect", "Max-Forwards", "X-Own",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [
        "", "1", "close, x-own", "1.1 tollhouse", "1.0 other",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1,b=2", "text/html; q=0.5",
    ]
)  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.lists(st.tuples(NAMES, VALUES) | st.tuples(TOKENS, TOKENS), max_size=6))
    fields = [(n, "7" if n == "Max-Forwards" else v) for n, v in fields]
    return {
        "target": "/v1/things/" + draw(TOKENS) + draw(st.sampled_from(["", "?", "?a=b&c"])),
        "fields": fields,
        "method": draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PURGE"])),
        "body_length": draw(st.sampled_from([0, 3, CHUNKED])),
        "upgrade": draw(st.sampled_from([b"", b"websocket"])),
        "authority": draw(st.sampled_from([b"", b"api.test:8080"])),
        "connection_options": draw(st.sampled_from([frozenset(), frozenset({b"x-own"})])),
        "is_http_10": draw(st.booleans()),
    }


def made(values: dict[str, Any]) -> RequestHead:
    values = dict(values)
    return head(values.pop("target"), *values.pop("fields"), **values)


ROUTES = (
    Route(name="a", pattern="/v1/things/{id}", upstream="up"),
    Route(
        name="b",
        pattern="/v1/things/{id}",
        upstream="up",
        rewrite="/internal/{id}",
        request_headers_set=((b"X-Own", b"ours"),),
        request_headers_remove=frozenset({b"cookie"}),
    ),
)


def crossed(asked: RequestHead, route: Route, environment: str, world: World) -> bytes | Reason:
    story = Story(asked, route=route, key=bound(environment=environment), world=world).begin()
    result = story.results[0]
    if isinstance(result, Denial):
        return result.reason
    upstream = world.sandbox if environment == "test" else world.upstream
    return upstream.last.head


@settings(max_examples=200)
@given(
    values=heads(),
    visits=st.lists(
        st.tuples(st.sampled_from(ROUTES), st.sampled_from(["live", "test"])),
        min_size=2,
        max_size=6,
    ),
)
def test_what_a_head_remembers_crosses_in_the_same_bytes_as_a_fresh_one(
    values: dict[str, Any], visits: list[tuple[Route, str]]
) -> None:
    world = World(ROUTES[0])
    world.change(voices=dict.fromkeys(["", "a", "b"], world.generation.voices[""]))
    world.sandbox.base_path = b"/sandbox"
    kept = made(values)
    for route, environment in visits:
        fresh = crossed(made(values), route, environment, world)
        assert crossed(kept, route, environment, world) == fresh


@settings(max_examples=200)
@given(
    status=st.sampled_from([200, 204, 304, 404, 503]),
    fields=st.lists(
        st.tuples(
            st.sampled_from(["Date", "Server", "X-A", "Content-Length", "RateLimit", "Connection"]),
            st.sampled_from(["1", "2"]),
        ),
        max_size=5,
    ),
    length=st.sampled_from([0, 5, CHUNKED, UNTIL_CLOSE]),
    visits=st.lists(
        st.tuples(st.sampled_from(["GET", "HEAD"]), st.booleans(), st.booleans()),
        min_size=2,
        max_size=6,
    ),
)
def test_what_a_response_head_remembers_is_relayed_in_the_same_bytes_as_a_fresh_one(
    status: int,
    fields: list[tuple[str, str]],
    length: int,
    visits: list[tuple[str, bool, bool]],
) -> None:
    def fresh() -> ResponseHead:
        return ResponseHead(status=status, fields=made_fields(fields), body_length=length)

    kept = fresh()
    world = World()
    for method, is_http_10, is_other in visits:
        # Each a route of its own: those that do the same to a response share what is remembered.
        removed = frozenset({b"server", b"date"} if is_other else ())
        ours = ((b"Server", b"ours"),) if is_other else ()
        route = replace(THINGS, response_headers_remove=removed, response_headers_set=ours)
        asked = head(method=method, is_http_10=is_http_10)
        one = answered(Says(kept), asked, route=route, world=world)
        two = answered(Says(fresh()), asked, route=route, world=world)
        assert one.response.line == two.response.line
        assert one.response.fields == two.response.fields
        assert one.is_chunked == two.is_chunked


def test_a_head_that_crossed_under_one_configuration_crosses_anew_under_the_next() -> None:
    asked = head()
    first, second = World(), World()
    second.change(border=Border(identity_names=[], identity_prefix=b"", pseudonym=b"other"))
    for world, name in ((first, b"tollhouse"), (second, b"other"), (first, b"tollhouse")):
        Story(asked, world=world).begin()
        assert world.upstream.last.fields("Via") == [b"1.1 " + name]
