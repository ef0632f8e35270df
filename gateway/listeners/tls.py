"""TLS on accepted connections: ciphertext towards the socket, plaintext towards the connection.

Knows handshakes, their bounds, and what an orderly end is (RFC 8446 section 6.1). It must not know HTTP, but for the
one answer that a client gets which speaks it without TLS. Done here and not by the event loop, because only so can a
handshake be counted by how it ended, begin behind a PROXY header, yield to traffic, and leave little behind: the loops'
own TLS keeps buffers of 256 KiB for every connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from gateway.listeners import handshake_outcome as outcome
from gateway.listeners.certificates import Security, Terms
from gateway.ports import Deadlines

if TYPE_CHECKING:
    from gateway.listeners.connection import DownstreamConnection

_HANDSHAKES_PER_TURN: Final = 4
"""Handshakes that go on in one turn of the event loop: a signature takes up to a millisecond, and traffic waits."""

_READ_BYTES: Final = 288 * 1024
"""More than one read of a socket (256 KiB) and what was left of the record before it: one read is handed on at once."""

_HANDSHAKE: Final = 0x16
"""The first byte of every TLS connection (RFC 8446 section 5.1)."""

_State = Literal["new", "shaking", "open", "ended", "plain", "closed"]
"""`ended`: we said that nothing more comes; `plain`: HTTP without TLS was refused."""

_INFINITY: Final = float("inf")

_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n"
    b"Connection: close\r\n\r\nThis port speaks HTTPS.\n"
)


class TlsPort:
    """What the TLS connections of one listener share.

    `terms` may be replaced at any time: the next handshake is made under the new ones, connections go on under those
    that they began with. `count` is told how each handshake ended.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        count: Callable[[str], None],
    ) -> None:
        self.terms = terms
        self.handshakes = 0  # that are under way
        self.deadlines = deadlines
        self.time = loop.time
        self.count = count
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._call_soon = loop.call_soon
        self._complain = loop.call_exception_handler
        self._waiting: deque[TlsConnection] = deque()

    def shake_soon(self, connection: TlsConnection) -> None:
        """Let `connection` go on with its handshake when it is its turn."""
        if not self._waiting:
            self._call_soon(self._turn)
        self._waiting.append(connection)

    def _turn(self) -> None:
        waiting = self._waiting
        turn = [waiting.popleft() for _ in range(min(_HANDSHAKES_PER_TURN, len(waiting)))]
        if waiting:
            self._call_soon(self._turn)
        for connection in turn:
            try:
                connection.shake()
            except Exception as error:  # noqa: BLE001 - reported: one connection must not take the others with it
                self._complain({"message": "a TLS connection broke", "exception": error})
                connection.abort()


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """One connection: the protocol of its socket, and the transport of its `inner` connection.

    The inner one is made at once, so that it counts, expires and drains from the start as one that has sent nothing
    yet. Implements `ports.Watched` while it shakes hands.
    """

    __slots__ = (
        "_has_ended",
        "_incoming",
        "_inner",
        "_is_waiting",
        "_keeps_half",
        "_outgoing",
        "_port",
        "_socket",
        "_state",
        "_terms",
        "_tls",
        "deadline",
    )
    __deletable__ = ("_inner",)  # mypyc asks for it; nobody else reads it

    def __init__(self, inner: DownstreamConnection, port: TlsPort) -> None:
        self._inner = inner
        self._port = port
        self._state: _State = "new"
        self._terms = port.terms
        self._tls: ssl.SSLObject | None = None
        self._is_waiting = False  # for its turn to shake hands
        self._has_ended = False  # the client said that nothing more comes
        self._keeps_half = False  # and still listens
        self.deadline = _INFINITY

    # ---- asyncio.Protocol: towards the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        port, rules = self._port, self._terms.rules
        self._socket = cast("asyncio.Transport", transport)
        if port.handshakes >= rules.handshakes_max:
            port.count(outcome.TOO_MANY)
            self._socket.abort()
            return
        self._state = "shaking"
        port.handshakes += 1
        self.deadline = port.time() + rules.timeout_seconds
        port.deadlines.watch(self)
        self._inner.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            if self._state != "shaking":
                return
            if data[0] != _HANDSHAKE:
                self._refuse_plain(data)
                return
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = self._terms.wrap(self._incoming, self._outgoing)
        self._incoming.write(data)
        if self._state == "shaking":
            if not self._is_waiting:
                self._is_waiting = True
                self._port.shake_soon(self)
        elif self._state != "closed":
            self._read(self._tls)

    def eof_received(self) -> bool:
        """Take an end without a close_notify for a loss: anybody on the way could have cut the connection there."""
        if self._state == "shaking":
            self._settle(outcome.CLOSED)
        elif self._state != "closed" and not self._has_ended and not self._inner.is_tunnel:
            self._inner.eof_received()
        return self._keeps_half

    def connection_lost(self, error: Exception | None) -> None:
        if self._state == "shaking":
            self._settle(outcome.CLOSED)
        if self._state != "new":
            self._inner.connection_lost(error)
        self._state = "closed"
        del self._inner  # it holds us: what OpenSSL keeps must not wait for the garbage collector

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    # ---- the handshake

    def shake(self) -> None:
        """Go on with the handshake: it is this connection's turn."""
        self._is_waiting = False
        tls = self._tls
        if self._state != "shaking" or tls is None:
            return
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError as error:
            self._settle(outcome.outcome_of(error))
            self._send()  # the alert that says why
            self._socket.close()
        else:
            self._settle(outcome.RESUMED if tls.session_reused else outcome.FULL, "open")
            self._inner.security = Security(self._terms, tls)
            self._send()
            self._read(tls)

    def expire(self) -> None:
        """The handshake took too long."""
        self._settle(outcome.TIMEOUT)
        self._socket.abort()

    def _settle(self, how: str, state: _State = "closed") -> None:
        """Take note of how the handshake ended."""
        self._state = state
        self._port.handshakes -= 1
        self._port.deadlines.unwatch(self)
        self._port.count(how)

    def _refuse_plain(self, data: bytes) -> None:
        """Answer a request that came without TLS as nginx does; its credentials have been on the wire already."""
        if data[:1].isalpha():
            self._settle(outcome.PLAIN_HTTP, "plain")
            self._socket.write(_PLAIN_HTTP)
            # What it still sends is read past, so that the answer is not reset away; the inner deadline ends that.
            self._socket.write_eof()
        else:
            self._settle(outcome.NOT_TLS)
            self._socket.abort()

    # ---- what was received

    def _read(self, tls: ssl.SSLObject) -> None:
        """Hand on all that can be decrypted."""
        buffer = self._port.buffer
        while not self._has_ended:
            count = self._decrypt(tls, buffer)
            if self._state == "closed":
                return
            if count:
                self._inner.data_received(bytes(buffer[:count]))
            if count < len(buffer):
                break
        if self._state != "closed":
            self._send()
            if self._has_ended:
                self._end_received()

    def _decrypt(self, tls: ssl.SSLObject, buffer: memoryview) -> int:
        """Fill `buffer`; return how much there was.

        A read that finds nothing costs an exception, so it is only tried when there is something.
        """
        incoming, size, count = self._incoming, len(buffer), 0
        # With a buffer `read` returns a number, which its declaration does not know.
        read: Callable[[int, memoryview], int] = cast("Any", tls).read
        try:
            while count < size and (incoming.pending or tls.pending()):
                got = read(size - count, buffer[count:])
                if not got:
                    self._has_ended = True
                    break
                count += got
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._has_ended = True
        except ssl.SSLError:
            self._break()
        return count

    def _end_received(self) -> None:
        self._keeps_half = self._inner.eof_received()
        if not self._keeps_half:
            self.close()

    def _break(self) -> None:
        """The client broke the protocol: nothing that it sent since can be believed."""
        self._state = "closed"
        self._send()
        self._socket.abort()

    def _send(self) -> None:
        """Send what OpenSSL has to say for itself."""
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    # ---- asyncio.Transport: towards the connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._state != "open" or self._tls is None or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self._break()
            return
        self._socket.write(self._outgoing.read())

    def write_eof(self) -> None:
        """Say that nothing more comes: by a close_notify, then by the end of the socket's direction."""
        if self._state == "shaking":
            self._settle(outcome.TIMEOUT)
            self._socket.abort()
            return
        self._say_end()
        self._socket.write_eof()

    def _say_end(self) -> None:
        if self._state != "open" or self._tls is None:
            return
        self._state = "ended"
        # It wants to wait for the other end's close_notify, which may come later or never.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._send()

    def close(self) -> None:
        if self._state == "shaking":
            self.write_eof()
            return
        self._say_end()
        self._socket.close()

    def abort(self) -> None:
        """End without a close_notify, so that the client sees that something is missing."""
        if self._state == "shaking":
            self._settle(outcome.REFUSED)
        elif self._state != "new":
            self._state = "closed"
        self._socket.abort()

    def is_closing(self) -> bool:
        return self._socket.is_closing()

    def can_write_eof(self) -> bool:
        return self._socket.can_write_eof()

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._socket.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default)
