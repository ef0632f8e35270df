"""Step 5: let the upstream answer.

Knows the order of contact: connect, send the head, stream the body, wait for a response, relay it; and the proof that a
request may be sent twice. It must not know sockets, framing, how a target is chosen or how often one may try.
"""

from __future__ import annotations

from asyncio import Future
from typing import Final

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.passage import response_fields, response_framing
from gateway.domain.request import CHUNKED, RequestHead, ResponseHead
from gateway.domain.rewrite import forward_target
from gateway.domain.routes import Match, Route
from gateway.domain.timeouts import Timeouts
from gateway.domain.trace_context import Trace, trace_of
from gateway.eager import Signal
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.generation import Generation, Voice
from gateway.pipeline.values import Admission, Reply
from gateway.ports import Connection, Exchange, Upstream, UpstreamFailure

_CLIENT_GONE: Final = Denial(reason=Reason.INTERNAL, internal="client gone")


class Crossing:
    """Where a request goes and what of its head crosses: all but the parts that differ from request to request.

    `host` is empty when it depends on the target; then `head` is what stands before it and `rest` what follows, else
    `head` is all of it. `timeouts` None takes the upstream's. `trace` None: each
    request begins a trace that nobody samples.
    """

    __slots__ = (
        *("authority", "head", "host", "is_loop", "rest"),
        *("timeouts", "trace", "upstream", "voice"),
    )

    def __init__(
        self,
        line: bytes,
        fields: bytes,
        authority: bytes,
        upstream: Upstream,
        timeouts: Timeouts | None,
        voice: Voice,
        *,
        is_loop: bool,
        trace: Trace | None,
    ) -> None:
        self.authority = authority
        self.host = upstream.host_for(authority)
        self.rest = b"\r\n" + fields
        self.head = line + self.host + self.rest if self.host else line
        self.upstream = upstream
        self.timeouts = timeouts
        self.voice = voice
        self.is_loop = is_loop
        self.trace = trace


async def forward(
    admission: Admission, exchange: Exchange, generation: Generation
) -> Reply | Denial:
    """Forward the request and relay the response to its end; a denial when no response could be begun.

    It is sent more than once only with the proof of `Attempts`.
    """
    principal = admission.permit.principal
    match, key = principal.match, principal.key
    crossing = _cross(match, key, exchange, generation)
    if isinstance(crossing, Denial):
        return crossing
    head, upstream, timeouts = match.head, crossing.upstream, crossing.timeouts
    affinity = b""
    if upstream.affinity is not None:
        affinity = upstream.affinity.of(head, key, exchange.client_address)
    attempts: Attempts | None = None
    started = generation.clock.monotonic()
    found = upstream.connect(affinity, timeouts)
    while True:
        connection = await found if isinstance(found, Future) else found
        if isinstance(connection, UpstreamFailure):
            return _unanswered(connection, exchange, upstream, started, generation)
        answer = await _send(connection, crossing, match, exchange, key, timeouts)
        if isinstance(answer, ResponseHead) and answer.status not in upstream.retry_statuses:
            if upstream.learns:
                upstream.heard(connection.target, answer.status)
            break
        attempts = attempts or Attempts(head, exchange, upstream, timeouts, started)
        if not attempts.may_go_on(answer, connection, generation.clock.monotonic()):
            break
        timeouts = attempts.timeouts
        found = upstream.reconnect(attempts.tried, affinity, timeouts)
    if isinstance(answer, ResponseHead) and answer.status == 101:
        answer = _accepted(connection, answer, head)
    if isinstance(answer, UpstreamFailure):
        return _unanswered(answer, exchange, upstream, started, generation)
    _begin(answer, match, admission, exchange, connection, crossing.voice, generation)
    # A short one has been relayed by now.
    ended = exchange.finished.value or await exchange.finished
    return Reply(
        answer.status,
        ended=ended,
        upstream=upstream.name,
        target=connection.target,
        upstream_seconds=generation.clock.monotonic() - started,
    )


def _cross(
    match: Match, key: BoundKey | None, exchange: Exchange, generation: Generation
) -> Crossing | Denial:
    """Return where the request goes, or why it goes nowhere."""
    if exchange.is_gone:
        return _CLIENT_GONE  # it left while its key was looked up: no connection is made for it
    route, length = match.route, match.head.body_length
    if route.body_bytes_max and length > route.body_bytes_max:
        return Denial(reason=Reason.BODY_TOO_LARGE, internal=f"{length} bytes announced")
    crossing = _crossing(match, "" if key is None else key.record.environment, generation)
    return Denial(reason=Reason.LOOP_DETECTED) if crossing.is_loop else crossing


def _unanswered(
    failure: UpstreamFailure,
    exchange: Exchange,
    upstream: Upstream,
    started: float,
    generation: Generation,
) -> Denial:
    if exchange.is_gone:
        return _CLIENT_GONE
    return Denial(
        reason=failure.reason,
        internal=failure.internal,
        retry_after_seconds=failure.retry_after_seconds,
        upstream=upstream.name,
        upstream_seconds=generation.clock.monotonic() - started,
    )


