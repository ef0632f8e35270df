"""The public listener: accepts connections, makes requests out of them and tells each one's story.

Knows how many connections there may be, what every connection shares, and how to drain. It must not know keys or
stores.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from gateway import eager
from gateway.domain.closing import Refused
from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.http1.request_head import HeadLimits, RequestHeadReader
from gateway.listeners.census import Census
from gateway.listeners.certificates import Security
from gateway.listeners.connection import DownstreamConnection
from gateway.listeners.exchange import Exchange
from gateway.listeners.peer import AddressRules, Peer
from gateway.listeners.preamble import ProxyPreamble
from gateway.listeners.tls import TlsConnection, TlsPort
from gateway.listeners.trace_ids import TraceIds
from gateway.outbox import Outbox
from gateway.ports import Deadlines, Headcount

_log = logging.getLogger(__name__)

_REQUEST_ID_MAX: Final = 128

_CUT_SECONDS: Final = 1.0
"""How long a drain that was cut waits for the last answers to leave."""

_WARNING_SECONDS: Final = 1.0
"""How often a rejected connection is logged; all are counted."""

Tell = Callable[[Exchange], Coroutine[Any, Any, None]]
"""Tells the story of one request, to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """What the operator may set; times in seconds, rates in bytes per second. 0 of a limit or a rate means none."""

    proxy_protocol: bool = False
    proxies_only: bool = False
    connections_max: int = 16384
    connections_per_address_max: int = 0
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    body_rate_min: int = 0
    idle_timeout_seconds: float = 75.0
    write_timeout_seconds: float = 60.0
    write_rate_min: int = 0
    requests_per_connection_max: int = 10_000
    lifetime_seconds: float = float("inf")
    head_limits: HeadLimits = field(default_factory=HeadLimits)

    @property
    def body_window_bytes(self) -> int:
        """The least that must come of a body in each `body_timeout_seconds`."""
        return int(self.body_rate_min * self.body_timeout_seconds)

    @property
    def write_window_bytes(self) -> int:
        """The least that must be read of what waits for a client in each `write_timeout_seconds`: something."""
        return max(1, int(self.write_rate_min * self.write_timeout_seconds))


