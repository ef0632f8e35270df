from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NoReturn

import pytest

from gateway.domain.affinity import Affinity
from gateway.domain.denial import Denial, Reason
from gateway.domain.request import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from gateway.domain.routes import Route
from gateway.domain.timeouts import Timeouts
from gateway.limiters.memory import MemoryLimiter
from gateway.ports import UpstreamFailure
from tests.pipeline.fakes import FakeUpstream, Says, ok
from tests.pipeline.samples import (
    OPEN,
    THINGS,
    TOKEN,
    admitted,
    bound,
    head,
    made_fields,
    rate,
)
from tests.pipeline.stories import Story, answered
from tests.pipeline.world import World, turn

STALE = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "kept connection ended", is_unanswered=True)
DOWN = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "10.0.0.9: refused")
SLOW = UpstreamFailure(Reason.UPSTREAM_TIMEOUT, "10.0.0.9: silent")

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def scripted(*script: Says | UpstreamFailure | None, route: Route = THINGS) -> World:
    world = World(route)
    world.upstream.script.extend(script)
    return world


def forwarded(asked: RequestHead, route: Route = THINGS, world: World | None = None) -> bytes:
    """Return the bytes of the head that the upstream sees."""
    story = Story(asked, route=route, world=world).begin()
    return story.upstream.last.head


# ---- the common case


def test_a_request_that_waits_for_nothing_is_forwarded_and_answered_in_one_go() -> None:
    story = Story(key=bound()).begin()
    assert story.reply.status == 200
    assert story.reply.ended == "complete"
    assert story.reply.upstream == "up"
    assert story.reply.target == "http://10.0.0.9:9000"
    assert story.exchange.response.line == b"HTTP/1.1 200 OK"
    assert story.exchange.content == b"hello"
    assert story.upstream.asked_fresh == [False]


def test_the_upstream_is_told_everything_that_only_the_connection_can_enforce() -> None:
    timeouts = Timeouts(total_seconds=9)
    route = replace(THINGS, timeouts={"up": timeouts}, body_bytes_max=100)
    asked = head(method="POST", body_length=3)
    story = Story(asked, route=route, body=[b"abc"]).begin()
    connection = story.upstream.last
    assert connection.method == "POST"
    assert connection.timeouts is timeouts
    assert connection.body is story.exchange
    assert not connection.is_chunked
    assert connection.written == b"abc"
    assert connection.is_finished
    assert story.exchange.bytes_max == 100


def test_a_request_without_a_body_gives_the_connection_no_source_to_pause() -> None:
    assert Story().begin().upstream.last.body is None


def test_a_chunked_body_is_streamed_in_chunks() -> None:
    asked = head(method="POST", body_length=CHUNKED)
    connection = Story(asked, body=[b"a", b"b"]).begin().upstream.last
    assert connection.is_chunked
    assert connection.written == b"ab"


def test_the_time_spent_on_the_upstream_is_measured_to_the_end_of_the_response() -> None:
    world = scripted(Says(ok().head, (), ends=None))
    story = Story(world=world).begin()
    assert story.results == []
    world.clock.advance(2.5)
    story.exchange.finished.set("complete")
    assert story.reply.upstream_seconds == 2.5


@pytest.mark.parametrize("ended", ["client_gone", "upstream_broke", "timeout", "cut"])
def test_how_the_response_ended_is_part_of_the_reply(ended: str) -> None:
    story = Story(world=scripted(Says(ok().head, (b"he",), ends=ended))).begin()
    assert story.reply.ended == ended
    assert story.reply.status == 200


# ---- what crosses


def test_the_client_s_key_never_reaches_the_upstream() -> None:
    story = Story(key=bound()).begin()
    assert TOKEN.encode() not in story.upstream.last.head
    assert story.upstream.last.fields("Authorization") == []


def test_the_upstream_learns_who_the_caller_is_from_the_gateway_alone() -> None:
    asked = head(
        "/v1/things", ("X-Gateway-Key-Id", "key_forged"), ("x_gateway_key_id", "key_forged")
    )
    story = Story(asked, key=bound()).begin()
    assert story.upstream.last.fields("X-Gateway-Key-Id") == [b"key_a"]
    assert b"key_forged" not in story.upstream.last.head


