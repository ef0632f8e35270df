"""One target of an upstream: an address, the idle connections to it, and how many there may be.

Knows how a connection is made, kept and forgotten. It must not know other targets or requests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.http1.response_head import ResponseHeadReader
from gateway.ports import Deadlines, UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a target listens: `host` and `port`, or `unix_path`. `tls` for https."""

    host: str = ""
    port: int = 0
    unix_path: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def label(self) -> str:
        """The address as logs show it."""
        if self.unix_path:
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Dial(Protocol):
    """Runs connection attempts; one owner awaits them all when it stops."""

    def __call__(
        self, attempt: Coroutine[Any, Any, UpstreamConnection | UpstreamFailure]
    ) -> asyncio.Future[UpstreamConnection | UpstreamFailure]: ...


class Target:
    """Keeps the connections to one address.

    Idle connections are taken last in, first out: the fresher one is less likely to be closed by its peer meanwhile, and
    a pool that has grown shrinks by age.
    """

    def __init__(
        self,
        address: Address,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        dial: Dial,
        timeouts: Timeouts,
        connections_max: int,
        idle_connections_max: int,
        idle_lifetime_seconds: float,
    ) -> None:
        self.address = address
        self.label = address.label
        self.timeouts = timeouts
        self.idle_lifetime_seconds = idle_lifetime_seconds
        self.reader = ResponseHeadReader()
        self.time = loop.time
        self._loop = loop
        self._deadlines = deadlines
        self._dial = dial
        self._connections_max = connections_max
        self._idle_connections_max = idle_connections_max
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._connecting = 0
        self._waiting: deque[asyncio.Future[UpstreamConnection | UpstreamFailure]] = deque()

    def take_idle(self) -> UpstreamConnection | None:
        """Return a connection that is ready for a request, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    def connect(self) -> asyncio.Future[UpstreamConnection | UpstreamFailure]:
        """Begin to make a connection, or wait for one when there are enough. The result is never an exception."""
        if len(self._open) + self._connecting < self._connections_max:
            self._connecting += 1
            return self._dial(self._connect())
        return self._dial(self._wait())

    async def _wait(self) -> UpstreamConnection | UpstreamFailure:
        """Take the connection that is given back next, as long as connecting may take."""
        turn: asyncio.Future[UpstreamConnection | UpstreamFailure] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.timeouts.connect_seconds or None):
                return await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                return turn.result()
            return self._unreachable(
                Reason.NO_HEALTHY_UPSTREAM, f"all {self._connections_max} connections are busy"
            )

    async def _connect(self) -> UpstreamConnection | UpstreamFailure:
        try:
            async with asyncio.timeout(self.timeouts.connect_seconds or None):
                connection = await self._open_transport()
        except TimeoutError:
            return self._unreachable(Reason.UPSTREAM_TIMEOUT, "connect timed out")
        except (OSError, ssl.SSLError) as error:
            return self._unreachable(Reason.UPSTREAM_UNREACHABLE, str(error))
        finally:
            self._connecting -= 1
        self._open.add(connection)
        self._deadlines.watch(connection)
        return connection

    async def _open_transport(self) -> UpstreamConnection:
        address = self.address
        connection = UpstreamConnection(self)
        if address.unix_path:
            await self._loop.create_unix_connection(lambda: connection, address.unix_path, ssl=address.tls)
        else:
            await self._loop.create_connection(
                lambda: connection, address.host, address.port, ssl=address.tls
            )
        return connection

    def _unreachable(self, reason: Reason, how: str) -> UpstreamFailure:
        return UpstreamFailure(reason, f"{self.label}: {how}", is_unsent=True)

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for a later request, or close it when enough are kept."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                connection.hand_over()
                turn.set_result(connection)
                return
        if len(self._idle) >= self._idle_connections_max:
            connection.close()
        else:
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is closed."""
        self._open.discard(connection)
        self._deadlines.unwatch(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        while self._waiting and len(self._open) + self._connecting < self._connections_max:
            turn = self._waiting.popleft()
            if not turn.done():
                self._connecting += 1
                self._dial(self._connect()).add_done_callback(partial(_hand_over, turn))

    def close(self) -> None:
        """Close every connection; nobody waits for one any more."""
        self._waiting.clear()
        for connection in list(self._open):
            connection.close()


def _hand_over(
    turn: asyncio.Future[UpstreamConnection | UpstreamFailure],
    made: asyncio.Future[UpstreamConnection | UpstreamFailure],
) -> None:
    if made.cancelled() or turn.done():
        return
    turn.set_result(made.result())
