"""What a downstream connection allows its client, told moment by moment: no socket, and a clock that stands still."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest

from gateway.listeners.exchange import Exchange
from tests.harness import post, request
from tests.listeners.rig import OK, Rig, Upstream

HEAD, BODY, IDLE, WRITE, LINGER, PEEK = 10.0, 30.0, 75.0, 60.0, 2.0, 1.0


def test_deadlines_follow_what_the_client_has_to_do() -> None:
    rig = Rig()
    assert rig.allowed == HEAD
    raw = post("Content-Length: 2", body=b"a")
    rig.connection.data_received(raw[:10])
    rig.loop.now += 5
    rig.connection.data_received(raw[10:20])
    assert rig.allowed == HEAD - 5  # more of a head buys no time
    exchange = rig.receive(raw[20:])
    assert rig.allowed == BODY
    rig.receive(b"b")
    assert rig.connection.deadline == math.inf
    exchange.answer(OK, b"")
    assert rig.allowed == IDLE
    rig.connection.data_received(b"G")
    assert rig.allowed == HEAD


def test_body_has_no_deadline_while_the_upstream_is_full() -> None:
    rig = Rig()
    exchange = rig.receive(post("Content-Length: 10"))
    exchange.pause()
    for _ in range(1000):  # it is only asked whether its client left
        assert rig.allowed == PEEK
        rig.loop.now += PEEK
        rig.connection.expire()
    assert not exchange.finished.is_set
    assert exchange.malformed is None
    assert not rig.transport.is_aborted
    exchange.resume()
    assert rig.allowed == BODY


def test_blocked_client_gains_no_time_by_sending() -> None:
    rig = Rig()
    exchange = rig.receive(post("Content-Length: 10"))
    upstream = rig.begin(exchange)
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    assert (upstream.paused, rig.allowed) == (1, WRITE)
    rig.loop.now += 40
    rig.receive(b"x")
    exchange.pause()
    exchange.resume()
    assert rig.allowed == WRITE - 40
    rig.loop.now += 20
    rig.connection.expire()
    assert rig.transport.is_aborted
    assert len(upstream.cancelled) == 1


def test_client_that_reads_slowly_gets_more_time() -> None:
    rig = Rig()
    upstream = rig.begin(rig.receive(request()))
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    for unsent in (99, 10, 1):
        rig.loop.now += WRITE
        rig.transport.unsent = unsent
        rig.connection.expire()
        assert rig.allowed == WRITE
    rig.connection.resume_writing()
    assert (upstream.resumed, rig.connection.deadline) == (1, math.inf)
    assert not rig.transport.is_aborted


def test_response_that_begins_while_the_client_is_full_waits() -> None:
    rig = Rig()
    exchange = rig.receive(request())
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    assert rig.begin(exchange).paused == 1


def test_closed_connection_lingers_until_everything_was_read_and_no_longer() -> None:
    rig = Rig()
    exchange = rig.receive(request())
    rig.transport.unsent = 100
    exchange.answer(OK, b"")
    assert (rig.transport.is_eof_written, rig.allowed) == (True, WRITE)
    rig.transport.unsent = 50
    rig.connection.expire()
    assert rig.allowed == WRITE
    rig.connection.resume_writing()
    assert rig.allowed == LINGER
    rig.transport.unsent = 0
    rig.connection.data_received(request())  # read past
    rig.connection.expire()
    assert rig.transport.is_aborted
    assert len(rig.exchanges) == 1


def test_closed_connection_with_nothing_to_send_lingers_briefly() -> None:
    rig = Rig()
    rig.receive(request()).answer(OK, b"")
    assert rig.allowed == LINGER


def test_client_that_reads_no_answer_is_cut_even_between_requests() -> None:
    rig = Rig()
    rig.transport.unsent = 100
    rig.receive(request(close=False)).answer(OK, b"")
    rig.connection.pause_writing()
    rig.connection.data_received(request(close=False))
    assert (len(rig.exchanges), rig.allowed) == (1, WRITE)
    rig.connection.expire()
    assert rig.transport.is_aborted


def test_requests_that_wait_for_a_full_client_go_on_when_it_has_read() -> None:
    rig = Rig()
    rig.receive(request(close=False)).answer(OK, b"")
    rig.connection.pause_writing()
    rig.connection.data_received(request(close=False) + b"x" * 70_000)
    assert rig.transport.is_reading_paused
    rig.connection.resume_writing()
    assert len(rig.exchanges) == 2
    assert not rig.transport.is_reading_paused


def test_nothing_is_written_to_a_client_that_left() -> None:
    rig = Rig()
    exchange = rig.receive(request())
    assert rig.connection.eof_received() is False
    exchange.answer(OK, b"body")
    assert (rig.transport.written, exchange.response_bytes) == ([], 0)
    rig.connection.connection_lost(None)
    rig.connection.pause_reading()
    rig.connection.resume_reading()
    rig.connection.half_close()
    assert (rig.transport.is_reading_paused, rig.transport.is_eof_written) == (False, False)
    assert rig.listener.connections == 0


def test_connection_whose_peer_nobody_can_name_is_not_served() -> None:
    rig = Rig(peername=None)
    assert rig.transport.is_aborted
    rig.connection.data_received(request())
    assert rig.exchanges == []
    rig.connection.connection_lost(None)
    assert rig.listener.connections == 0


def test_answer_of_our_own_cancels_an_upstream_that_was_asked() -> None:
    rig = Rig()
    exchange = rig.receive(request())
    upstream = Upstream()
    exchange.stream_body_to(upstream, bytes_max=0)
    exchange.answer(OK, b"")
    assert len(upstream.cancelled) == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), asyncio.CancelledError()])
def test_story_that_crashes_leaves_no_connection_behind(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    upstream = Upstream()

    async def crash(exchange: Exchange) -> None:
        exchange.stream_body_to(upstream, bytes_max=0)
        raise error

    rig.story = crash
    with caplog.at_level(logging.CRITICAL):
        rig.connection.data_received(request(close=False))
    assert rig.exchanges[0].request_id.decode() in caplog.text
    assert rig.transport.is_aborted
    assert len(upstream.cancelled) == 1
    assert rig.connection.exchange is None


def test_cut_connection_answers_breaks_off_or_closes() -> None:
    rig = Rig()
    rig.connection.cut()
    assert rig.transport.is_aborted
    rig = Rig()
    exchange = rig.receive(post("Content-Length: 9"))
    exchange.answer(OK, b"")  # the rest of its body is still read past
    rig.connection.cut()
    assert rig.transport.is_aborted
    rig = Rig()
    rig.receive(request())
    rig.connection.cut()
    assert not rig.transport.is_aborted  # its story answers