def test_a_stranger_cannot_claim_an_identity_on_a_public_route() -> None:
    asked = head("/open", ("X-Gateway-Key-Id", "key_forged"), token=None)
    story = Story(asked, route=OPEN).begin()
    assert story.upstream.last.fields("X-Gateway-Key-Id") == []


def test_a_client_cannot_remove_its_identity_by_nominating_it() -> None:
    asked = head(
        "/v1/things",
        ("Connection", "x-gateway-key-id"),
        connection_options=frozenset({b"x-gateway-key-id"}),
    )
    assert Story(asked, key=bound()).begin().upstream.last.fields("X-Gateway-Key-Id") == [b"key_a"]


def test_the_request_id_and_the_client_address_are_ours() -> None:
    asked = head("/v1/things", ("X-Request-Id", "forged"), ("X-Forwarded-For", "127.0.0.1"))
    connection = Story(asked).begin().upstream.last
    assert connection.fields("X-Request-Id") == [b"req_0123"]
    assert connection.fields("X-Forwarded-For") == [b"192.0.2.7"]
    assert connection.fields("Via") == [b"1.1 tollhouse"]


def test_a_trace_is_begun_where_the_client_has_none() -> None:
    asked = head("/v1/things", ("traceparent", "nonsense"), ("tracestate", "a=1"))
    connection = Story(asked).begin().upstream.last
    trace_id = b"0123456789abcdef0123456789abcdef"
    assert connection.fields("traceparent") == [b"00-%b-%b-00" % (trace_id, trace_id[:16])]
    assert connection.fields("tracestate") == []


def test_a_trace_of_the_client_passes_unchanged() -> None:
    asked = head("/v1/things", ("traceparent", PARENT), ("tracestate", "a=1"))
    connection = Story(asked).begin().upstream.last
    assert connection.fields("traceparent") == [PARENT.encode()]
    assert connection.fields("tracestate") == [b"a=1"]


def test_a_trace_of_whom_we_do_not_follow_begins_anew_with_nothing_of_the_old() -> None:
    asked = head("/v1/things", ("traceparent", PARENT), ("tracestate", "a=1"))
    trace_id = b"0123456789abcdef0123456789abcdef"
    ours, theirs = b"00-%b-%b-00" % (trace_id, trace_id[:16]), PARENT.encode()
    world = World()
    for keeps_trace, expected in ((True, theirs), (False, ours), (True, theirs)):
        story = Story(asked, world=world, keeps_trace=keeps_trace).begin()  # one head: remembered
        assert story.upstream.last.fields("traceparent") == [expected]
        assert story.upstream.last.fields("tracestate") == ([b"a=1"] if keeps_trace else [])


@pytest.mark.parametrize("fields", [(), (("traceparent", PARENT), ("tracestate", "a=1"))])
def test_a_request_that_is_sent_again_belongs_to_the_same_trace(
    fields: tuple[tuple[str, str], ...],
) -> None:
    world = scripted(ok(status=503), ok())
    world.upstream.retry_statuses = frozenset({503})
    Story(head("/v1/things", *fields), world=world).begin()
    first, second = world.upstream.connections
    assert first.fields("traceparent") == second.fields("traceparent") != []
    assert first.fields("tracestate") == second.fields("tracestate")


def test_the_target_is_joined_to_the_base_path_and_the_host_is_the_upstream_s() -> None:
    world = World()
    world.upstream = FakeUpstream("up", world.touched, base_path=b"/base", host=b"jobs.internal")
    world.change(upstreams={("up", ""): world.upstream})
    connection_head = forwarded(head("/v1/things?q=%20a"), world=world)
    assert connection_head.startswith(
        b"GET /base/v1/things?q=%20a HTTP/1.1\r\nHost: jobs.internal\r\n"
    )


def test_a_route_may_rewrite_the_path() -> None:
    route = Route(name="things", pattern="/v1/things/{id}", upstream="up", rewrite="/x/{id}")
    assert forwarded(head("/v1/things/7?a=b"), route).startswith(b"GET /x/7?a=b HTTP/1.1\r\n")


def test_the_head_ends_once_and_holds_no_bare_line_break() -> None:
    sent = forwarded(head("/v1/things", ("Accept", "*/*"), ("X-Odd", "a\tb")))
    assert sent.count(b"\r\n\r\n") == 1
    assert sent.endswith(b"\r\n\r\n")
    assert b"\n" not in sent.replace(b"\r\n", b"")


# ---- which upstream


