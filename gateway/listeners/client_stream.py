"""The socket of one client: what is read from it, what waits to be sent, and how it ends.

Knows flow control, the rate at which a client takes its answers, and closing without losing the last one. It must not
know requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.domain.closing import Closed
from gateway.listeners.kernel import has_left, reset_on_close, unacknowledged_bytes
from gateway.ports import Source

if TYPE_CHECKING:
    from gateway.listeners.public import PublicListener
    from gateway.outbox import CorkedTransport

LINGER_SECONDS: Final = 2.0
"""How long a closed connection waits for more of what the client still sends, and reads past it, so that the answer is
not reset away (RFC 9112 section 9.6)."""

LINGER_SECONDS_MAX: Final = 30.0
"""How long it reads past that in all, as nginx does (`lingering_time`)."""

_INFINITY: Final = float("inf")


class ClientStream(asyncio.Protocol):
    """One accepted socket. Implements the half of `asyncio.Protocol` that is about writing."""

    __slots__ = (
        "_is_closing",
        "_is_ended",
        "_is_reading",
        "_listener",
        "_transport",
        "_window_bytes",
        "_window_ends_at",
        "cause",
        "deadline",
        "is_write_blocked",
        "source",
    )

    _transport: CorkedTransport

    def __init__(self, listener: PublicListener) -> None:
        self._listener = listener
        self._is_closing = False
        self._is_ended = False  # nothing more comes from the client
        self._is_reading = True
        self._window_bytes = 0  # what stood where the window began, see `_open_window`
        self._window_ends_at = _INFINITY
        self.cause: Closed | None = None
        self.deadline = _INFINITY
        self.is_write_blocked = False
        self.source: Source | None = None  # what fills this connection, and pauses when it is full

    # ---- what a subclass knows

    @property
    def is_tunnel(self) -> bool:
        """Tell whether each direction may end by itself."""
        raise NotImplementedError

    def _rearm(self) -> None:
        """Set the deadline that the present state calls for."""
        raise NotImplementedError

    def _unblocked(self) -> None:
        """The client has read what waited for it: go on."""
        raise NotImplementedError

    def _gone(self) -> None:
        """The client left: whatever was done for it is for nobody."""
        raise NotImplementedError

    # ---- reading

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

    def _leaves_unseen(self) -> bool:
        """Tell whether the client left while nothing is read from it; then it is treated as any other that left."""
        sock = self._transport.get_extra_info("socket")
        if self._is_reading or not has_left(sock, is_half_open=self.is_tunnel):
            return False
        self._left()
        self._transport.close()
        return True

    def _left(self) -> None:
        """The client sends nothing more, so it asks for nothing more; what was answered before is still for it."""
        self._transport.flush()
        self._gone()
        self._open_window()

    # ---- writing

    def write(self, data: bytes) -> None:
        """Send bytes; the transport buffers them and tells when it is full. Nothing reaches a client that left."""
        if not self._is_closing:
            if self.is_write_blocked:
                self._window_bytes += len(data)
            self._transport.write(data)

    def sent_all(self) -> bool:
        """Send what waits; tell whether nothing is left that waits for the client to read."""
        self._transport.flush()
        return self._transport.get_write_buffer_size() == 0

    def half_close(self) -> None:
        """Tell the client that nothing more comes, and go on reading."""
        if not self._is_closing and self._transport.can_write_eof():
            self._transport.write_eof()

    def pause_writing(self) -> None:
        self.is_write_blocked = True
        self._open_window()
        self._rearm()
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        self.is_write_blocked = False
        if self._is_closing:
            self._linger()
            return
        self._rearm()
        if self.source is not None:
            self.source.resume()
        self._unblocked()

    def _unread_bytes(self) -> int:
        """Return how much waits for the client, here and in the kernel."""
        sock = self._transport.get_extra_info("socket")
        return self._transport.get_write_buffer_size() + unacknowledged_bytes(sock)

    def _open_window(self) -> None:
        """Give the client `write_timeout` to read on, from what waits for it now."""
        self._window_bytes = self._unread_bytes()
        self._window_ends_at = self._listener.time() + self._listener.settings.write_timeout_seconds
        self.deadline = self._window_ends_at

    def _reads_on(self) -> bool:
        """Tell whether the client has read enough in the window that ends now, and open the next one.

        Enough is something, at the least rate if there is one, and never more than what waited.
        """
        waiting = self._window_bytes
        read = waiting - self._unread_bytes()
        if 0 < min(self._listener.settings.write_window_bytes, waiting) <= read:
            self._open_window()
            return True
        self.end_as(Closed.WRITE_RATE if read > 0 else Closed.WRITE_TIMEOUT)
        return False

    # ---- ending

    def end_as(self, cause: Closed) -> None:
        """Note why the connection ends; the first cause counts."""
        if self.cause is None:
            self.cause = cause

    def close(self, cause: Closed) -> None:
        """Close after what was written is sent; read past what still comes, for a while."""
        if self._is_closing:
            return
        self.end_as(cause)
        self.resume_reading()
        self._is_closing = True
        if self._is_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()
        if self._transport.get_write_buffer_size():
            self._open_window()
        else:
            self._linger()

    def _linger(self) -> None:
        now = self._listener.time()
        self._window_bytes = 0
        self._window_ends_at = now + LINGER_SECONDS_MAX
        self.deadline = now + LINGER_SECONDS

    def _read_past(self) -> None:
        """The client still sends: it has not seen the end yet."""
        if not self._window_bytes:
            self.deadline = min(self._listener.time() + LINGER_SECONDS, self._window_ends_at)

    def _expire_closing(self) -> None:
        if not self._reads_on() or not self._window_bytes:
            self.deadline = _INFINITY
            self._transport.abort()

    def evict(self) -> bool:
        """Close an idle connection at once to make room; False when something still waits for its client."""
        if self._transport.get_write_buffer_size() and not self._is_closing:
            return False
        self.break_off(Closed.EVICTED)
        return True

    def break_off(self, cause: Closed = Closed.BROKEN, *, resets: bool = False) -> None:
        """Close at once, so that the client sees that the message is not whole.

        `resets` where an ordinary end would look like the end of the message.
        """
        self.end_as(cause)
        self._is_closing = True
        self._transport.flush()
        if resets:
            reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()
