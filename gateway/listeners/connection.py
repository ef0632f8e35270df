"""One downstream connection: bytes in, requests in order, responses out.

Knows sockets, deadlines and the order of requests on a connection (RFC 9112 section 9.3.2: pipelined requests are
answered in order). What becomes of a request is told elsewhere. It must not know keys, scopes or stores.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.listeners.exchange import Exchange
from gateway.listeners.head_cut import cut_head
from gateway.listeners.peer import Peer
from gateway.ports import Source

if TYPE_CHECKING:
    from gateway.listeners.public import PublicListener

_HELD_BYTES_MAX: Final = 65536
"""Bytes of later requests that are kept while one is answered; past it, reading pauses."""

_TURN: Final = range(64)
"""Pipelined requests that are answered at once; then other connections have their turn."""

_LINGER_SECONDS: Final = 2.0
"""How long a closed connection reads past what the client still sends, so that the answer is not reset away
(RFC 9112 section 9.6)."""

_FIRST_REQUEST_SECONDS: Final = 1.0
"""How long a drain waits for the first request of a connection: it was opened to send one, which may be on its way."""

_RESET: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` with no time: closing a socket resets its connection (socket(7))."""

_INFINITY: Final = float("inf")
_UNREAD: Final = RequestHead(method="", target=b"", path="", keeps_alive=False)