def test_the_environment_of_the_key_chooses_the_upstream() -> None:
    world = World()
    Story(key=bound(environment="test"), world=world).begin()
    assert len(world.sandbox.connections) == 1
    assert world.upstream.connections == []
    Story(key=bound(environment="live"), world=world).begin()
    assert len(world.upstream.connections) == 1


def test_a_caller_without_a_key_gets_the_default_upstream() -> None:
    story = Story(route=OPEN).begin()
    assert len(story.upstream.connections) == 1


def test_an_environment_without_upstream_breaks_instead_of_taking_another_one() -> None:
    world = World()
    story = Story(key=bound(environment="dev"), world=world)
    with pytest.raises(AssertionError, match="dev"):
        story.begin()
    assert world.touched == []


# ---- refused without any contact


@pytest.mark.parametrize("length", [11, 10**12])
def test_a_body_that_is_announced_too_large_is_refused_before_any_contact(length: int) -> None:
    route = replace(THINGS, body_bytes_max=10)
    story = Story(head(method="POST", body_length=length), route=route).begin()
    assert story.denial.reason is Reason.BODY_TOO_LARGE
    assert story.world.touched == []


@pytest.mark.parametrize(("length", "bytes_max"), [(10, 10), (CHUNKED, 10), (10**12, 0)])
def test_a_body_that_may_fit_is_let_through(length: int, bytes_max: int) -> None:
    route = replace(THINGS, body_bytes_max=bytes_max)
    story = Story(head(method="POST", body_length=length), route=route).begin()
    assert story.reply.status == 200
    assert story.exchange.bytes_max == bytes_max


def test_a_request_that_came_back_to_us_is_refused_before_any_contact() -> None:
    asked = head("/v1/things", ("Via", "1.1 other, 1.1 tollhouse"))
    for _ in range(2):
        story = Story(asked).begin()
        assert story.denial.reason is Reason.LOOP_DETECTED
        assert story.world.touched == []


def test_another_gateway_on_the_way_is_no_loop() -> None:
    story = Story(head("/v1/things", ("Via", "1.1 other"))).begin()
    assert story.upstream.last.fields("Via") == [b"1.1 other, 1.1 tollhouse"]


# ---- when there is no response


@pytest.mark.parametrize("failure", [DOWN, SLOW])
def test_a_failure_of_the_upstream_is_a_denial_that_names_it_for_the_log(
    failure: UpstreamFailure,
) -> None:
    story = Story(world=scripted(failure)).begin()
    assert story.denial.reason is failure.reason
    assert story.denial.internal == failure.internal
    assert story.denial.upstream == "up"
    assert not story.exchange.is_begun


def test_the_time_until_an_upstream_failed_is_measured() -> None:
    world = scripted(None)
    story = Story(world=world).begin()
    world.clock.advance(30)
    world.upstream.last.answered.set(SLOW)
    assert story.denial.upstream_seconds == 30


def test_an_upstream_that_cannot_be_reached_at_once_is_a_denial() -> None:
    world = World()
    world.upstream.unreachable = DOWN
    assert Story(world=world).begin().denial.reason is Reason.UPSTREAM_UNREACHABLE


async def test_a_connection_that_has_to_be_made_is_waited_for() -> None:
    world = World()
    world.upstream.dialling = asyncio.get_running_loop().create_future()
    story = Story(world=world).begin()
    assert story.results == []
    world.upstream.dialling.set_result(world.upstream.connection())
    await turn()
    assert story.reply.status == 200


async def test_a_connection_that_cannot_be_made_is_a_denial() -> None:
    world = World()
    world.upstream.dialling = asyncio.get_running_loop().create_future()
    story = Story(world=world).begin()
    world.upstream.dialling.set_result(DOWN)
    await turn()
    assert story.denial.reason is Reason.UPSTREAM_UNREACHABLE


# ---- the one case in which a request is sent twice


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idempotent_request_without_a_body_is_sent_again_after_a_stale_connection(
    method: str,
) -> None:
    story = Story(head(method=method), world=scripted(STALE)).begin()
    assert story.reply.status == 200
    assert story.upstream.asked_fresh == [False, True]
    first, second = story.upstream.connections
    assert first.head == second.head


def test_a_stale_connection_is_followed_by_a_fresh_one_once_and_no_more() -> None:
    story = Story(world=scripted(STALE, STALE)).begin()
    assert story.denial.reason is Reason.UPSTREAM_UNREACHABLE
    assert story.upstream.asked_fresh == [False, True]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
