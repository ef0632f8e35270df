"""One downstream connection: bytes in, requests in order, responses out.

Knows the order of requests on a connection (RFC 9112 section 9.3.2: pipelined requests are answered in order); its
socket and its deadlines are `ClientStream` and `PatientStream`. What becomes of a request is told elsewhere. It must
not know keys, scopes or stores.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.domain.closing import Closed
from gateway.domain.denial import Denial
from gateway.domain.request import RequestHead
from gateway.listeners.certificates import Security
from gateway.listeners.exchange import Exchange
from gateway.listeners.head_cut import cut_head
from gateway.listeners.patience import FIRST_REQUEST_SECONDS, PatientStream
from gateway.listeners.peer import Peer

if TYPE_CHECKING:
    from gateway.listeners.public import PublicListener

HELD_BYTES_MAX: Final = 65536
"""Bytes of later requests that are kept while one is answered; past it, reading pauses."""

_TURN: Final = range(64)
"""Pipelined requests that are answered at once; then other connections have their turn."""

_LF: Final = b"\n"
_CR: Final = 0x0D
_INFINITY: Final = float("inf")
_UNREAD: Final = RequestHead(method="", target=b"", path="", keeps_alive=False)


class DownstreamConnection(PatientStream):
    """Implements the protocol of one accepted socket, and `ports.Watched`."""

    __slots__ = (
        "_is_processing",
        "accepted_from",
        "counted_as",
        "is_refused",
        "peer",
        "peer_address",
        "security",
    )

    def __init__(self, listener: PublicListener) -> None:
        super().__init__(listener)
        self._is_processing = False
        self.accepted_from = ""
        self.counted_as = ""  # the address under which the listener counts this connection
        self.is_refused = False
        self.peer: Peer | None = None  # who `peer_address` is, once the first request asks
        self.peer_address = ""
        self.security: Security | None = None  # what the TLS handshake settled

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._listener.outbox.cork(cast("asyncio.Transport", transport))
        peer = transport.get_extra_info("peername")
        self.peer_address = self.accepted_from = peer[0] if isinstance(peer, tuple) else ""
        self._accepted()
        if not self._listener.opened(self):
            self.break_off()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            self._read_past()
            return
        exchange = self._exchange
        if exchange is None:
            if self._buffer:
                self._buffer += data
                if self._is_still_partial(data):
                    return
            else:
                self._buffer = data
                self._asked_at = now = self._listener.time()
                if not self.is_write_blocked:
                    self.deadline = now + self._listener.settings.head_timeout_seconds
            self._process()
            if self.is_write_blocked:
                self._hold()
        elif exchange.wants_body:
            self._receive(exchange, data)
        else:
            self._buffer += data
            self._hold()

    def _is_still_partial(self, data: bytes) -> bool:
        """Tell whether `data` can neither end a head nor make one too long: a head that drips in is not searched anew
        for each drop.
        """
        buffer = self._buffer
        return (
            _LF not in data
            and len(buffer) <= self._listener.head_limits.target_bytes_max
            and buffer[0] != _CR
        )

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        rest = exchange.receive(data)
        if self._exchange is not exchange:
            return  # it was refused meanwhile, and with it what follows
        if rest:
            self._buffer += rest
        if exchange.finished.is_set and not exchange.wants_body:
            self._next(exchange)
        elif exchange.is_awaited and self._is_reading and not self.is_write_blocked:
            self._await_more(exchange)
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
        self._left()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone()
        self._listener.closed(self)

    def _gone(self) -> None:
        self.end_as(Closed.CLIENT)
        self._is_closing = True
        self._buffer = b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def _unblocked(self) -> None:
        if self._exchange is None:
            self.resume_reading()
            self._process()

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
        listener = self._listener
        read = listener.reader.read(raw) if isinstance(raw, bytes) else raw
        self._requests += 1
        if isinstance(read, RequestHead):
            exchange = listener.exchange(self, read, None)
        else:
            exchange = listener.exchange(self, _UNREAD, read)
            self._buffer = b""
        self._exchange = exchange
        if exchange.head.body_length and exchange.wants_body:
            if self._buffer:
                self._buffer = exchange.receive(self._buffer)
            self._rearm()
        elif self._is_reading:
            self.deadline = _INFINITY
        else:
            self._rearm()
        listener.tell(exchange)

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
            self.close(Closed.ANSWERED if exchange.closes else Closed.DRAIN)
            return
        if self._buffer or self.is_write_blocked or not self._is_reading:
            self._rearm()
            self.resume_reading()
            if self._buffer:
                self._process_soon()
        else:
            listener = self._listener
            self.deadline = listener.time() + listener.settings.idle_timeout_seconds

    def _hold(self) -> None:
        """Keep bytes of later requests until their turn comes, but not without end."""
        if len(self._buffer) > HELD_BYTES_MAX:
            self.pause_reading()

    def invited(self) -> None:
        """The client was told to send its body (RFC 9110 section 10.1.1): its time begins."""
        self._rearm()

    def may_keep(self, exchange: Exchange) -> bool:
        """Tell whether the connection may carry another request after this one."""
        if self._listener.is_draining:
            self.end_as(Closed.DRAIN)
        elif self._requests >= self._listener.settings.requests_per_connection_max:
            self.end_as(Closed.REQUESTS_MAX)
        elif self._asked_at >= self._retires_at:
            self.end_as(Closed.LIFETIME)
        else:
            return exchange.can_drain
        return False

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

    # ---- stopping

    def drain(self) -> None:
        """Close when idle for a while; a request that has begun closes the connection with its response.

        A client that asks again and again has its next request on the way already: it is answered and told to close,
        where an end between two requests would fail the second one.
        """
        if self._exchange is not None or self._buffer:
            return
        now = self._listener.time()
        patient_until = (self.idle_since if self._requests else now) + FIRST_REQUEST_SECONDS
        if self.is_write_blocked or patient_until <= now:
            self.close(Closed.DRAIN)
        else:
            self.deadline = min(self.deadline, patient_until)

    def close(self, cause: Closed) -> None:
        """Close after what was written is sent; read past what still comes, for a while."""
        super().close(cause)
        self._buffer = b""

    def cut(self) -> None:
        """The gateway stops: refuse what has no answer yet, break off the rest."""
        exchange = self._exchange
        self.end_as(Closed.DRAIN)
        if exchange is not None and not exchange.finished.is_set:
            exchange.cut()
        elif not self._is_closing:
            self.break_off()