def _send(
    connection: Connection,
    crossing: Crossing,
    match: Match,
    exchange: Exchange,
    key: BoundKey | None,
    timeouts: Timeouts | None,
) -> Signal[ResponseHead | UpstreamFailure]:
    """Send the request on `connection`; return what tells how it was answered."""
    head = match.head
    connection.send(
        _request(crossing, connection.target, exchange, key),
        method=head.method,
        body=exchange if head.body_length or head.upgrade else None,
        is_chunked=head.body_length == CHUNKED,
        timeouts=timeouts,
    )
    answered = connection.answered
    if not answered.is_set:  # else it had been closed: nothing was sent, and the body stays whole
        exchange.stream_body_to(connection, bytes_max=match.route.body_bytes_max)
    return answered


def _accepted(
    connection: Connection, answer: ResponseHead, head: RequestHead
) -> ResponseHead | UpstreamFailure:
    """Refuse a switch of protocols that nobody asked for: what follows would not be HTTP."""
    if head.upgrade and answer.upgrade == head.upgrade:
        return answer
    failure = UpstreamFailure(
        Reason.UPSTREAM_BAD_RESPONSE,
        f"{connection.target}: 101 to a protocol that was not asked for",
    )
    connection.cancel(failure)
    return failure


def _crossing(match: Match, environment: str, generation: Generation) -> Crossing:
    head = match.head
    memo = head.memo_crossing
    route, border = match.route, generation.border
    if memo is not None and memo[0] is route and memo[1] is generation and memo[2] == environment:
        known: Crossing = memo[3]  # the same bytes, route and generation: the same fields cross
        return known
    upstream = generation.upstream(route.upstream, environment)
    crossing = Crossing(
        b"%b %b%b HTTP/1.1\r\nHost: "
        % (head.method.encode("ascii"), upstream.base_path, forward_target(match)),
        border.request_fields(head, route),
        head.authority,
        upstream,
        route.timeouts.get(upstream.name) if route.timeouts else None,
        generation.voice(route),
        is_loop=border.is_loop(head),
        trace=trace_of(head, generation.sampler),
    )
    head.memo_crossing = (route, generation, environment, crossing)
    return crossing


def _request(crossing: Crossing, target: str, exchange: Exchange, key: BoundKey | None) -> bytes:
    """Complete the head with what is this request's own: addresses, identity, id, trace."""
    head = crossing.head
    if not crossing.host:
        host = crossing.upstream.host_for(crossing.authority, target)
        head = b"".join((head, host or crossing.authority, crossing.rest))
    trace_id = exchange.trace_id
    return b"".join(
        (
            head,
            exchange.forwarded,
            b"" if key is None else key.identity,
            b"X-Request-Id: ",
            exchange.request_id,
            b"\r\ntraceparent: 00-%b-%b-00\r\n\r\n" % (trace_id, trace_id[:16])
            if crossing.trace is None
            else b"\r\n%b\r\n" % crossing.trace.lines(trace_id, goes_on=exchange.keeps_trace),
        )
    )


def _begin(
    answer: ResponseHead,
    match: Match,
    admission: Admission,
    exchange: Exchange,
    connection: Connection,
    voice: Voice,
    generation: Generation,
) -> None:
    """Begin the response; if that fails, nobody will read what the upstream sends."""
    try:
        block, is_chunked, is_dated, needs_close = _response_block(
            answer, match.head, match.route, voice
        )
        now = generation.clock.now()
        head = b"".join(
            (
                block,
                voice.rate_headers.render(admission.grant, 0, now),
                b"X-Request-Id: ",
                exchange.request_id,
                b"\r\n",
                b"" if is_dated else generation.dates.at(now),
                exchange.closing_fields(must_close=needs_close) if answer.status != 101 else b"",
                b"\r\n",
            )
        )
        if answer.status == 101:
            exchange.tunnel(head, connection)
        else:
            exchange.begin(head, is_chunked=is_chunked, connection=connection)
        connection.relay_to(exchange)
    except Exception:
        connection.cancel(UpstreamFailure(Reason.INTERNAL, "the response could not be begun"))
        raise


def _response_block(
    answer: ResponseHead, head: RequestHead, route: Route, voice: Voice
) -> tuple[bytes, bool, bool, bool]:
    """Return status line, fields that cross and framing; is content chunked, is it dated, does its end close."""
    edits = route.response_edits
    is_head, is_http_10 = head.method == "HEAD", head.is_http_10
    memo = answer.memo_crossing
    if (
        memo is not None
        and memo[0] is voice
        and (memo[1] is edits or memo[1] == edits)
        and memo[2] is is_head
        and memo[3] is is_http_10
    ):
        known: tuple[bytes, bool, bool, bool] = memo[4]
        return known
    framing, is_chunked = response_framing(answer, method=head.method, to_http_10=is_http_10)
    block = b"HTTP/1.1 %d %b\r\n%b%b%b" % (
        answer.status,
        answer.reason,
        response_fields(answer, route, voice.overwritten),
        voice.lines,
        framing,
    )
    is_dated = b"\r\ndate:" in block.lower()
    needs_close = answer.body_length < 0 and not is_chunked and not is_head
    made = (block, is_chunked, is_dated, needs_close)
    answer.memo_crossing = (voice, edits, is_head, is_http_10, made)
    return made