def test_a_request_that_may_have_had_an_effect_is_never_sent_twice(method: str) -> None:
    story = Story(head(method=method), world=scripted(STALE)).begin()
    assert story.denial.internal == STALE.internal
    assert len(story.upstream.connections) == 1


@pytest.mark.parametrize("length", [1, CHUNKED])
def test_a_body_is_never_sent_twice(length: int) -> None:
    story = Story(head(method="PUT", body_length=length), world=scripted(STALE)).begin()
    assert story.denial.internal == STALE.internal
    assert len(story.upstream.connections) == 1


@pytest.mark.parametrize("failure", [DOWN, SLOW])
def test_a_failure_that_is_not_stale_is_not_tried_again(failure: UpstreamFailure) -> None:
    story = Story(world=scripted(failure)).begin()
    assert len(story.upstream.connections) == 1


def test_nothing_is_sent_again_for_a_client_that_left() -> None:
    world = scripted(None)
    story = Story(world=world).begin()
    story.exchange.is_gone = True
    world.upstream.last.answered.set(STALE)
    assert len(world.upstream.connections) == 1
    assert not story.exchange.is_begun


# ---- when the client leaves


def test_a_client_that_leaves_while_the_upstream_works_cancels_it() -> None:
    world = scripted(None)
    story = Story(world=world).begin()
    story.exchange.leave()
    assert world.upstream.last.cancelled is not None
    assert story.denial.upstream == ""  # the upstream did nothing wrong
    assert not story.exchange.is_begun


async def test_a_client_that_leaves_while_a_connection_is_made_is_not_answered() -> None:
    world = World()
    world.upstream.dialling = asyncio.get_running_loop().create_future()
    story = Story(world=world).begin()
    story.exchange.leave()
    connection = world.upstream.connection()
    world.upstream.dialling.set_result(connection)
    await turn()
    assert connection.cancelled is not None
    assert not story.exchange.is_begun
    assert isinstance(story.denial, Denial)


# ---- upgrades


def switching(upgrade: bytes = b"websocket") -> Says:
    return Says(ResponseHead(status=101, reason=b"Switching Protocols", upgrade=upgrade), ends=None)


def test_a_switch_of_protocols_that_was_asked_for_becomes_a_tunnel() -> None:
    asked = head(upgrade=b"websocket")
    story = Story(asked, world=scripted(switching())).begin()
    connection = story.upstream.last
    assert connection.fields("Upgrade") == [b"websocket"]
    assert connection.fields("Connection") == [b"upgrade"]
    assert connection.body is story.exchange
    assert story.exchange.is_tunnel
    assert story.exchange.response.status == 101
    assert story.exchange.response["Upgrade"] == b"websocket"
    assert story.exchange.response["Connection"] == b"upgrade"
    story.exchange.finished.set("complete")
    assert story.reply.status == 101


def test_a_tunnel_is_announced_as_one_even_on_a_connection_that_will_close() -> None:
    asked = head(upgrade=b"websocket", keeps_alive=False)
    story = Story(asked, world=scripted(switching())).begin()
    assert story.exchange.response.all("Connection") == [b"upgrade"]


def test_a_switch_of_protocols_that_nobody_asked_for_is_refused() -> None:
    story = Story(world=scripted(switching())).begin()
    assert story.denial.reason is Reason.UPSTREAM_BAD_RESPONSE
    assert story.upstream.last.cancelled is not None
    assert not story.exchange.is_begun


def test_a_switch_to_another_protocol_than_the_one_asked_for_is_refused() -> None:
    story = Story(head(upgrade=b"websocket"), world=scripted(switching(b"h2c"))).begin()
    assert story.denial.reason is Reason.UPSTREAM_BAD_RESPONSE
    assert story.upstream.last.cancelled is not None
    assert not story.exchange.is_tunnel


def test_an_upgrade_that_the_upstream_declines_is_an_ordinary_response() -> None:
    story = Story(head(upgrade=b"websocket"), world=scripted(ok(status=400))).begin()
    assert not story.exchange.is_tunnel
    assert story.reply.status == 400


# ---- the response


