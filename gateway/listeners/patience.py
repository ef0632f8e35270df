"""How long a client may take: every deadline of its connection, by what it has to do next.

Knows the limits against slow and hostile clients, and that nobody is timed out for the slowness of others: while the
upstream or the gateway has to act there is no deadline. It must not know how requests are read and told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.domain.closing import Closed
from gateway.domain.denial import Denial, Reason
from gateway.listeners.client_stream import ClientStream

if TYPE_CHECKING:
    from gateway.listeners.exchange import Exchange
    from gateway.listeners.public import PublicListener

PEEK_SECONDS: Final = 1.0
"""How often a connection that is not read from is asked whether its client left."""

FIRST_REQUEST_SECONDS: Final = 1.0
"""How long nobody minds that a connection sends nothing: it was opened or kept to send a request, which may be on its
way."""

_INFINITY: Final = float("inf")


class PatientStream(ClientStream):
    """A client's stream with a deadline. Implements `ports.Watched`."""

    __slots__ = ("_asked_at", "_buffer", "_exchange", "_requests", "_retires_at")

    def __init__(self, listener: PublicListener) -> None:
        super().__init__(listener)
        self._asked_at = 0.0  # when the last request began to come
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._requests = 0
        self._retires_at = _INFINITY

    @property
    def exchange(self) -> Exchange | None:
        """The request that is being answered, if any."""
        return self._exchange

    @property
    def is_tunnel(self) -> bool:
        """Tell whether the connection became a tunnel."""
        return self._exchange is not None and self._exchange.is_tunnel

    @property
    def idle_since(self) -> float:
        """Since when this connection could be closed at little harm (event-loop time); infinity while it could not.

        One whose request has not come, or only in part, counts as idle after a moment: closing it loses only time.
        """
        if self._is_closing:
            return 0.0
        if self._exchange is not None or self.is_write_blocked:
            return _INFINITY
        settings = self._listener.settings
        if self._buffer or not self._requests:
            return self.deadline - settings.head_timeout_seconds + FIRST_REQUEST_SECONDS
        return self.deadline - settings.idle_timeout_seconds

    def _begin(self, raw: bytes | Denial) -> None:
        """Begin an exchange for a head, or for what was no head."""
        raise NotImplementedError

    def _accepted(self) -> None:
        """The connection was opened: its first request may take as long as any other head."""
        now = self._listener.time()
        settings = self._listener.settings
        self.deadline = now + settings.head_timeout_seconds
        self._retires_at = now + settings.lifetime_seconds

    def _rearm(self) -> None:
        """Set the deadline that the present state calls for; none while others have to act.

        What a blocked client sends gains it no time: only reading does. A client that is not read from is looked after
        from time to time, because the event loop does not tell when it leaves.
        """
        if self._is_closing:
            return
        exchange = self._exchange
        if self.is_write_blocked:
            self.deadline = self._window_ends_at
            if not self._is_reading:
                self.deadline = min(self.deadline, self._listener.time() + PEEK_SECONDS)
        elif exchange is None:
            settings = self._listener.settings
            seconds = (
                settings.head_timeout_seconds if self._buffer else settings.idle_timeout_seconds
            )
            self.deadline = self._listener.time() + seconds
        elif not self._is_reading:
            self.deadline = self._listener.time() + PEEK_SECONDS
        elif exchange.is_awaited:
            settings = self._listener.settings
            self._window_bytes = exchange.request_bytes
            self._window_ends_at = self._listener.time() + settings.body_timeout_seconds
            self.deadline = self._window_ends_at
        else:
            self.deadline = _INFINITY

    def _await_more(self, exchange: Exchange) -> None:
        """More of a body came: the rest has `body_timeout` again, but every such span must bring enough of it."""
        now = self._listener.time()
        settings = self._listener.settings
        if now < self._window_ends_at:
            self.deadline = now + settings.body_timeout_seconds
        elif exchange.request_bytes - self._window_bytes >= settings.body_window_bytes:
            self._rearm()
        else:
            self.end_as(Closed.BODY_RATE)
            self._give_up(exchange, "request body too slow")

    def expire(self) -> None:
        """The peer took too long, or it is time to look after it."""
        if self._is_closing:
            self._expire_closing()
        elif self._leaves_unseen():
            return
        elif self.is_write_blocked:
            self._expire_blocked()
        elif not self._is_reading:
            self._rearm()
        else:
            self._expire_waiting()

    def _expire_blocked(self) -> None:
        if not self._is_reading and self._listener.time() < self._window_ends_at:
            self._rearm()
        elif not self._reads_on():
            self.deadline = _INFINITY
            if self._exchange is None:
                self.break_off()
            else:
                self._give_up(self._exchange, "answer not read")

    def _expire_waiting(self) -> None:
        self.deadline = _INFINITY
        if self._exchange is not None:
            self.end_as(Closed.BODY_TIMEOUT)
            self._give_up(self._exchange, "request body stalled")
        elif self._buffer.strip():
            self.end_as(Closed.HEAD_TIMEOUT)
            self._begin(Denial(reason=Reason.REQUEST_TIMEOUT, internal="request head incomplete"))
        elif self._listener.is_draining:
            self.close(Closed.DRAIN)
        else:
            self.close(Closed.IDLE_TIMEOUT if self._requests else Closed.HEAD_TIMEOUT)

    def _give_up(self, exchange: Exchange, why: str) -> None:
        if exchange.finished.is_set:
            self.break_off()
        else:
            exchange.timed_out(why)
