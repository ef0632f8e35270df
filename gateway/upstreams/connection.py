"""One connection to one target of an upstream.

Knows how a response is read while it comes, what the end of a connection means at each moment, and when a connection
may be used again: only if there is no doubt at all about where the last message ended. It must not know policy.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.denial import Reason
from gateway.domain.request import UNTIL_CLOSE, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.http1.body import LAST_CHUNK, Body, body_reader, chunk
from gateway.http1.fields import MessageError
from gateway.ports import Sink, Source, UpstreamFailure
from gateway.upstreams.beginning import HEAD_BYTES_MAX, fault_of

if TYPE_CHECKING:
    from gateway.upstreams.target import Target

_INFINITY: Final = float("inf")


class UpstreamConnection(asyncio.Protocol):
    """Implements `ports.Connection` and `ports.Watched`; serves one request at a time.

    The head of a request is held until the first content or the end of the request is known: mostly that is one write
    instead of two, and a request that was cancelled before leaves no trace, so the connection stays as good as new.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_held",
        "_is_chunked",
        "_is_closed",
        "_is_ended",
        "_is_head_request",
        "_is_heard",
        "_is_idle",
        "_is_paused",
        "_is_sent",
        "_is_tunnel",
        "_is_write_blocked",
        "_keeps",
        "_owner",
        "_relaying",
        "_sink",
        "_source",
        "_timeouts",
        "_total_deadline",
        "_transport",
        "_unread_bytes",
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
        self._is_closed = False
        self._is_ended = False  # the upstream has ended its direction of a tunnel
        self._is_idle = True  # what comes before a request was sent answers nothing
        self._is_paused = False
        self._is_tunnel = False
        self._is_write_blocked = False
        self._unread_bytes = 0  # what waited for the upstream when its deadline was last set
        self._reset()

    def _reset(self) -> None:
        self._buffer = self._held = b""
        self._body: Body | None = None
        self._sink: Sink | None = None
        self._source: Source | None = None
        self._relaying = False
        self._is_chunked = False
        self._is_heard = False  # an interim response came
        self._is_sent = False
        self._is_head_request = self._keeps = False
        self._total_deadline = _INFINITY
        self._timeouts = self._owner.timeouts
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()

    # ---- sending the request

    @property
    def is_open(self) -> bool:
        """Tell whether what is written leads anywhere."""
        return not self._is_closed

    @property
    def is_usable(self) -> bool:
        """Tell whether an idle connection can take a request: its peer has not ended it, as far as is known."""
        return not (self._is_closed or self._transport.is_closing())

    def send(
        self,
        head: bytes,
        *,
        method: str,
        body: Source | None,
        is_chunked: bool,
        timeouts: Timeouts | None,
    ) -> None:
        """Begin a request; its head leaves with the first `write` or with `finish`; `timeouts` None: the target's."""
        if self.is_reused:
            self._reset()
        if self._is_closed:
            self.answered.set(self._lost("closed", is_unsent=True))
            return
        self._is_idle = False
        self._held = head
        self._is_head_request = method == "HEAD"
        self._is_chunked = is_chunked
        self._source = body
        self._timeouts = timeouts or self._timeouts
        if self._timeouts.total_seconds:
            self._total_deadline = self._owner.time() + self._timeouts.total_seconds
        # While the client sends, only its own deadline watches it.
        self.deadline = self._total_deadline

    def write(self, content: bytes) -> None:
        """Pass on content of the request."""
        if self._is_closed:
            return
        if self._relaying:
            self._allow(self._timeouts.idle_seconds)
        if self._is_chunked and content:
            content = chunk(content)
        if self._held:
            content = self._held + content
            self._held = b""
        self._transport.write(content)

    def finish(self) -> None:
        """End the request: everything was written."""
        self._is_sent = True
        if self._is_closed:
            return
        if self._body is None and not self._is_write_blocked:
            self._allow(self._timeouts.response_seconds)
        tail = self._held + LAST_CHUNK if self._is_chunked else self._held
        self._held = b""
        if tail:
            self._transport.write(tail)
        elif self._is_ended:
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
        self._sink = None
        if self._held and not self._is_closed:
            self._rest()
        else:
            self.close()
        self.answered.set(failure)

    # ---- reading the response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._owner.outbox.cork(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        if self._relaying:
            self._relay(data)
        elif self._is_idle:
            self.close()  # bytes that nobody asked for: they must not become the next request's answer
        else:
            self._buffer = self._buffer + data if self._buffer else data
            if self._body is None:
                self._read_heads()

    def _read_heads(self) -> None:
        """Read the head of the response, past interim ones (RFC 9110 section 15.2)."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_BYTES_MAX:
                if fault := fault_of(self._buffer):
                    self._refuse(fault)
                return
            raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
            try:
                head = self._owner.reader.read(raw, to_head_request=self._is_head_request)
            except MessageError as error:
                self._refuse(str(error))
                return
            if head.status >= 200 or head.status == 101:
                break
            self._is_heard = True
        if head.status == 101:
            self._is_tunnel = True
            self._is_sent = False  # the client has a direction of its own now
            self._body = body_reader(UNTIL_CLOSE)
        else:
            self._keeps = head.keeps_alive
            self._body = body_reader(head.body_length)
        self._allow(self._timeouts.idle_seconds)
        self.answered.set(head)

    def _refuse(self, internal: str) -> None:
        self.cancel(UpstreamFailure(Reason.UPSTREAM_BAD_RESPONSE, f"{self.target}: {internal}"))

    def relay_to(self, sink: Sink) -> None:
        """Pass the content of the response to `sink`, as it comes."""
        self._sink = sink
        self._relaying = True
        assert self._body is not None
        pending, self._buffer = self._buffer, b""
        if pending:
            self._relay(pending)
        elif self._body.is_complete:
            self._complete(b"")
        else:
            sink.write(b"")  # the content may be long in coming: the client gets the head now

    def _relay(self, data: bytes) -> None:
        body, sink = self._body, self._sink
        if body is None or sink is None:
            return
        try:
            content, rest = body.feed(data)
        except MessageError:
            self._sink = None
            self.close()
            sink.abort("upstream_broke")
            return
        if content:
            sink.write(content)
        if body.is_complete:
            self._complete(rest)
        elif not self._is_paused:
            self._allow(self._timeouts.idle_seconds)

    def _complete(self, rest: bytes) -> None:
        sink, self._sink = self._sink, None
        if (
            self._keeps
            and self._is_sent
            and not (rest or self._is_closed or self._is_write_blocked)
        ):
            self._relaying = False
            self._body = None
            self.resume()
            self._rest()
        else:
            self.close()
        if sink is not None:
            sink.finish()

    def _rest(self) -> None:
        """Wait for the next request."""
        self._held = b""
        self._source = None
        self._is_idle = True
        self.is_reused = True
        self.deadline = self._owner.time() + self._owner.idle_lifetime_seconds
        self._owner.give_back(self)

    # ---- the end of the connection

    def eof_received(self) -> bool:
        if self._is_tunnel and not self._is_sent and self._sink is not None:
            self._is_ended = True
            self._sink.finish()
            return not self._is_closed
        self._end(is_reset=False)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._end(is_reset=error is not None)

    def _end(self, *, is_reset: bool, how: str = "reset") -> None:
        was_closed, self._is_closed = self._is_closed, True
        self.deadline = _INFINITY
        self._owner.forget(self)
        if was_closed:
            return
        if self._relaying:
            self._ended_while_relaying(is_reset=is_reset)
        elif not self._is_idle:
            self.answered.set(self._lost(how if is_reset else "closed"))

    def _lost(self, how: str, *, is_unsent: bool = False) -> UpstreamFailure:
        return UpstreamFailure(
            Reason.UPSTREAM_BAD_RESPONSE if self._buffer else Reason.UPSTREAM_UNREACHABLE,
            f"{self.target}: connection {how} before a response",
            is_unanswered=not (self._buffer or self._is_heard),
            is_unsent=is_unsent,
        )

    def _ended_while_relaying(self, *, is_reset: bool) -> None:
        body, sink = self._body, self._sink
        self._sink = None
        if body is None or sink is None:
            return
        if not is_reset and body.end():
            sink.finish()
        else:
            sink.abort("upstream_broke")

    def hand_over(self) -> None:
        """Somebody waits for this connection and will send in a moment; it must not grow old meanwhile."""
        self.deadline = _INFINITY

    def cut(self, ended: str, failure: UpstreamFailure) -> None:
        """Close; who takes the response hears `ended`, as in `Outcome`, and who waits for one hears `failure`."""
        sink, self._sink = self._sink, None
        self.close()
        if sink is not None:
            sink.abort(ended)
        else:
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
        self._is_write_blocked = True
        if not self._is_closed:
            self._await_reading()
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        self._is_write_blocked = False
        if not (self._is_closed or self._is_paused):
            self._allow(self._patience())
        if self._source is not None:
            self._source.resume()

    def _patience(self) -> float:
        """Return the seconds that the upstream has for its next step; 0 while the client has to act."""
        if self._body is not None:
            return self._timeouts.idle_seconds
        return self._timeouts.response_seconds if self._is_sent else 0.0

    def _await_reading(self) -> None:
        """The upstream has to read what was sent before it can answer; it has as long as for an answer."""
        self._unread_bytes = self._transport.get_write_buffer_size()
        self._allow(self._timeouts.response_seconds)

    def _allow(self, seconds: float) -> None:
        deadline = self._owner.time() + seconds if seconds else _INFINITY
        self.deadline = min(deadline, self._total_deadline)

    def expire(self) -> None:
        """The upstream took too long, or an idle connection grew old."""
        if self._is_closed:
            self._transport.abort()
            return
        if self._is_write_blocked and self._owner.time() < self._total_deadline:
            before = self._unread_bytes
            self._await_reading()
            if 0 < self._unread_bytes < before:
                return  # it reads, however slowly
        late = f"{self.target}: no response in time"
        is_unanswered = not (self._buffer or self._is_heard)
        failure = UpstreamFailure(Reason.UPSTREAM_TIMEOUT, late, is_unanswered=is_unanswered)
        self.cut("timeout", failure)