def test_the_response_carries_the_request_id_and_a_date() -> None:
    response = answered(ok(("Content-Type", "text/plain"), ("X-Request-Id", "theirs"))).response
    assert response["X-Request-Id"] == b"req_0123"
    assert response["Date"] == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert response["Content-Type"] == b"text/plain"
    assert response["Content-Length"] == b"5"


def test_the_date_of_the_upstream_is_kept() -> None:
    then = "Mon, 01 Jan 2024 00:00:00 GMT"
    assert answered(ok(("Date", then))).response.all("Date") == [then.encode()]


def test_what_was_drawn_is_told_and_the_upstream_s_copies_are_not() -> None:
    world = World(rate_headers=("jobhive",))
    world.upstream.script.append(ok(("X-RateLimit-Remaining", "999"), ("x-ratelimit-limit", "1")))
    grant = MemoryLimiter(world.clock).acquire([rate(5)])
    asked = head()
    story = Story(asked, world=world, admission=admitted(asked, key=bound(), grant=grant)).begin()
    assert story.exchange.response.all("X-RateLimit-Remaining") == [b"4"]
    assert story.exchange.response.all("X-RateLimit-Limit") == [b"5"]


def test_a_line_of_the_gateway_takes_the_place_of_the_upstream_s() -> None:
    world = World().insist_on_tls()
    world.upstream.script.append(ok(("strict-transport-security", "max-age=0")))
    response = Story(world=world).begin().exchange.response
    assert response.all("Strict-Transport-Security") == [b"max-age=60"]


def test_without_such_a_line_the_upstream_s_passes() -> None:
    response = answered(ok(("Strict-Transport-Security", "max-age=0"))).response
    assert response.all("Strict-Transport-Security") == [b"max-age=0"]


def test_hop_by_hop_fields_of_the_upstream_stop_here() -> None:
    head_of_it = ResponseHead(
        status=200,
        reason=b"OK",
        fields=made_fields(
            [
                ("Connection", "x-secret"),
                ("X-Secret", "1"),
                ("Keep-Alive", "timeout=5"),
                ("X-A", "1"),
            ]
        ),
        connection_options=frozenset({b"x-secret"}),
    )
    response = answered(Says(head_of_it)).response
    assert "X-Secret" not in response
    assert "Keep-Alive" not in response
    assert "Connection" not in response
    assert response["X-A"] == b"1"


def test_an_error_of_the_upstream_says_whose_it_is() -> None:
    assert answered(ok(status=503)).response["X-Gateway-Error-Source"] == b"upstream"


def test_an_upstream_cannot_pass_its_error_off_as_ours() -> None:
    says = ok(("X-Gateway-Error-Source", "gateway"), status=500)
    assert answered(says).response.all("X-Gateway-Error-Source") == [b"upstream"]
    assert "X-Gateway-Error-Source" not in answered(ok()).response


@pytest.mark.parametrize("length", [CHUNKED, UNTIL_CLOSE])
def test_content_of_unknown_length_goes_in_chunks(length: int) -> None:
    says = Says(ResponseHead(status=200, body_length=length), (b"a", b"b"))
    exchange = answered(says)
    assert exchange.is_chunked
    assert exchange.response["Transfer-Encoding"] == b"chunked"
    assert "Content-Length" not in exchange.response
    exchange = answered(says, head(is_http_10=True, keeps_alive=False))
    assert not exchange.is_chunked
    assert "Transfer-Encoding" not in exchange.response
    assert exchange.response["Connection"] == b"close"


def test_a_head_request_keeps_the_length_that_the_upstream_announced() -> None:
    says = Says(ResponseHead(status=200, fields=made_fields([("Content-Length", "760")])))
    assert answered(says, head(method="HEAD")).response["Content-Length"] == b"760"


def test_a_route_may_set_and_remove_fields_of_the_response() -> None:
    route = replace(
        THINGS,
        response_headers_set=((b"X-Frame-Options", b"DENY"),),
        response_headers_remove=frozenset({b"server", b"x-frame-options"}),
    )
    says = ok(("Server", "theirs"), ("X-Frame-Options", "ALLOW"))
    response = answered(says, route=route).response
    assert response.all("X-Frame-Options") == [b"DENY"]
    assert "Server" not in response


