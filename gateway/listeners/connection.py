"""One downstream connection: bytes in, requests in order, responses out.

Knows sockets, deadlines and the order of requests on a connection (RFC 9112 section 9.3.2: pipelined requests are
answered in order). What becomes of a request is told elsewhere. It must not know keys, scopes or stores.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.http1.proxy_protocol import ProxyHeaderReader, ProxyProtocolError
from gateway.listeners.exchange import Exchange
from gateway.listeners.peer import Peer
from gateway.ports import Source

if TYPE_CHECKING:
    from gateway.listeners.public import PublicListener

_HELD_BYTES_MAX: Final = 65536
"""Bytes of later requests that are kept while one is answered; past it, reading pauses."""

_LINGER_SECONDS: Final = 2.0
"""How long a closed connection reads past what the client still sends, so that the answer is not reset away
(RFC 9112 section 9.6)."""

_INFINITY: Final = float("inf")
_UNREAD: Final = RequestHead(method="", target=b"", path="", keeps_alive=False)


class DownstreamConnection(asyncio.Protocol):
    """Implements the protocol of one accepted socket, and `ports.Watched`."""

    __slots__ = (
        "_buffer",
        "_exchange",
        "_is_closing",
        "_is_processing",
        "_is_reading",
        "_is_write_blocked",
        "_listener",
        "_proxy_reader",
        "_requests",
        "_transport",
        "accepted_from",
        "deadline",
        "is_secure",
        "peer",
        "peer_address",
        "source",
    )

    def __init__(self, listener: PublicListener) -> None:
        self._listener = listener
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._is_closing = False
        self._is_processing = False
        self._is_reading = True
        self._is_write_blocked = False
        self._requests = 0
        self._proxy_reader = ProxyHeaderReader() if listener.settings.proxy_protocol else None
        self.peer_address = ""
        self.is_secure = False
        self.accepted_from = ""
        self.peer: Peer | None = None  # who `peer_address` is, once the first request asks
        self.source: Source | None = None
        self.deadline = _INFINITY

    @property
    def is_busy(self) -> bool:
        """Tell whether a request is being answered."""
        return self._exchange is not None

    @property
    def is_tunnel(self) -> bool:
        """Tell whether the connection became a tunnel."""
        return self._exchange is not None and self._exchange.is_tunnel

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer_address = self.accepted_from = peer[0] if isinstance(peer, tuple) else ""
        self._allow(self._listener.settings.head_timeout_seconds)
        if not self._listener.opened(self):
            self._is_closing = True
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return  # lingering: read past
        if self._proxy_reader is not None:
            self._read_proxy_header(data)
            return
        exchange = self._exchange
        if exchange is None:
            if self._buffer:
                self._buffer += data
            else:
                self._buffer = data
                self._allow(self._listener.settings.head_timeout_seconds)
            self._process()
        elif exchange.wants_body:
            rest = exchange.receive(data)
            if rest:
                self._buffer += rest
            self._rearm()
            if exchange.finished.is_set and not exchange.wants_body:
                self._next(exchange)
        else:
            self._hold(data)

    def eof_received(self) -> bool:
        """Treat a half-closed client as gone, as nginx does: nobody can tell it from one that left."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        self._buffer = b""
        self._listener.closed(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        self._is_write_blocked = True
        self._rearm()
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        self._is_write_blocked = False
        self._rearm()
        if self.source is not None:
            self.source.resume()
        self._process()

    # ---- deadlines

    def _allow(self, seconds: float) -> None:
        self.deadline = self._listener.time() + seconds

    def _rearm(self) -> None:
        """Set the deadline that the present state calls for; none while others have to act."""
        settings = self._listener.settings
        exchange = self._exchange
        if self._is_closing:
            return
        if self._is_write_blocked:
            self._allow(settings.write_timeout_seconds)
        elif exchange is None:
            self._allow(settings.head_timeout_seconds if self._buffer else settings.idle_timeout_seconds)
        elif exchange.wants_body and self._is_reading:
            self._allow(settings.body_timeout_seconds)
        else:
            self.deadline = _INFINITY

    # ---- requests, in order

    def _process(self) -> None:
        if self._is_processing:
            return  # a request that ended at once: the loop below goes on
        self._is_processing = True
        while self._exchange is None and self._buffer and not (self._is_closing or self._is_write_blocked):
            raw = self._take_head()
            if raw is None:
                break
            self._begin(raw)
        self._is_processing = False

    def _take_head(self) -> bytes | Denial | None:
        """Cut one head from the buffer; None when it is not whole yet."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        limits = self._listener.settings.head_limits
        if buffer[0] == 0x0D and buffer.startswith(b"\r\n"):
            self._buffer = buffer[2:]  # one empty line before a request is to be ignored (RFC 9112 2.2)
            if self._requests == 0 or self._buffer.startswith(b"\r\n"):
                return Denial(reason=Reason.INVALID_REQUEST, internal="empty line instead of a request")
            return self._take_head() if self._buffer else None
        if end < 0 or end > limits.head_bytes_max:
            return self._incomplete_head(buffer)
        self._buffer = buffer[end + 4 :]
        return buffer[: end + 4]

    def _incomplete_head(self, buffer: bytes) -> Denial | None:
        """Refuse as early as possible what can no longer become a good head."""
        limits = self._listener.settings.head_limits
        line_end = buffer.find(b"\r\n")
        if len(buffer) > limits.target_bytes_max + 64 and not 0 <= line_end <= limits.target_bytes_max + 64:
            return Denial(reason=Reason.URI_TOO_LONG)
        if len(buffer) > limits.head_bytes_max:
            return Denial(reason=Reason.HEADERS_TOO_LARGE, internal=f"{len(buffer)} bytes")
        if buffer.count(b"\n") != buffer.count(b"\r\n") or not 0x20 < buffer[0] < 0x7F:
            return Denial(reason=Reason.INVALID_REQUEST, internal="line does not end in CRLF, or not HTTP")
        return None

    def _begin(self, raw: bytes | Denial) -> None:
        read = self._listener.reader.read(raw) if isinstance(raw, bytes) else raw
        head, malformed = (read, None) if isinstance(read, RequestHead) else (_UNREAD, read)
        self._requests += 1
        exchange = self._listener.exchange(self, head, malformed)
        self._exchange = exchange
        if malformed is not None:
            self._buffer = b""
        if exchange.wants_body:
            if self._buffer:
                self._buffer = exchange.receive(self._buffer)
            self._rearm()
        else:
            self.deadline = _INFINITY
        self._listener.tell(exchange)

    def exchange_ended(self, exchange: Exchange) -> None:
        """Go on with the next request, or close."""
        if self._exchange is not exchange:
            return
        if exchange.wants_body and not exchange.closes:
            return  # the rest of a refused body is read past first, see `data_received`
        self._next(exchange)

    def _next(self, exchange: Exchange) -> None:
        self._exchange = None
        self.source = None
        if exchange.closes:
            self.close()
            return
        self._rearm()
        self.resume_reading()
        if self._buffer:
            self._process()

    def _hold(self, data: bytes) -> None:
        """Keep bytes of later requests until this one is answered."""
        self._buffer += data
        if len(self._buffer) > _HELD_BYTES_MAX:
            self.pause_reading()

    def may_keep(self, exchange: Exchange) -> bool:
        """Tell whether the connection may carry another request after this one."""
        settings = self._listener.settings
        return (
            not self._listener.is_draining
            and self._requests < settings.requests_per_connection_max
            and exchange.can_drain
        )

    def discard_input(self) -> None:
        """Nothing that the client sends from now on is read as a request."""
        self._buffer = b""

    def tunnelled(self) -> None:
        """The connection is a tunnel now: what was held belongs to it, and only the tunnel's ends time it out."""
        self.deadline = _INFINITY
        held, self._buffer = self._buffer, b""
        if held and self._exchange is not None:
            self._exchange.receive(held)

    # ---- the transport

    def write(self, data: bytes) -> None:
        """Send bytes; the transport buffers them and tells when it is full."""
        self._transport.write(data)

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        if self._is_reading and not self._is_closing:
            self._is_reading = False
            self._transport.pause_reading()
            self._rearm()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._transport.resume_reading()
            self._rearm()

    def close(self) -> None:
        """Close after what was written is sent; read past what still comes, for a while."""
        if self._is_closing:
            return
        self.resume_reading()
        self._is_closing = True
        self._buffer = b""
        self._allow(_LINGER_SECONDS)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def break_off(self) -> None:
        """Close at once, so that the client sees that the message is not whole."""
        self._is_closing = True
        self._transport.abort()

    def drain(self) -> None:
        """Close when idle; a request in flight closes the connection with its response."""
        if self._exchange is None:
            self.close()

    def expire(self) -> None:
        """The peer took too long."""
        self.deadline = _INFINITY
        exchange = self._exchange
        if self._is_closing:
            self._transport.abort()
        elif exchange is not None:
            if exchange.finished.is_set:
                self.break_off()
            else:
                exchange.timed_out()
        elif self._buffer:
            self._begin(Denial(reason=Reason.REQUEST_TIMEOUT, internal="request head incomplete"))
        else:
            self.close()

    def _read_proxy_header(self, data: bytes) -> None:
        assert self._proxy_reader is not None
        try:
            header = self._proxy_reader.feed(data)
        except ProxyProtocolError as error:
            self._listener.rejected(self, str(error))
            self.break_off()
            return
        if header is not None:
            self._proxy_reader = None
            if header.source is not None:
                self.peer_address = header.source.address
            if header.rest:
                self.data_received(header.rest)