class DownstreamConnection(asyncio.Protocol):
    """Implements the protocol of one accepted socket, and `ports.Watched`."""

    __slots__ = (
        "_buffer",
        "_exchange",
        "_is_closing",
        "_is_ended",
        "_is_processing",
        "_is_reading",
        "_listener",
        "_requests",
        "_transport",
        "_unread_bytes",
        "accepted_from",
        "counted_as",
        "deadline",
        "is_secure",
        "is_write_blocked",
        "peer",
        "peer_address",
        "source",
    )

    def __init__(self, listener: PublicListener) -> None:
        self._listener = listener
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._is_closing = False
        self._is_ended = False  # nothing more comes from the client
        self._is_processing = False
        self._is_reading = True
        self._requests = 0
        self._unread_bytes = 0  # what waited for the client when its deadline was last set
        self.accepted_from = ""
        self.counted_as = ""  # the address under which the listener counts this connection
        self.deadline = _INFINITY
        self.is_secure = False
        self.is_write_blocked = False
        self.peer: Peer | None = None  # who `peer_address` is, once the first request asks
        self.peer_address = ""
        self.source: Source | None = None  # what fills this connection, and pauses when it is full

    @property
    def exchange(self) -> Exchange | None:
        """The request that is being answered, if any."""
        return self._exchange

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._listener.outbox.cork(cast("asyncio.Transport", transport))
        peer = transport.get_extra_info("peername")
        self.peer_address = self.accepted_from = peer[0] if isinstance(peer, tuple) else ""
        self._allow(self._listener.settings.head_timeout_seconds)
        if not self._listener.opened(self):
            self.break_off()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return  # lingering: read past
        exchange = self._exchange
        if exchange is None:
            if self._buffer:
                self._buffer += data
            else:
                self._buffer = data
                if not self.is_write_blocked:
                    self._allow(self._listener.settings.head_timeout_seconds)
            self._process()
            if self.is_write_blocked:
                self._hold()
        elif exchange.wants_body:
            self._receive(exchange, data)
        else:
            self._buffer += data
            self._hold()

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        rest = exchange.receive(data)
        if self._exchange is not exchange:
            return  # it was refused meanwhile, and with it what follows
        if rest:
            self._buffer += rest
        if exchange.finished.is_set and not exchange.wants_body:
            self._next(exchange)
        else:
            self._rearm()

    def eof_received(self) -> bool:
        """End one direction of a tunnel; else treat a half-closed client as gone, as nginx does: nobody can tell it
        from one that left.
        """
        exchange = self._exchange
        if exchange is not None and exchange.is_tunnel:
            self._is_ended = True
            return exchange.client_ended()
        self._transport.flush()  # what was answered before it ended is still for the client
        self._gone()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone()
        self._listener.closed(self)

    def _gone(self) -> None:
        self._is_closing = True
        self._buffer = b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.is_write_blocked = True
        self._unread_bytes = self._transport.get_write_buffer_size()
        self._allow(self._listener.settings.write_timeout_seconds)
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        self.is_write_blocked = False
        if self._is_closing:
            self._allow(_LINGER_SECONDS)
            return
        self._rearm()
        if self.source is not None:
            self.source.resume()
        if self._exchange is None:
            self.resume_reading()
            self._process()

    # ---- deadlines

    def _allow(self, seconds: float) -> None:
        self.deadline = self._listener.time() + seconds

    def _rearm(self) -> None:
        """Set the deadline that the present state calls for; none while others have to act.

        What a blocked client sends gains it no time: only reading does.
        """
        if self._is_closing or self.is_write_blocked:
            return
        settings = self._listener.settings
        exchange = self._exchange
        if exchange is None:
            self._allow(
                settings.head_timeout_seconds if self._buffer else settings.idle_timeout_seconds
            )
        elif exchange.wants_body and self._is_reading and not exchange.is_tunnel:
            self._allow(settings.body_timeout_seconds)
        else:
            self.deadline = _INFINITY

    def expire(self) -> None:
        """The peer took too long."""
        if (self.is_write_blocked or self._is_closing) and self._has_read():
            self._allow(self._listener.settings.write_timeout_seconds)
            return
        self.deadline = _INFINITY
        exchange = self._exchange
        if self._is_closing:
            self._transport.abort()
        elif exchange is not None:
            if exchange.finished.is_set:
                self.break_off()
            else:
                exchange.timed_out()
        elif self.is_write_blocked:
            self.break_off()
        elif self._buffer.strip():
            self._begin(Denial(reason=Reason.REQUEST_TIMEOUT, internal="request head incomplete"))
        else:
            self.close()

    def _has_read(self) -> bool:
        """Tell whether the client read anything since the last look, however slowly."""
        before, self._unread_bytes = self._unread_bytes, self._transport.get_write_buffer_size()
        return 0 < self._unread_bytes < before

    # ---- requests, in order

    def _process(self) -> None:
        if self._is_processing:
            return  # a request that ended at once: the loop below goes on
        self._is_processing = True
        for _ in _TURN:
            if (
                self._exchange is not None
                or not self._buffer
                or self._is_closing
                or self.is_write_blocked
            ):
                break
            raw, self._buffer = cut_head(self._buffer, self._listener.head_limits)
            if raw is None:
                break
            self._begin(raw)
        else:
            if self._exchange is None and self._buffer:
                self.pause_reading()
                self._listener.call_soon(self._go_on)
                return
        self._is_processing = False

    def _process_soon(self) -> None:
        """Go on once the story of the last request was told to its end, and has given back what it held."""
        if not self._is_processing:
            self._is_processing = True
            self._listener.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_processing = False
        self._process()
        if self._exchange is None and not self._is_processing:
            self.resume_reading()

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
            self.resume_reading()  # the rest of a refused body is read past first, see `_receive`
            self._rearm()
        else:
            self._next(exchange)

    def _next(self, exchange: Exchange) -> None:
        self._exchange = None
        self.source = None
        if exchange.closes or self._listener.is_draining:
            self.close()
            return
        self._rearm()
        self.resume_reading()
        if self._buffer:
            self._process_soon()

    def _hold(self) -> None:
        """Keep bytes of later requests until their turn comes, but not without end."""
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

    def tunnelled(self, exchange: Exchange) -> None:
        """The connection is a tunnel now: what was held belongs to it, and only the tunnel's ends time it out."""
        self._rearm()
        self.resume_reading()
        held, self._buffer = self._buffer, b""
        if held:
            exchange.receive(held)

    # ---- the transport

    def write(self, data: bytes) -> None:
        """Send bytes; the transport buffers them and tells when it is full. Nothing reaches a client that left."""
        if not self._is_closing:
            self._transport.write(data)

    def sent_all(self) -> bool:
        """Send what waits; tell whether nothing is left that waits for the client to read."""
        self._transport.flush()
        return self._transport.get_write_buffer_size() == 0

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

    def half_close(self) -> None:
        """Tell the client that nothing more comes, and go on reading."""
        if not self._is_closing and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Close after what was written is sent; read past what still comes, for a while."""
        if self._is_closing:
            return
        self.resume_reading()
        self._is_closing = True
        self._buffer = b""
        if self._is_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()
        self._unread_bytes = self._transport.get_write_buffer_size()
        write_seconds = self._listener.settings.write_timeout_seconds
        self._allow(write_seconds if self._unread_bytes else _LINGER_SECONDS)

    def break_off(self, *, resets: bool = False) -> None:
        """Close at once, so that the client sees that the message is not whole.

        `resets` where an ordinary end would look like the end of the message.
        """
        self._is_closing = True
        self._transport.flush()
        sock = self._transport.get_extra_info("socket") if resets else None
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def drain(self) -> None:
        """Close when idle; a request that has begun closes the connection with its response."""
        if self._exchange is not None or self._buffer:
            return
        if self._requests == 0:
            self.deadline = min(self.deadline, self._listener.time() + _FIRST_REQUEST_SECONDS)
        else:
            self.close()

    def cut(self) -> None:
        """The gateway stops: refuse what has no answer yet, break off the rest."""
        exchange = self._exchange
        if exchange is not None and not exchange.finished.is_set:
            exchange.cut()
        elif not self._is_closing:
            self.break_off()
