"""One connection to one target of an upstream.

Knows what the end of a connection means at each moment, what its peer has to do by when, and when it may be used
again: only if there is no doubt at all about where the last message ended. It must not know policy.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.denial import Reason
from gateway.domain.request import ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.http1.fields import MessageError
from gateway.ports import Sink, Source, UpstreamFailure
from gateway.upstreams.receiving import Receiving
from gateway.upstreams.sending import Sending
from gateway.upstreams.unread import Unread

if TYPE_CHECKING:
    from gateway.upstreams.target import Target

_INFINITY: Final = float("inf")


class UpstreamConnection(asyncio.Protocol):
    """Implements `ports.Connection` and `ports.Watched`; serves one request at a time."""

    __slots__ = (
        "_idle_seconds_max",
        "_is_closed",
        "_is_ended",
        "_is_idle",
        "_is_paused",
        "_is_tunnel",
        "_keeps",
        "_owner",
        "_receiving",
        "_sending",
        "_timeouts",
        "_total_deadline",
        "_transport",
        "_unread",
        "answered",
        "deadline",
        "is_reused",
        "target",
    )

    def __init__(self, owner: Target) -> None:
        self._owner = owner
        self.target = owner.label
        self.is_reused = False
        self.deadline = _INFINITY
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()
        self._idle_seconds_max = owner.idle_lifetime_seconds
        self._is_closed = False
        self._is_ended = False  # the upstream has ended its direction of a tunnel
        self._is_idle = True  # what comes before a request was sent answers nothing
        self._is_paused = False
        self._is_tunnel = False
        self._keeps = False
        self._receiving = Receiving(owner.reader)
        self._timeouts = owner.timeouts
        self._total_deadline = _INFINITY

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._owner.outbox.cork(cast("asyncio.Transport", transport))
        self._sending = Sending(self._transport)
        self._unread = Unread(self._transport)

    # ---- sending the request

    @property
    def is_open(self) -> bool:
        """Tell whether what is written leads anywhere."""
        return not self._is_closed

    @property
    def is_usable(self) -> bool:
        """Tell whether a new or idle connection can take a request: it is open, and nothing came that nobody asked for.

        What the loop has not read yet counts: an end, which would cost a request that must not be repeated its answer,
        or bytes, which would become the answer to the next request. Not of a new one: TLS sends tickets unasked.
        """
        if self._is_closed or self._transport.is_closing():
            return False
        return not (self.is_reused and self._unread.is_any())

    def send(
        self,
        head: bytes,
        *,
        method: str,
        body: Source | None,
        is_chunked: bool,
        timeouts: Timeouts | None,
    ) -> None:
        """Begin a request, as `Sending.begin` says; `timeouts` None takes the target's."""
        if self.is_reused:
            self.answered = Signal()
        if self._is_closed:
            self.answered.set(self._lost("closed", is_unsent=True))
            return
        self._is_idle = False
        self._keeps = False
        self._sending.begin(head, body, is_chunked=is_chunked)
        self._receiving.begin(to_head_request=method == "HEAD")
        self._timeouts = timeouts = timeouts or self._owner.timeouts
        total_seconds = timeouts.total_seconds
        # While the client sends, only its own deadline watches it.
        self.deadline = self._total_deadline = (
            self._owner.time() + total_seconds if total_seconds else _INFINITY
        )

    def write(self, content: bytes) -> None:
        """Pass on content of the request."""
        if self._is_closed:
            return
        if self._receiving.is_relaying:
            self._allow(self._timeouts.idle_seconds)
        self._sending.write(content)

    def finish(self) -> None:
        """End the request: everything was written."""
        if self._is_closed:
            return
        if self._receiving.body is None and not self._sending.is_blocked:
            self._allow(self._timeouts.response_seconds)
        if self._sending.finish():
            return
        if self._is_ended:
            self._is_closed = True  # both directions have ended: close once everything was sent
            self._allow(self._timeouts.idle_seconds)
            self._transport.close()
        elif self._is_tunnel:
            self._end_direction()

    def _end_direction(self) -> None:
        self._transport.write_eof()

    def abort(self, ended: str) -> None:
        """Break the request off."""
        self.cancel(UpstreamFailure(Reason.INTERNAL, ended))

    def cancel(self, failure: UpstreamFailure) -> None:
        """Give up: close, unless nothing was sent, and tell `failure` to whoever still waits for the response."""
        self._receiving.release()
        if not self._is_closed and self._sending.is_held:
            self._sending.drop()
            self._rest()
        else:
            self.close()
        self.answered.set(failure)

    # ---- reading the response

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        receiving = self._receiving
        if receiving.is_relaying:
            try:
                is_complete = receiving.relay(data)
            except MessageError:
                self._break("upstream_broke")
                return
            if is_complete:
                self._complete()
            elif not self._is_paused:
                self._allow(self._timeouts.idle_seconds)
        elif self._is_idle or receiving.body is not None:
            self.close()  # nobody asked for it: it must not become the next request's answer
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        try:
            head = self._receiving.read_head(data)
        except MessageError as error:
            bad = f"{self.target}: {error}"
            self.cancel(UpstreamFailure(Reason.UPSTREAM_BAD_RESPONSE, bad))
            return
        if head is None:
            return
        if head.status == 101:
            self._is_tunnel = True
            self._sending.is_whole = False  # the client has a direction of its own now
        else:
            # An upstream that answers before the end of a request may take the rest for another one.
            self._keeps = head.keeps_alive and self._sending.is_whole
            if head.idle_seconds_max:
                self._idle_seconds_max = min(head.idle_seconds_max, self._idle_seconds_max)
        self._allow(self._timeouts.idle_seconds)
        self.answered.set(head)

    def relay_to(self, sink: Sink) -> None:
        """Pass the content of the response to `sink`, as it comes."""
        if self._is_closed and not self._receiving.is_complete:
            sink.abort("upstream_broke")
        elif self._receiving.relay_to(sink):
            self._complete()

    def _complete(self) -> None:
        receiving = self._receiving
        sink, receiving.sink = receiving.sink, None
        if self._keeps and not (receiving.rest or self._is_closed or self._sending.is_blocked):
            receiving.is_relaying = False
            if self._is_paused:
                self.resume()
            self._rest()
        else:
            self.close()
        if sink is not None:
            sink.finish()

    def _break(self, ended: str) -> None:
        sink = self._receiving.release()
        self.close()
        if sink is not None:
            sink.abort(ended)

    def _rest(self) -> None:
        """Wait for the next request."""
        self._sending.source = None
        self._is_idle = True
        self.is_reused = True
        self.deadline = self._owner.time() + self._idle_seconds_max
        self._owner.give_back(self)

    # ---- the end of the connection

    def eof_received(self) -> bool:
        sink = self._receiving.sink
        if self._is_tunnel and not self._sending.is_whole and sink is not None:
            self._is_ended = True
            sink.finish()
            return not self._is_closed
        self._end(is_reset=False)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not (self._is_closed or self._is_idle or self._is_tunnel):
            self._read_last()
        self._end(is_reset=error is not None)

    def _read_last(self) -> None:
        """Read the answer of an upstream that did not wait for the end of the request (RFC 9112 section 9.6).

        It closed with content unread, which resets the connection, so that the next write failed; its answer came
        before.
        """
        self._sending.is_whole = self._keeps = False
        data = self._unread.take()
        if data:
            self.data_received(data)

    def _end(self, *, is_reset: bool, how: str = "reset") -> None:
        was_closed, self._is_closed = self._is_closed, True
        self.deadline = _INFINITY
        self._owner.forget(self)
        if was_closed:
            return
        receiving = self._receiving
        if receiving.is_relaying:
            sink = receiving.release()
            if sink is None:
                return
            if not is_reset and receiving.ends_with_connection():
                sink.finish()
            else:
                sink.abort("upstream_broke")
        elif not self._is_idle:
            self.answered.set(self._lost(how if is_reset else "closed"))

    def _lost(self, how: str, *, is_unsent: bool = False) -> UpstreamFailure:
        beginning = self._receiving.beginning
        return UpstreamFailure(
            Reason.UPSTREAM_BAD_RESPONSE
            if beginning.is_unfinished
            else Reason.UPSTREAM_UNREACHABLE,
            f"{self.target}: connection {how} before a response",
            is_unanswered=beginning.is_empty,
            is_unsent=is_unsent,
        )

    def hand_over(self) -> None:
        """Somebody waits for this connection and will send in a moment; it must not grow old meanwhile."""
        self.deadline = _INFINITY

    def cut(self, ended: str, failure: UpstreamFailure) -> None:
        """Close; who takes the response hears `ended`, as in `Outcome`, and who waits for one hears `failure`."""
        self._break(ended)
        self.answered.set(failure)

    def close(self) -> None:
        """Close at once."""
        if not self._is_closed:
            self._is_closed = True
            self.deadline = _INFINITY
            self._owner.forget(self)
            self._transport.abort()

    # ---- flow control and deadlines

    def pause(self) -> None:
        """Stop reading the response: the client is full. Its own deadline watches it."""
        if not self._is_paused and not self._is_closed:
            self._is_paused = True
            self.deadline = self._total_deadline
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read the response again."""
        if self._is_paused and not self._is_closed:
            self._is_paused = False
            self._allow(self._timeouts.idle_seconds)
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The upstream has to read what was sent before it can answer; it has as long as for an answer."""
        if not self._is_closed:
            self._allow(self._timeouts.response_seconds)
        self._sending.block()

    def resume_writing(self) -> None:
        """Set the deadline for the next step of the upstream; none while the client has to act."""
        sending, timeouts = self._sending, self._timeouts
        if not (self._is_closed or self._is_paused):
            if self._receiving.body is not None:
                self._allow(timeouts.idle_seconds)
            else:
                self._allow(timeouts.response_seconds if sending.is_whole else 0.0)
        sending.unblock()

    def _allow(self, seconds: float) -> None:
        deadline = self._owner.time() + seconds if seconds else _INFINITY
        total = self._total_deadline
        self.deadline = deadline if deadline < total else total  # noqa: FURB136 - min() costs more

    def expire(self) -> None:
        """The upstream took too long, or an idle connection grew old."""
        if self._is_closed:
            self._transport.abort()
            return
        if self._sending.is_blocked and self._owner.time() < self._total_deadline:
            self._allow(self._timeouts.response_seconds)
            if self._sending.has_been_read():
                return  # it reads, however slowly
        late = f"{self.target}: no response in time"
        is_unanswered = self._receiving.beginning.is_empty
        failure = UpstreamFailure(Reason.UPSTREAM_TIMEOUT, late, is_unanswered=is_unanswered)
        self.cut("timeout", failure)
