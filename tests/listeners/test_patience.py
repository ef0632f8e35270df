"""How slow a client may be, told moment by moment: no socket, and a clock that stands still."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.closing import Closed
from gateway.domain.denial import Reason
from gateway.listeners.exchange import Exchange
from gateway.listeners.public import ListenerSettings
from tests.harness import post, request
from tests.listeners.rig import OK, Rig

BODY, WRITE, HEAD, IDLE, RATE = 30.0, 60.0, 10.0, 75.0, 100
RATED = ListenerSettings(body_rate_min=RATE, write_rate_min=RATE)
LONG = "Content-Length: 1000000000"


def reason(exchange: Exchange) -> Reason | None:
    """Return why the request was refused, if it was."""
    return None if exchange.failure is None else exchange.failure.reason


def step(rig: Rig, seconds: float) -> None:
    """Let time pass; what falls due meanwhile expires."""
    end = rig.loop.now + seconds
    while rig.connection.deadline <= end:
        rig.loop.now = rig.connection.deadline
        rig.connection.expire()
    rig.loop.now = end


# ---- bodies


def test_body_slower_than_the_rate_is_refused_after_the_first_window() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG))
    rig.begin_body(exchange)
    for _ in range(30):
        assert reason(exchange) is None  # the first window is the grace
        step(rig, 1.0)
        rig.receive(b"x")
    assert reason(exchange) is Reason.REQUEST_TIMEOUT
    assert rig.connection.cause is Closed.BODY_RATE


def test_body_at_the_rate_is_never_refused() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG))
    rig.begin_body(exchange)
    for _ in range(1000):
        step(rig, 10.0)
        rig.receive(b"x" * 1000)
    assert reason(exchange) is None


def test_a_fast_beginning_does_not_pay_for_a_slow_rest() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG, body=b"x" * 60_000))
    rig.begin_body(exchange)
    for _ in range(int(2 * BODY) + 1):
        step(rig, 1.0)
        if reason(exchange) is None:
            rig.receive(b"x")
    assert reason(exchange) is Reason.REQUEST_TIMEOUT


def test_pause_in_a_body_ends_it_whatever_came_before() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG, body=b"x" * 60_000))
    rig.begin_body(exchange)
    step(rig, 20.0)
    rig.receive(b"x" * 60_000)
    assert rig.allowed == BODY
    step(rig, BODY)
    assert reason(exchange) is Reason.REQUEST_TIMEOUT
    assert rig.connection.cause is Closed.BODY_TIMEOUT


def test_time_in_which_the_upstream_is_full_is_not_the_clients() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG))
    rig.begin_body(exchange)
    for _ in range(50):
        step(rig, BODY - 1)
        exchange.pause()
        step(rig, 100.0)
        exchange.resume()
        rig.receive(b"x")
    assert reason(exchange) is None


def test_client_that_waits_to_be_invited_has_all_the_time() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG, "Expect: 100-continue"))
    assert rig.connection.deadline == math.inf
    step(rig, 1000.0)
    rig.begin_body(exchange)
    assert rig.allowed == BODY
    step(rig, BODY)
    assert rig.connection.cause is Closed.BODY_TIMEOUT


def test_client_that_does_not_wait_to_be_invited_is_not_waited_for_longer() -> None:
    rig = Rig(settings=RATED)
    rig.receive(post(LONG, "Expect: 100-continue", body=b"x"))
    assert rig.allowed == BODY


def test_without_a_rate_a_trickle_is_accepted() -> None:
    rig = Rig()
    exchange = rig.receive(post(LONG))
    rig.begin_body(exchange)
    for _ in range(100):
        step(rig, BODY - 1)
        rig.receive(b"x")
    assert reason(exchange) is None


def test_rest_of_a_refused_body_that_trickles_ends_the_connection() -> None:
    rig = Rig(settings=RATED)
    rig.receive(post("Content-Length: 60000")).answer(OK, b"")
    for _ in range(31):
        step(rig, 1.0)
        rig.receive(b"x")
    assert rig.transport.is_aborted
    assert rig.connection.cause is Closed.BODY_RATE


@given(st.lists(st.tuples(st.floats(0.01, BODY - 0.01), st.floats(1.01, 3)), max_size=60))
def test_client_that_keeps_the_rate_in_every_step_is_never_refused(
    plan: list[tuple[float, float]],
) -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG))
    rig.begin_body(exchange)
    for seconds, factor in plan:
        step(rig, seconds)
        rig.receive(b"x" * math.ceil(seconds * RATE * factor))
        assert rig.connection.cause is None
    assert reason(exchange) is None


@given(st.lists(st.floats(0.01, BODY - 0.01), min_size=1, max_size=200))
def test_client_below_the_rate_is_refused_within_two_windows(pauses: list[float]) -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(post(LONG))
    for seconds in pauses:
        step(rig, seconds)
        if rig.connection.cause is None:
            rig.receive(b"x" * int(seconds * RATE / 2.1))
    assert rig.loop.now < 1000.0 + 2 * BODY or reason(exchange) is Reason.REQUEST_TIMEOUT


# ---- answers


def blocked(rig: Rig, unsent: int) -> Exchange:
    exchange = rig.receive(request())
    rig.begin(exchange)
    rig.transport.unsent = unsent
    rig.connection.pause_writing()
    return exchange


@pytest.mark.parametrize(
    ("left", "cause"),
    [
        (100_000, Closed.WRITE_TIMEOUT),
        (99_999, Closed.WRITE_RATE),
        (94_001, Closed.WRITE_RATE),
        (94_000, None),
        (0, None),
    ],
)
def test_answer_must_be_read_at_the_rate(left: int, cause: Closed | None) -> None:
    rig = Rig(settings=RATED)
    blocked(rig, 100_000)
    rig.loop.now += WRITE
    rig.transport.unsent = left
    rig.connection.expire()
    assert rig.connection.cause is cause
    assert rig.transport.is_aborted is (cause is not None)
    assert cause is not None or rig.allowed == WRITE


def test_nobody_has_to_read_more_than_there_is() -> None:
    rig = Rig(settings=RATED)
    blocked(rig, 50)
    rig.loop.now += WRITE
    rig.transport.unsent = 0
    rig.connection.expire()
    assert rig.connection.cause is None


def test_what_the_upstream_adds_does_not_hide_what_was_read() -> None:
    rig = Rig(settings=RATED)
    exchange = blocked(rig, 100_000)
    exchange.write(b"x" * 50_000)
    rig.loop.now += WRITE
    rig.transport.unsent = 100_000 + 50_000 + len(OK) - 7_000
    rig.connection.expire()
    assert rig.connection.cause is None
    rig.loop.now += WRITE
    rig.connection.expire()
    assert rig.connection.cause is Closed.WRITE_TIMEOUT


def test_upstream_that_sends_nothing_costs_its_client_nothing() -> None:
    rig = Rig(settings=RATED)
    exchange = rig.receive(request())
    rig.begin(exchange).cancelled.clear()
    assert rig.connection.deadline == math.inf


def test_client_that_is_blocked_and_not_read_from_is_looked_after() -> None:
    rig = Rig(settings=RATED)
    exchange = blocked(rig, 100_000)
    exchange.pause()
    for _ in range(59):
        assert rig.allowed == 1.0
        rig.loop.now += 1.0
        rig.connection.expire()
        assert rig.connection.cause is None
    rig.loop.now += 1.0
    rig.connection.expire()
    assert rig.connection.cause is Closed.WRITE_TIMEOUT


# ---- connections


def test_connection_that_is_old_ends_with_its_next_answer() -> None:
    rig = Rig(settings=ListenerSettings(lifetime_seconds=3600))
    for age in (0.0, 3599.0):
        rig.loop.now = 1000.0 + age
        exchange = rig.receive(request(close=False))
        assert exchange.closing_fields() == b""
        exchange.answer(OK, b"")
    rig.loop.now = 1000.0 + 3600
    exchange = rig.receive(request(close=False))
    assert exchange.closing_fields() == b"Connection: close\r\n"
    exchange.answer(OK, b"")
    assert rig.connection.cause is Closed.LIFETIME
    assert rig.transport.is_eof_written


def test_connection_ends_with_its_last_request() -> None:
    rig = Rig(settings=ListenerSettings(requests_per_connection_max=1))
    exchange = rig.receive(request(close=False))
    assert exchange.closing_fields() == b"Connection: close\r\n"
    exchange.answer(OK, b"")
    assert rig.connection.cause is Closed.REQUESTS_MAX


def test_connection_may_go_when_it_is_idle_and_not_before() -> None:
    rig = Rig()
    opened = rig.loop.now
    assert rig.connection.idle_since == opened + 1.0  # its request may be on its way
    rig.loop.now += 5
    rig.connection.data_received(b"GET / HT")
    assert rig.connection.idle_since == opened + 6.0
    rig.loop.now += 1
    exchange = rig.receive(b"TP/1.1\r\nHost: a\r\n\r\n")
    assert rig.connection.idle_since == math.inf
    rig.loop.now += 1
    exchange.answer(OK, b"")
    assert rig.connection.idle_since == opened + 7.0
    rig.transport.unsent = 100
    assert not rig.connection.evict()
    rig.connection.pause_writing()
    assert rig.connection.idle_since == math.inf
    rig.transport.unsent = 0
    rig.connection.resume_writing()
    assert rig.connection.evict()
    assert rig.transport.is_aborted
    assert rig.connection.cause is Closed.EVICTED
    assert rig.connection.idle_since == 0.0


def test_closed_connection_goes_first_even_with_something_to_send() -> None:
    rig = Rig()
    rig.transport.unsent = 100
    rig.receive(request()).answer(OK, b"")
    assert rig.connection.idle_since == 0.0
    assert rig.connection.evict()
    assert rig.connection.cause is Closed.ANSWERED


# ---- ending


def test_closed_connection_reads_past_what_comes_but_not_forever() -> None:
    rig = Rig()
    rig.receive(request()).answer(OK, b"")
    for _ in range(15):
        assert rig.allowed == 2.0
        rig.loop.now += 1.9
        rig.connection.data_received(b"x" * 1000)
    assert rig.loop.now + rig.allowed == 1030.0
    step(rig, 2.0)
    assert rig.transport.is_aborted


def test_client_that_ended_and_does_not_read_is_cut() -> None:
    rig = Rig()
    exchange = rig.receive(request())
    upstream = rig.begin(exchange)
    rig.transport.unsent = 100
    assert rig.connection.eof_received() is False
    assert len(upstream.cancelled) == 1
    step(rig, WRITE)
    assert rig.transport.is_aborted
    assert rig.connection.cause is Closed.CLIENT


@pytest.mark.parametrize(
    ("sent", "seconds", "cause"),
    [
        (b"", HEAD, Closed.HEAD_TIMEOUT),
        (b"\r\n", HEAD, Closed.HEAD_TIMEOUT),
        (b"GET /", HEAD, Closed.HEAD_TIMEOUT),
    ],
)
def test_causes_of_a_connection_without_a_request(
    sent: bytes, seconds: float, cause: Closed
) -> None:
    rig = Rig()
    if sent:
        rig.connection.data_received(sent)
    step(rig, seconds)
    assert rig.connection.cause is cause


def test_idle_connection_ends_as_idle() -> None:
    rig = Rig()
    rig.receive(request(close=False)).answer(OK, b"")
    step(rig, IDLE)
    assert rig.connection.cause is Closed.IDLE_TIMEOUT


@pytest.mark.parametrize("is_begun", [True, False])
def test_request_that_is_cut_ends_its_connection_as_cut(*, is_begun: bool) -> None:
    rig = Rig()
    exchange = rig.receive(request(close=False))
    if is_begun:
        rig.begin(exchange)
    exchange.cut(Reason.KEY_REVOKED)
    assert rig.connection.cause is Closed.CUT
    other = Rig()
    other.begin(other.receive(request(close=False)))
    other.connection.cut()
    assert other.connection.cause is Closed.DRAIN


@pytest.mark.pure
def test_head_that_drips_in_is_not_searched_for_each_drop() -> None:
    rig = Rig()
    looked: list[int] = []

    class Limits:
        def __getattr__(self, name: str) -> int:
            if name == "head_bytes_max":
                looked.append(1)
            return 8192

    rig.listener.head_limits = Limits()  # type: ignore[assignment]
    raw = b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    for n in range(len(raw)):
        rig.connection.data_received(raw[n : n + 1])
    assert len(rig.exchanges) == 1
    assert len(looked) < 10
