"""One connection to one target of an upstream.

Knows how a response is read while it comes, what the end of a connection means at each moment, and when a connection may
be used again: only if there is no doubt at all about where the last message ended. It must not know policy.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.domain.request import UNTIL_CLOSE, ResponseHead
from gateway.eager import Signal
from gateway.http1.body import LAST_CHUNK, Body, body_reader, chunk
from gateway.http1.fields import MessageError
from gateway.ports import Sink, Source, UpstreamFailure

if TYPE_CHECKING:
    from gateway.upstreams.target import Target

_INFINITY: Final = float("inf")
_HEAD_BYTES_MAX: Final = 65536


class UpstreamConnection(asyncio.Protocol):
    """Implements `ports.Connection` and `ports.Watched`; serves one request at a time."""

    __slots__ = (
        "_body",
        "_buffer",
        "_is_chunked",
        "_is_closed",
        "_is_head_request",
        "_is_idle",
        "_is_paused",
        "_is_sent",
        "_keeps",
        "_owner",
        "_relaying",
        "_sink",
        "_source",
        "_timeouts",
        "_total_deadline",
        "_transport",
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
        self._is_idle = False
        self._is_paused = False
        self._reset()

    def _reset(self) -> None:
        self._buffer = b""
        self._body: Body | None = None
        self._sink: Sink | None = None
        self._source: Source | None = None
        self._relaying = False
        self._is_chunked = False
        self._is_sent = False
        self._is_head_request = False
        self._keeps = False
        self._total_deadline = _INFINITY
        self._timeouts = self._owner.timeouts
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()

    # ---- sending the request

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
        """Send a request head; content follows through `write` and `finish`. `timeouts` None takes the target's."""
        if self.is_reused:
            self._reset()
        self._is_idle = False
        if self._is_closed:
            self.answered.set(self._lost("closed", is_stale=True))
            return
        self._is_head_request = method == "HEAD"
        self._is_chunked = is_chunked
        self._source = body
        if timeouts is not None:
            self._timeouts = timeouts
        if self._timeouts.total_seconds:
            self._total_deadline = self._owner.time() + self._timeouts.total_seconds
        self._allow(self._timeouts.response_seconds)
        self._transport.write(head)

    def write(self, content: bytes) -> None:
        """Pass on content of the request."""
        if self._is_closed:
            return
        timeouts = self._timeouts
        self._allow(timeouts.idle_seconds if self._relaying else timeouts.response_seconds)
        self._transport.write(chunk(content) if self._is_chunked else content)

    def finish(self) -> None:
        """End the request: everything was written."""
        self._is_sent = True
        if self._is_chunked and not self._is_closed:
            self._transport.write(LAST_CHUNK)

    def abort(self, ended: str) -> None:
        """Break the request off."""
        self.cancel(UpstreamFailure(Reason.INTERNAL, ended))

    def cancel(self, failure: UpstreamFailure) -> None:
        """Give up: close, and tell `failure` to whoever still waits for the response."""
        self._sink = None
        self._close()
        self.answered.set(failure)

    # ---- reading the response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        if self._is_idle:
            self._close()  # bytes that nobody asked for: they must not become the next request's answer
        elif self._relaying:
            self._relay(data)
        elif self._body is not None:
            self._buffer += data  # content before anybody takes it
        else:
            self._buffer = self._buffer + data if self._buffer else data
            self._read_heads()

    def _read_heads(self) -> None:
        """Read the head of the response, past interim ones (RFC 9110 section 15.2)."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 or end > _HEAD_BYTES_MAX:
                if len(self._buffer) > _HEAD_BYTES_MAX:
                    self._refuse(f"response head exceeds {_HEAD_BYTES_MAX} bytes")
                return
            raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
            try:
                head = self._owner.reader.read(raw, to_head_request=self._is_head_request)
            except MessageError as error:
                self._refuse(str(error))
                return
            if head.status >= 200 or head.status == 101:
                break
        self._body = body_reader(UNTIL_CLOSE if head.status == 101 else head.body_length)
        self._keeps = head.keeps_alive and head.status != 101
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
        if self._is_closed:
            self._ended_while_relaying(pending, is_reset=False)
        elif pending:
            self._relay(pending)
        elif self._body.is_complete:
            self._complete(b"")

    def _relay(self, data: bytes) -> None:
        body, sink = self._body, self._sink
        if body is None or sink is None:
            return
        try:
            content, rest = body.feed(data)
        except MessageError:
            self._close()
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
        if self._keeps and self._is_sent and not rest and not self._is_closed:
            self._relaying = False
            self._body = None
            self._is_idle = True
            self.is_reused = True
            self.resume()
            self.deadline = self._owner.time() + self._owner.idle_lifetime_seconds
            self._owner.give_back(self)
        else:
            self._close()
        if sink is not None:
            sink.finish()

    # ---- the end of the connection

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        was_closed, self._is_closed = self._is_closed, True
        self._owner.forget(self)
        if was_closed:
            return
        if self._relaying:
            self._ended_while_relaying(b"", is_reset=error is not None)
        elif self._body is None and not self._is_idle:
            how = "reset" if error is not None else "closed"
            self.answered.set(self._lost(how, is_stale=self.is_reused and not self._buffer))

    def _lost(self, how: str, *, is_stale: bool) -> UpstreamFailure:
        return UpstreamFailure(
            Reason.UPSTREAM_BAD_RESPONSE if self._buffer else Reason.UPSTREAM_UNREACHABLE,
            f"{self.target}: connection {how} before a response",
            is_stale=is_stale,
        )

    def _ended_while_relaying(self, pending: bytes, *, is_reset: bool) -> None:
        body, sink = self._body, self._sink
        if body is None or sink is None:
            return
        if pending:
            self._relay(pending)
            if self._sink is None:
                return
        self._sink = None
        if not is_reset and body.end():
            sink.finish()
        else:
            sink.abort("upstream_broke")

    def hand_over(self) -> None:
        """Somebody waits for this connection and will send in a moment; it must not grow old meanwhile."""
        self.deadline = _INFINITY

    def close(self) -> None:
        """Close an idle connection."""
        self._close()

    def _close(self) -> None:
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
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        if self._source is not None:
            self._source.resume()

    def _allow(self, seconds: float) -> None:
        deadline = self._owner.time() + seconds if seconds else _INFINITY
        self.deadline = min(deadline, self._total_deadline)

    def expire(self) -> None:
        """The upstream took too long, or an idle connection grew old."""
        self.deadline = _INFINITY
        sink = self._sink
        if self._is_idle:
            self._close()
        elif sink is not None:
            self._sink = None
            self._close()
            sink.abort("timeout")
        else:
            self.cancel(UpstreamFailure(Reason.UPSTREAM_TIMEOUT, f"{self.target}: no response in time"))
