"""One target of an upstream: an address, the idle connections to it, and how many there may be.

Knows how a connection is made, kept and forgotten. It must not know other targets or requests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.http1.response_head import ResponseHeadReader
from gateway.outbox import Outbox
from gateway.ports import Deadlines, UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.dialer import Dial, Turn
from gateway.upstreams.health import EjectionRules, Health
from gateway.upstreams.opening import open_connection
from gateway.upstreams.tls import cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a target listens: `host` and `port`, or `unix_path`. `tls` for https, with the name that its certificate
    must hold (empty: `host`).

    `authority` is the `Host` value of requests to it where the target decides that.
    """

    host: str = ""
    port: int = 0
    unix_path: str = ""
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    authority: str = ""

    @property
    def label(self) -> str:
        """The address as logs show it."""
        if self.unix_path:
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Target:
    """Keeps the connections to one address.

    Idle connections are taken last in, first out: the fresher one is less likely to be closed by its peer meanwhile,
    and a pool that has grown shrinks by age. `on_probed` and `on_empty` belong to the service that the target is part
    of; `weight` is its share of the requests.
    """

    def __init__(
        self,
        address: Address,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        outbox: Outbox,
        dial: Dial,
        timeouts: Timeouts,
        connections_max: int,
        idle_connections_max: int,
        idle_lifetime_seconds: float,
        health: Health | None = None,
        weight: int = 1,
    ) -> None:
        self.address = address
        self.label = address.label
        self.authority = address.authority.encode("ascii")
        self.weight = weight
        self.health = health or Health(EjectionRules(), now=loop.time())
        self.timeouts = timeouts
        self.idle_lifetime_seconds = idle_lifetime_seconds
        self.reader = ResponseHeadReader()
        self.time = loop.time
        self.outbox = outbox
        self.on_probed: Callable[[Target], None] = _ignore
        self.on_empty: Callable[[Target], None] = _ignore
        self._loop = loop
        self._deadlines = deadlines
        self._dial = dial
        self._connections_max = connections_max
        self._idle_connections_max = idle_connections_max
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._connecting = 0
        self._waiting: dict[Turn, Timeouts] = {}
        self._is_closed = False

    # ---- what others see

    @property
    def connections(self) -> int:
        """The number of open connections and of those that are being made."""
        return len(self._open) + self._connecting

    @property
    def idle_connections(self) -> int:
        """The number of connections that are ready for a request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a connection because there are enough."""
        return len(self._waiting)

    @property
    def outstanding(self) -> int:
        """The number of requests that it has, or will have as soon as it is connected."""
        return len(self._open) + self._connecting - len(self._idle) + len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing of it is left: no connection, and nobody who waits for one."""
        return not (self._open or self._connecting or self._waiting)

    def probed(self, is_up: bool, why: str) -> None:
        """Take note of what an active probe found; a target that is down gets no requests."""
        if self.health.probed(is_up, why, self.time()):
            self.on_probed(self)

    # ---- connections for requests

    def take_idle(self) -> UpstreamConnection | None:
        """Return a connection that is ready for a request, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    def connect(self, timeouts: Timeouts | None = None) -> Turn:
        """Begin to make a connection, or wait for one when there are enough, as long as connecting may take.

        An idle connection makes room for the new one: who does not take it has a reason.
        """
        timeouts = timeouts or self.timeouts
        if self._idle and self.connections >= self._connections_max:
            self._idle[0].close()
        if self.connections < self._connections_max and not self._is_closed:
            self._connecting += 1
            return self._dial(self._connect(timeouts))
        turn: Turn = self._loop.create_future()
        if self._is_closed:
            turn.set_result(self._failure(Reason.SHUTTING_DOWN, "closed"))
            return turn
        self._waiting[turn] = timeouts
        if timeouts.connect_seconds:
            timer = self._loop.call_later(timeouts.connect_seconds, self._wait_no_longer, turn)
            turn.add_done_callback(lambda _: timer.cancel())
        return turn

    def _wait_no_longer(self, turn: Turn) -> None:
        if self._waiting.pop(turn, None) is not None:  # else its connection is being made
            busy = f"all {self._connections_max} connections are busy"
            turn.set_result(self._failure(Reason.NO_HEALTHY_UPSTREAM, busy))

    async def _connect(self, timeouts: Timeouts) -> UpstreamConnection | UpstreamFailure:
        try:
            made = await self._attempt(timeouts)
        finally:
            self._connecting -= 1
        if isinstance(made, UpstreamFailure):
            self._left()
        else:
            self._open.add(made)
            self._deadlines.watch(made)
        return made

    async def _attempt(self, timeouts: Timeouts) -> UpstreamConnection | UpstreamFailure:
        try:
            async with asyncio.timeout(timeouts.connect_seconds or None):
                connection = await self._open_transport()
        except TimeoutError:
            return self._failure(Reason.UPSTREAM_TIMEOUT, "connect timed out")
        except OSError as error:
            return self._failure(Reason.UPSTREAM_UNREACHABLE, cause(error))
        if not connection.is_usable:
            return self._failure(Reason.UPSTREAM_UNREACHABLE, "the connection was closed at once")
        return connection

    async def _open_transport(self) -> UpstreamConnection:
        return await open_connection(self._loop, self)

    def _failure(self, reason: Reason, how: str) -> UpstreamFailure:
        return UpstreamFailure(reason, f"{self.label}: {how}", is_unsent=True)

    # ---- what becomes of connections

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for a later request, or close it when enough are kept."""
        if self._waiting and not self._is_closed:
            connection.hand_over()
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            turn.set_result(connection)
        elif len(self._idle) >= self._idle_connections_max or self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is closed; harmless for one that was forgotten before."""
        self._open.discard(connection)
        self._deadlines.unwatch(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._left()

    def _left(self) -> None:
        """A connection is gone: make others for those who wait, as far as there is room for them again."""
        while self._waiting and self.connections < self._connections_max and not self._is_closed:
            self._connecting += 1
            turn = next(iter(self._waiting))
            timeouts = self._waiting.pop(turn)
            self._dial(self._connect(timeouts)).add_done_callback(partial(_pass_on, turn))
        if self.is_empty:
            self.on_empty(self)

    def drain(self) -> None:
        """Keep no connection from now on: idle ones are closed, requests that have one end in peace."""
        self._idle_connections_max = 0
        for connection in list(self._idle):
            connection.close()

    def close(self) -> None:
        """Close every connection, whatever it is in; nobody waits for one any more."""
        self._is_closed = True
        failure = self._failure(Reason.SHUTTING_DOWN, "closed")
        while self._waiting:
            self._waiting.popitem()[0].set_result(failure)
        for connection in list(self._open):
            connection.cut("cut", failure)


def _ignore(_: Target) -> None:
    """Do nothing: the target belongs to no service yet."""


def _pass_on(turn: Turn, made: Turn) -> None:
    error = made.exception()
    if error is not None:
        turn.set_exception(error)
    else:
        turn.set_result(made.result())
