"""What an upstream connection allows its peer, told moment by moment: no socket, and a clock that stands still."""

from __future__ import annotations

import asyncio
import math
from typing import cast

import pytest

from gateway.control.deadlines import DeadlineWheel
from gateway.domain.denial import Reason
from gateway.domain.request import ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.ports import UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.target import Address, Target
from tests.streams import Collected, FakeTransport, StoppedLoop
from tests.uncorked import uncorked

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
RESPONSE, IDLE = 30.0, 60.0


class Rig:
    """A connection over a transport that only remembers."""

    def __init__(self, *, total: float = 0.0) -> None:
        self.loop = StoppedLoop()
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.target = Target(
            Address(host="up", port=80),
            loop=loop,
            deadlines=DeadlineWheel(loop),
            outbox=uncorked(),
            dial=Dialer(),
            timeouts=Timeouts(response_seconds=RESPONSE, idle_seconds=IDLE, total_seconds=total),
            connections_max=1,
            idle_connections_max=1,
            idle_lifetime_seconds=55,
        )
        self.transport = FakeTransport()
        self.connection = UpstreamConnection(self.target)
        self.connection.connection_made(self.transport)
        self.source = Collected()

    def send(self, *, has_body: bool = True) -> None:
        self.connection.send(
            b"POST / HTTP/1.1\r\n\r\n",
            method="POST",
            body=self.source if has_body else None,
            is_chunked=False,
            timeouts=None,
        )

    def relay(self) -> Collected:
        self.connection.data_received(HEAD)
        sink = Collected()
        self.connection.relay_to(sink)
        return sink

    @property
    def allowed(self) -> float:
        return self.connection.deadline - self.loop.now

    def failure(self) -> UpstreamFailure:
        answered = self.connection.answered
        assert answered.is_set
        assert isinstance(answered._value, UpstreamFailure)
        return answered._value


def test_head_leaves_with_the_first_content() -> None:
    rig = Rig()
    rig.send()
    assert rig.transport.written == []
    rig.connection.write(b"abc")
    assert rig.transport.written == [b"POST / HTTP/1.1\r\n\r\nabc"]


def test_head_leaves_with_the_end_of_a_request_without_content() -> None:
    rig = Rig()
    rig.send(has_body=False)
    rig.connection.finish()
    assert rig.transport.written == [b"POST / HTTP/1.1\r\n\r\n"]


def test_head_leaves_alone_when_the_content_is_long_in_coming() -> None:
    rig = Rig()
    rig.send()
    rig.connection.write(b"")
    assert rig.transport.written == [b"POST / HTTP/1.1\r\n\r\n"]


def test_cancelled_before_its_head_left_a_request_leaves_the_connection_as_good_as_new() -> None:
    rig = Rig()
    rig.send()
    failure = UpstreamFailure(Reason.INTERNAL, "gone")
    rig.connection.cancel(failure)
    assert rig.failure() is failure
    assert (rig.transport.written, rig.transport.is_aborted) == ([], False)
    assert rig.target.take_idle() is rig.connection
    rig.send(has_body=False)
    rig.connection.finish()
    assert len(rig.transport.written) == 1


def test_cancelled_after_its_head_left_a_request_takes_the_connection_with_it() -> None:
    rig = Rig()
    rig.send()
    rig.connection.write(b"")
    rig.connection.abort("client_gone")
    assert rig.transport.is_aborted
    assert rig.target.take_idle() is None


def test_upstream_has_no_deadline_while_the_client_sends() -> None:
    rig = Rig()
    rig.send()
    rig.connection.write(b"abc")
    assert rig.connection.deadline == math.inf
    rig.connection.finish()
    assert rig.allowed == RESPONSE


def test_upstream_that_stopped_reading_has_the_time_of_an_answer() -> None:
    rig = Rig()
    rig.send()
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    assert (rig.source.paused, rig.allowed) == (1, RESPONSE)
    rig.loop.now += RESPONSE
    rig.connection.expire()
    assert rig.failure().reason is Reason.UPSTREAM_TIMEOUT
    assert rig.transport.is_aborted


def test_upstream_that_reads_slowly_gets_more_time() -> None:
    rig = Rig()
    rig.send()
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    for unsent in (99, 50, 1):
        rig.loop.now += RESPONSE
        rig.transport.unsent = unsent
        rig.connection.expire()
        assert rig.allowed == RESPONSE
    assert not rig.transport.is_aborted
    rig.connection.resume_writing()
    assert (rig.source.resumed, rig.connection.deadline) == (1, math.inf)


