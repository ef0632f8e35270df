"""One request and its response on a downstream connection.

Knows how content flows between this client and an upstream connection: framing towards the client, flow control both
ways, and what an interruption means. It must not know why a request is admitted or refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.domain.closing import Closed
from gateway.domain.denial import Denial, Reason
from gateway.domain.request import CHUNKED, RequestHead, ResponseHead
from gateway.eager import Signal
from gateway.http1.body import LAST_CHUNK, Body, UntilCloseBody, body_reader, chunk
from gateway.http1.fields import MessageError
from gateway.http1.websocket import GOING_AWAY, POLICY_VIOLATION, FrameTrail, close_frame
from gateway.listeners.peer import Client
from gateway.ports import Connection, Progress, UpstreamFailure

if TYPE_CHECKING:
    from gateway.listeners.connection import DownstreamConnection

_log = logging.getLogger(__name__)

EARLY_BYTES_MAX: Final = 65536
"""Content that is kept while the upstream connection is being made; past it, reading pauses."""

DRAIN_BYTES_MAX: Final = 65536
"""How much of a refused body is read past, to keep the connection, before closing is cheaper."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """Implements `ports.Exchange`."""

    __slots__ = (
        "_body",
        "_bytes_max",
        "_connection",
        "_corked",
        "_early",
        "_framing",
        "_is_answered",
        "_is_begun",
        "_trail",
        "_upstream",
        "client_address",
        "client_network",
        "closes",
        "failure",
        "finished",
        "forwarded",
        "head",
        "is_gone",
        "is_tunnel",
        "malformed",
        "peer_address",
        "progress",
        "request_bytes",
        "request_id",
        "response_bytes",
        "trace_id",
    )

    def __init__(
        self,
        connection: DownstreamConnection,
        head: RequestHead,
        malformed: Denial | None,
        *,
        request_id: bytes,
        trace_id: bytes,
        client: Client,
    ) -> None:
        self._connection = connection
        self.peer_address = connection.peer_address  # of its other end, which may be a proxy
        self.head = head
        self.malformed = malformed
        self.request_id = request_id
        self.client_address = client.address
        self.client_network = client.network
        self.forwarded = client.forwarded
        self.trace_id = trace_id
        self.finished: Signal[str] = Signal()
        self.is_gone = False
        self.failure: UpstreamFailure | None = None
        self.closes = malformed is not None or not head.keeps_alive
        self.request_bytes = 0
        self.response_bytes = 0
        self._body: Body | None = body_reader(head.body_length) if head.body_length else None
        self._bytes_max = 0
        self._early = b""
        self._upstream: Connection | None = None
        self._corked = b""
        self._framing: Callable[[bytes], bytes] | None = None  # what content passes on its way
        self._is_begun = False
        self.is_tunnel = False
        self.progress: Progress | None = None

    @property
    def keeps_trace(self) -> bool:
        """Tell whether a trace that came with the request goes on."""
        peer = self._connection.peer
        return peer is None or peer.keeps_trace

    @property
    def is_begun(self) -> bool:
        """Tell whether any of the response was sent."""
        return self._is_begun

    @property
    def relayed(self) -> ResponseHead | None:
        """The head of the upstream's response, as long as its content is being relayed."""
        upstream = self._upstream
        answer = upstream.answered.value if self._is_begun and upstream is not None else None
        return answer if isinstance(answer, ResponseHead) else None

    # ---- the request body, client to upstream

    @property
    def wants_body(self) -> bool:
        """Tell whether bytes that arrive belong to this request."""
        return self._body is not None and not self._body.is_complete

    @property
    def is_awaited(self) -> bool:
        """Tell whether the client is the one to act: its body is wanted, and it may send it."""
        return (
            self.wants_body
            and not self.is_tunnel
            and (
                not self.head.expects_continue
                or self._upstream is not None
                or self.request_bytes > 0
            )
        )

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the request body; return those that follow it."""
        body = self._body
        assert body is not None
        try:
            content, rest = body.feed(data)
        except MessageError as error:
            self._fail(Reason.INVALID_REQUEST, str(error))
            return b""
        if content:
            self.request_bytes += len(content)
            self._pass_on(content)
        if body.is_complete and self._upstream is not None:
            self._upstream.finish()
        return rest

    def _pass_on(self, content: bytes) -> None:
        if self._upstream is not None:
            if self._bytes_max and self.request_bytes > self._bytes_max and not self.is_tunnel:
                self._fail(Reason.BODY_TOO_LARGE, f"more than {self._bytes_max} bytes")
            else:
                self._upstream.write(content)
        elif not self._is_begun:  # else it was refused: what the client still sends is read past
            self._early += content
            if len(self._early) > EARLY_BYTES_MAX:
                self._connection.pause_reading()

    def stream_body_to(self, connection: Connection, *, bytes_max: int) -> None:
        """Pass the request body to `connection`, what has come already and what comes later."""
        self._upstream = connection
        self._bytes_max = bytes_max
        if self.failure is not None:
            self._give_up(self.failure)
        elif self._body is None:
            connection.finish()
        else:
            self._stream(self._body, connection)

    def _stream(self, body: Body, connection: Connection) -> None:
        early, self._early = self._early, b""
        if self._bytes_max and self.request_bytes > self._bytes_max:
            self._fail(Reason.BODY_TOO_LARGE, f"more than {self._bytes_max} bytes")
            return
        if not body.is_complete:
            self._connection.resume_reading()  # first: the upstream may be full at once, and then the pause must last
            if self.head.expects_continue and not self.request_bytes:
                self._connection.write(_CONTINUE)
                self._connection.invited()
        connection.write(early)
        if body.is_complete:
            connection.finish()

    def _fail(self, reason: Reason, internal: str) -> None:
        """The request itself is at fault: nothing after it on this connection can be trusted."""
        self.closes = True
        self._body = None
        self._connection.discard_input()
        if self._is_begun:
            self.abort("client_gone")
        else:
            self.malformed = Denial(
                reason=reason, internal=internal
            )  # for a story that was not told yet
            self._give_up(UpstreamFailure(reason, internal))

    def _give_up(self, failure: UpstreamFailure) -> None:
        self.failure = failure
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.cancel(failure)

    def timed_out(self, why: str) -> None:
        """The client stalled: refuse if nothing was sent yet, else break the connection. `why` is for the log."""
        if self._is_begun:
            self._end("timeout", broken=True)
        else:
            self._fail(Reason.REQUEST_TIMEOUT, why)

    # ---- the response, upstream or gateway to client

    def closing_fields(self, *, must_close: bool = False) -> bytes:
        """Return the `Connection` line that the response needs, or nothing; decides whether the connection is kept."""
        if must_close or (not self.closes and not self._connection.may_keep(self)):
            self.closes = True
        if self.closes:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self.head.is_http_10 else b""

    @property
    def can_drain(self) -> bool:
        """Tell whether reading past the rest of the body is cheaper than a new connection."""
        if self._body is None:
            return True
        if self.head.expects_continue and self._upstream is None:
            # Refused instead of continued: whether what comes next is the body or, from a client that leaves it away,
            # another request, only the client knows (RFC 9110 section 10.1.1).
            return False
        if self._body.is_complete:
            return True
        if self.head.expects_continue or self.head.body_length == CHUNKED:
            return False
        return self.head.body_length - self.request_bytes <= DRAIN_BYTES_MAX

    def answer(self, head: bytes, body: bytes) -> None:
        """Send a whole response of our own."""
        if self.is_gone:
            return
        self._is_begun = True
        if self._upstream is not None:
            self._give_up(UpstreamFailure(Reason.INTERNAL, "answered by the gateway"))
        self.response_bytes = len(body)
        self._connection.write(head + body if body else head)
        self._end("complete")

    def begin(self, head: bytes, *, is_chunked: bool, connection: Connection) -> None:
        """Send the head of a relayed response; its content follows through `write` and `finish`.

        The head waits for the content that came with it: one write costs half of two.
        """
        self._is_begun = True
        self._upstream = connection
        self._corked = head
        self._framing = chunk if is_chunked else None
        self._connection.source = connection
        if self._connection.is_write_blocked:
            connection.pause()

    def tunnel(self, head: bytes, connection: Connection) -> None:
        """Send a 101 head and pass every later byte in both directions."""
        self.is_tunnel = True
        self._is_answered = False  # until the upstream has ended its direction
        self.closes = True
        self._body = UntilCloseBody()
        self._trail: FrameTrail | None = None
        self.begin(head, is_chunked=False, connection=connection)
        if self.head.upgrade == b"websocket":
            self._trail = FrameTrail()
            self._framing = self._trail.follow
        self.write(b"")
        self._connection.tunnelled(self)

    def write(self, content: bytes) -> None:
        """Pass on content of the response; empty content sends a head that waits."""
        if content:
            self.response_bytes += len(content)
            if self._framing is not None:
                content = self._framing(content)
        if self._corked:
            content = self._corked + content
            self._corked = b""
        self._connection.write(content)

    def finish(self) -> None:
        """End the response: everything was written. The client may still use its direction of a tunnel, if it leads
        anywhere: over TLS both directions end at once.
        """
        tail = self._corked + LAST_CHUNK if self._framing is chunk else self._corked
        if tail:
            self._connection.write(tail)
        upstream = self._upstream
        if self.is_tunnel and self.wants_body and upstream is not None and upstream.is_open:
            self._is_answered = True
            self._connection.half_close()
        else:
            self._end("complete")

    def abort(self, ended: str) -> None:
        """End the response so that the client sees that it is not whole."""
        self._end(ended, broken=True)

    def _end(self, ended: str, *, broken: bool = False) -> None:
        if broken:
            if self._corked:
                self._connection.write(self._corked)
            # Tunnels end with their connection, and so do messages to HTTP/1.0 clients if their length is unknown.
            self._connection.break_off(resets=self.is_tunnel or self.head.is_http_10)
        if broken or (self._body is not None and self.wants_body):
            # The upstream answered before it had the whole request, or nobody is left to hear it.
            self._give_up(
                self.failure or UpstreamFailure(Reason.INTERNAL, f"exchange ended: {ended}")
            )
        self._upstream = None
        self.finished.set(ended)
        self._connection.exchange_ended(self)

    # ---- flow control and the client's end

    def pause(self) -> None:
        """Stop reading the request body: the upstream is full."""
        self._connection.pause_reading()

    def resume(self) -> None:
        """Read the request body again."""
        self._connection.resume_reading()

    def client_ended(self) -> bool:
        """The client ended its direction of a tunnel; tell whether the other one is still open."""
        if self._body is not None:
            self._body = None
            if self._upstream is not None:
                self._upstream.finish()
            if self._is_answered:
                self._end("complete")
        return not self._is_answered

    def client_gone(self) -> None:
        """The connection is lost: the upstream's work is for nobody."""
        self.is_gone = True
        self._give_up(UpstreamFailure(Reason.INTERNAL, "client gone"))
        self.finished.set("complete" if self.is_tunnel else "client_gone")

    def cut(self, reason: Reason = Reason.SHUTTING_DOWN) -> None:
        """End it now: refuse if nothing was sent yet, close a WebSocket with a close frame, break off the rest.

        A close frame needs a client that reads and a place between two frames. Without them it would come late, or
        would be read as content.
        """
        self.closes = True
        self._connection.end_as(Closed.CUT)
        self._give_up(UpstreamFailure(reason, f"cut: {reason}"))
        if not self._is_begun:
            return
        if self.is_tunnel and self._trail is not None and not self._is_answered:
            code = GOING_AWAY if reason is Reason.SHUTTING_DOWN else POLICY_VIOLATION
            if self._trail.is_between and self._connection.sent_all():
                self._connection.write(close_frame(code, reason))
                self._end("cut")
                return
        self._end("cut", broken=True)

    def crashed(self, error: BaseException) -> None:
        """The story of this request broke, so nobody will answer: that is a bug, or we are being stopped."""
        _log.critical(
            "the story of request %s crashed", self.request_id.decode("ascii"), exc_info=error
        )
        self._end("cut", broken=True)