def test_the_same_heads_meet_again_in_the_same_bytes() -> None:
    world, asked = World(), head("/v1/things", ("Accept", "*/*"))
    says = ok(("Server", "theirs"))
    admission = admitted(asked)
    sent, received = set(), set()
    for _ in range(3):
        world.upstream.script.append(says)
        story = Story(asked, world=world, admission=admission).begin()
        sent.add(world.upstream.last.head)
        received.add(tuple(story.exchange.response.fields))
    assert len(sent) == len(received) == 1


def test_an_answer_that_cannot_be_relayed_gives_its_connection_back() -> None:
    story = Story()

    def begin(*arguments: object, **options: object) -> NoReturn:
        raise RuntimeError("begin broke")

    story.exchange.begin = begin  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="begin broke"):
        story.begin()
    assert story.upstream.last.cancelled is not None
    assert not story.exchange.is_begun


# ---- several targets


def test_an_upstream_that_keeps_callers_together_is_told_who_calls() -> None:
    world = World()
    Story(key=bound(), world=world).begin()
    world.upstream.affinity = Affinity(by="key")
    Story(key=bound(), world=world).begin()
    world.upstream.affinity = Affinity(by="header", header=b"x-room")
    Story(head("/v1/things", ("X-Room", "7")), key=bound(), world=world).begin()
    assert world.upstream.affinities == [b"", b"lin_a", b"7"]


def test_another_attempt_tells_what_was_tried_and_who_calls() -> None:
    world = scripted(STALE)
    world.upstream.affinity = Affinity(by="address")
    story = Story(world=world).begin()
    assert story.upstream.tried == [("http://10.0.0.9:9000",)]
    assert story.upstream.affinities == [b"192.0.2.7"] * 2


def test_a_host_that_depends_on_the_target_is_that_of_the_target() -> None:
    world = World()
    world.upstream.hosts = {"http://10.0.0.9:9000": b"nine.test"}
    plain = forwarded(head("/v1/things", ("X-A", "1")))
    own = forwarded(head("/v1/things", ("X-A", "1")), world=world)
    assert own == plain.replace(b"Host: api.test\r\n", b"Host: nine.test\r\n")


def test_a_target_without_a_host_gets_the_client_s() -> None:
    world = World()
    world.upstream.hosts = {"another": b"nine.test"}
    assert b"\r\nHost: api.test\r\n" in forwarded(head(), world=world)


def test_timeouts_of_the_route_hold_from_the_connect_on_and_only_for_their_upstream() -> None:
    timeouts = Timeouts(connect_seconds=9)
    for upstream, expected in (("up", timeouts), ("another", None)):
        route = replace(THINGS, timeouts={upstream: timeouts})
        story = Story(route=route).begin()
        assert story.upstream.connect_timeouts is expected
        assert story.upstream.last.timeouts is expected


def test_a_body_is_kept_whole_when_nothing_was_sent() -> None:
    unsent = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "closed", is_unsent=True)
    asked = head(method="POST", body_length=4)
    story = Story(asked, world=scripted(unsent), body=[b"bo", b"dy"]).begin()
    first, second = story.upstream.connections
    assert (first.written, second.written) == (b"", b"body")
    assert story.reply.status == 200


def test_an_upstream_learns_of_answers_if_it_wants_to() -> None:
    world = World()
    Story(world=world).begin()
    world.upstream.learns = False
    Story(world=world).begin()
    assert world.upstream.told == [("http://10.0.0.9:9000", 200)]


def test_a_status_may_be_dropped_for_another_attempt() -> None:
    world = scripted(ok(status=503), ok(body=b"second"))
    world.upstream.retry_statuses = frozenset({503})
    story = Story(world=world).begin()
    assert story.exchange.content == b"second"
    first, _ = story.upstream.connections
    assert first.cancelled is not None
    assert first.sink is None


def test_a_status_is_passed_on_when_there_is_no_other_attempt() -> None:
    world = scripted(ok(status=503, body=b"busy"))
    world.upstream.retry_statuses = frozenset({503})
    story = Story(head(method="POST"), world=world).begin()
    assert (story.reply.status, story.exchange.content) == (503, b"busy")
    assert len(story.upstream.connections) == 1


def test_a_failure_may_say_when_to_come_back() -> None:
    world = World()
    world.upstream.unreachable = UpstreamFailure(
        Reason.CIRCUIT_OPEN, "open", is_unsent=True, retry_after_seconds=7
    )
    denial = Story(world=world).begin().denial
    assert (denial.reason, denial.retry_after_seconds) == (Reason.CIRCUIT_OPEN, 7)