def test_slow_reading_buys_no_time_beyond_the_whole() -> None:
    rig = Rig(total=40)
    rig.send()
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    rig.loop.now += RESPONSE
    rig.transport.unsent = 50
    rig.connection.expire()
    assert rig.allowed == 10
    rig.loop.now += 10
    rig.transport.unsent = 1
    rig.connection.expire()
    assert rig.transport.is_aborted


def test_end_of_a_blocked_request_keeps_the_deadline_of_the_block() -> None:
    rig = Rig()
    rig.send()
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    rig.loop.now += 10
    rig.connection.finish()
    assert rig.allowed == RESPONSE - 10
    rig.connection.resume_writing()
    assert rig.allowed == RESPONSE


def test_each_piece_of_a_response_begins_the_idle_time_anew() -> None:
    rig = Rig()
    rig.send(has_body=False)
    rig.connection.finish()
    rig.relay()
    rig.loop.now += 50
    rig.connection.data_received(b"x")
    assert rig.allowed == IDLE


def test_paused_response_has_no_deadline_of_its_own() -> None:
    rig = Rig()
    rig.send(has_body=False)
    rig.connection.finish()
    rig.relay()
    rig.connection.pause()
    assert (rig.transport.is_reading_paused, rig.connection.deadline) == (True, math.inf)
    rig.transport.unsent = 1
    rig.connection.pause_writing()
    rig.connection.resume_writing()
    rig.connection.resume()
    assert (rig.transport.is_reading_paused, rig.allowed) == (False, IDLE)


def test_response_that_stalls_breaks_off() -> None:
    rig = Rig()
    rig.send(has_body=False)
    rig.connection.finish()
    sink = rig.relay()
    rig.connection.expire()
    assert sink.aborted == ["timeout"]
    assert rig.transport.is_aborted


def test_connection_that_is_still_full_is_not_used_again() -> None:
    """Its reader has not taken the last request yet, and would hold up the next one without anybody noticing."""
    rig = Rig()
    rig.send()
    rig.transport.unsent = 100
    rig.connection.pause_writing()
    rig.connection.finish()
    sink = rig.relay()
    rig.connection.data_received(b"0123456789")
    assert (sink.finished, rig.transport.is_aborted) == (1, True)
    assert rig.target.take_idle() is None


@pytest.mark.parametrize(("timeout", "seconds"), [(5, 3), (57, 55), (1000, 55)])
def test_connection_is_kept_idle_no_longer_than_its_upstream_says(
    timeout: int, seconds: float
) -> None:
    rig = Rig()
    for field in (b"Keep-Alive: timeout=%d\r\n" % timeout, b""):  # and it need not say it again
        rig.send(has_body=False)
        rig.connection.finish()
        rig.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % field)
        rig.connection.relay_to(Collected())
        assert rig.allowed == seconds
        assert rig.target.take_idle() is rig.connection


@pytest.mark.parametrize("ends", [False, True])
def test_response_that_nobody_takes_in_time_is_never_whole(ends: bool) -> None:
    rig = Rig()
    rig.send(has_body=False)
    rig.connection.finish()
    rig.connection.data_received(HEAD)
    if ends:
        rig.connection.eof_received()
    else:
        rig.connection.data_received(b"0123456789")
    sink = Collected()
    rig.connection.relay_to(sink)
    assert (sink.finished, sink.aborted) == (0, ["upstream_broke"])
    assert rig.target.take_idle() is None


def test_source_of_the_last_request_is_not_paused_for_the_next() -> None:
    rig = Rig()
    rig.send()
    rig.connection.finish()
    rig.relay()
    rig.connection.data_received(b"0123456789")
    assert rig.target.take_idle() is rig.connection
    rig.send(has_body=False)
    rig.connection.pause_writing()
    assert rig.source.paused == 0


@pytest.mark.parametrize("is_reset", [True, False])
def test_nothing_is_heard_after_the_end(is_reset: bool) -> None:
    rig = Rig()
    rig.send()
    rig.connection.eof_received()
    rig.connection.connection_lost(OSError() if is_reset else None)
    assert rig.failure().reason is Reason.UPSTREAM_UNREACHABLE
    before = list(rig.transport.written)
    rig.connection.data_received(HEAD)
    rig.connection.write(b"x")
    rig.connection.finish()
    rig.connection.pause()
    rig.connection.resume()
    rig.connection.pause_writing()
    rig.connection.resume_writing()
    assert rig.transport.written == before
    assert not isinstance(rig.connection.answered._value, ResponseHead)


def test_request_on_a_connection_that_is_gone_was_not_sent() -> None:
    rig = Rig()
    rig.connection.connection_lost(None)
    rig.send()
    assert rig.failure().is_unsent
    assert rig.failure().is_unanswered