class PublicListener:
    """Owns the accepted connections of one address, however many sockets listen there."""

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        outbox: Outbox,
        addresses: AddressRules,
        tell: Tell,
        random: Random,
        tls: TlsPort | None = None,
        headcount: Headcount | None = None,
    ) -> None:
        self.settings = settings
        self.head_limits = settings.head_limits
        self.reader = RequestHeadReader(settings.head_limits)
        self.time = loop.time
        self.outbox = outbox
        self.call_soon = loop.call_soon
        self.is_draining = False
        self.census = Census(
            loop.time,
            ipv6_prefix=addresses.ipv6_prefix,
            headcount=headcount,
        )
        self._connections = self.census.connections
        self._loop = loop
        self._deadlines = deadlines
        self._addresses = addresses
        self._tell = tell
        self._trace_ids = TraceIds(random)
        self._tls = tls
        self._warns_from = 0.0
        self._is_unix = False
        self._servers: list[asyncio.Server] = []
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def refused(self) -> int:
        """The number of connections that were closed before they were served."""
        return sum(self.census.refused.values())

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """The number of requests that have begun and not ended; counted when somebody asks, not per request."""
        return sum(connection.exchange is not None for connection in list(self._connections))

    def exchanges(self) -> list[Exchange]:
        """Return the requests that have begun and not ended. Safe in another thread than the event loop's."""
        return [
            exchange
            for connection in list(self._connections)
            if (exchange := connection.exchange) is not None and not exchange.finished.is_set
        ]

    def follow(self, settings: ListenerSettings, addresses: AddressRules) -> None:
        """Follow a changed configuration from the next request on; open connections stay."""
        self._addresses = addresses
        self.census.ipv6_prefix = addresses.ipv6_prefix
        self.reader.forget()  # a head remembers its route
        if settings.head_limits != self.head_limits:
            self.head_limits = settings.head_limits
            self.reader = RequestHeadReader(settings.head_limits)
        self.settings = settings

    async def serve(self, sock: socket.socket, backlog: int) -> asyncio.Server:
        """Accept connections on `sock`, a bound socket, until `drain` or until the server that is returned is closed.

        `sock` is closed then; of several sockets, all are TCP or all are unix sockets.
        """
        self._is_unix = sock.family == socket.AF_UNIX
        if self._is_unix:
            server = await self._loop.create_unix_server(self._accept, sock=sock, backlog=backlog)
        else:
            server = await self._loop.create_server(self._accept, sock=sock, backlog=backlog)
        self._servers = [each for each in self._servers if each.is_serving()]
        self._servers.append(server)
        return server

    def _accept(self) -> asyncio.Protocol:
        connection = DownstreamConnection(self)
        first = connection if self._tls is None else TlsConnection(connection, self._tls)
        return ProxyPreamble(self, connection, first) if self.settings.proxy_protocol else first

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let requests in flight end for at most `seconds`, then cut what is left."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # what is accepted in this turn of the loop is known in the next
        for connection in list(self._connections):
            connection.drain()
        if await self._is_empty_within(seconds):
            return
        _log.warning("drain deadline passed: %d connections cut", len(self._connections))
        for connection in list(self._connections):
            connection.cut()
        if await self._is_empty_within(_CUT_SECONDS):
            return
        for connection in list(self._connections):
            connection.break_off()
        await self._is_empty_within(_CUT_SECONDS)

    async def _is_empty_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        return True

    # ---- what connections ask and tell

    def opened(self, connection: DownstreamConnection) -> bool:
        """Take note of a connection; False when it must be closed at once."""
        has_room = self.census.has_room(self.settings.connections_max)
        self._connections.add(connection)
        self._is_empty.clear()
        self._deadlines.watch(connection)
        if not has_room:
            return self.census.refuse(connection, Refused.CONNECTIONS_MAX)
        if not (connection.accepted_from or self._is_unix):
            return self.census.refuse(connection, Refused.UNNAMED)
        if self.settings.proxies_only and not self._is_from_proxy(connection):
            why = "only declared proxies may ask here, and this peer is none"
            return self.rejected(connection, why, Refused.STRANGER)
        if not self.settings.proxy_protocol:
            return self.identified(connection)
        if not self._is_from_proxy(connection):
            return self.rejected(
                connection, "PROXY protocol is spoken here, and this peer is no declared proxy"
            )
        return True

    def _is_from_proxy(self, connection: DownstreamConnection) -> bool:
        """Tell whether a declared proxy connected; who may connect to a unix socket, its file mode says."""
        resolver = self._addresses.resolver
        return self._is_unix or resolver.resolve_peer(connection.accepted_from).is_trusted_peer

    def identified(self, connection: DownstreamConnection) -> bool:
        """Count a connection for its client's address, now that it is known; False when there are too many of it."""
        maximum = self.settings.connections_per_address_max
        return self.census.identify(connection, maximum) or self.census.refuse(
            connection, Refused.PER_ADDRESS_MAX
        )

    def closed(self, connection: DownstreamConnection) -> None:
        """Forget a connection."""
        self._deadlines.unwatch(connection)
        self.census.forget(connection)
        if connection.cause is not None and not connection.is_refused:
            self.census.closed[connection.cause] += 1
        if not self._connections:
            self._is_empty.set()

    def rejected(
        self,
        connection: DownstreamConnection,
        why: str,
        cause: Refused = Refused.PROXY_PROTOCOL,
    ) -> bool:
        """Count a connection that never got as far as a request, and log one a second: a flood must not fill the log.

        Returns False, as `opened` does.
        """
        now = self.time()
        if now >= self._warns_from:
            self._warns_from = now + _WARNING_SECONDS
            _log.warning("connection from %s rejected: %s", connection.accepted_from, why)
        return self.census.refuse(connection, cause)

    def exchange(
        self, connection: DownstreamConnection, head: RequestHead, malformed: Denial | None
    ) -> Exchange:
        """Make the exchange for one head: who asks, under which id."""
        peer, security = connection.peer, connection.security
        if peer is None or peer.rules is not self._addresses:
            peer = connection.peer = self._peer(connection.peer_address, security)
        if security is not None and malformed is None and not security.covers(head.host):
            malformed = Denial(
                reason=Reason.MISDIRECTED_REQUEST, internal="not the host of the handshake"
            )
        trace_id = self._trace_ids.take()
        request_id = b"req_" + trace_id
        if peer.is_trusted:
            request_id = _given_id(head) or request_id
        return Exchange(
            connection,
            head,
            malformed,
            request_id=request_id,
            trace_id=trace_id,
            client=peer.client(head),
        )

    def _peer(self, address: str, security: Security | None) -> Peer:
        if security is None:
            return Peer(self._addresses, address, "http")
        return Peer(self._addresses, address, "https", security.fields)

    def tell(self, exchange: Exchange) -> None:
        """Begin the story of a request; it runs as far as it can at once."""
        eager.start(self._tell(exchange), exchange.crashed)


def _given_id(head: RequestHead) -> bytes:
    """Return the request id that a trusted proxy gave, if it is one plain word."""
    given = head.values(b"x-request-id")
    if len(given) != 1 or not 0 < len(given[0]) <= _REQUEST_ID_MAX:
        return b""
    return given[0] if given[0].replace(b"-", b"").replace(b"_", b"").isalnum() else b""
