"""The stand-ins keep to their ports and do nothing where there is nothing to do."""

from __future__ import annotations

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Grant, Rate
from gateway.domain.timeouts import Timeouts
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.throttle import AddressThrottle
from gateway.pipeline.rehearsal import (
    PresentedKey,
    RehearsedExchange,
    RehearsedLimiter,
    RehearsedThrottle,
    RehearsedUpstream,
    rehearsed_upstreams,
)
from gateway.ports import UpstreamFailure
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant, bound
from tests.pipeline.samples import head, rate

FAILURE = UpstreamFailure(Reason.INTERNAL, "")


def an_exchange() -> RehearsedExchange:
    return RehearsedExchange(head(), None, client_address="192.0.2.7", client_network="n")


async def test_a_key_that_was_looked_up_is_in_memory_for_the_rest_of_the_rehearsal() -> None:
    """A key that acts for others is asked for again, and must be the same one then."""
    found = bound(a_key(), a_tenant())

    async def find() -> BoundKey:
        return found

    presented = PresentedKey(None, find)
    assert presented.peek(b"") is presented
    assert await presented.find(()) is found
    assert presented.peek(b"") is presented.key is found


def test_a_second_draw_in_one_rehearsal_stands_on_the_first() -> None:
    clock, claims = FakeClock(), (rate(1),)
    real = MemoryLimiter(clock)
    limiter = RehearsedLimiter(real, clock.now)
    assert limiter.acquire(claims).refused is None
    assert limiter.acquire(claims).refused is claims[0]
    limiter.release(Grant(()))
    assert real.look(claims).levels == (0,)


def test_failures_are_counted_for_the_rehearsal_alone() -> None:
    real = AddressThrottle(FakeClock(), 2, 60)
    assert real.failed("n") == 0
    throttle = RehearsedThrottle(real, "n")
    assert throttle.standing("n") == real.standing("n")
    assert [throttle.failed("n"), throttle.failed("n")] == [0, 30]
    assert throttle.retry_after("n") == 30
    rule, level = throttle.look("n")
    assert isinstance(rule, Rate)
    assert level > real.look("n")[1]
    assert real.retry_after("n") == 0


def test_an_upstream_answers_at_once_with_nothing() -> None:
    upstream = RehearsedUpstream("up", b"/base")
    assert (upstream.base_path, upstream.host_for(b"api.test")) == (b"/base", b"api.test")
    connection = upstream.connect()
    connection.send(
        b"GET /x HTTP/1.1\r\n\r\n", method="GET", body=None, is_chunked=False, timeouts=None
    )
    assert connection.answered.is_set
    assert upstream.line == b"GET /x HTTP/1.1"
    assert not upstream.reconnect((), b"", Timeouts()).answered.is_set
    assert not upstream.may_retry("unsent", 0, ())
    upstream.heard("", 200)
    upstream.failed("", FAILURE)
    connection.write(b"x")
    connection.finish()
    connection.abort("cut")
    connection.pause()
    connection.resume()
    connection.cancel(FAILURE)
    exchange = an_exchange()
    connection.relay_to(exchange)
    assert exchange.finished.value == "complete"


def test_an_upstream_that_serves_several_environments_is_one() -> None:
    made = rehearsed_upstreams(
        {("a", ""): ("a", b""), ("a", "live"): ("a", b""), ("b", ""): ("b", b"")}
    )
    assert made["a", ""] is made["a", "live"] is not made["b", ""]


def test_an_exchange_keeps_what_it_is_sent() -> None:
    exchange, connection = an_exchange(), RehearsedUpstream("up").connect()
    assert (exchange.is_begun, exchange.peer_address) == (False, "")
    exchange.stream_body_to(connection, bytes_max=0)
    exchange.tunnel(b"head", connection)
    assert (exchange.begun, exchange.is_begun) == (b"head", True)
    exchange.write(b"x")
    exchange.pause()
    exchange.resume()
    exchange.abort("cut")
    assert exchange.finished.value == "cut"
    assert exchange.closing_fields(must_close=True) == b"Connection: close\r\n"
    assert exchange.closing_fields() == b""
