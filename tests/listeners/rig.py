"""A connection over a transport that only remembers, with a clock that stands still and a story that the test tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast

from gateway.control.deadlines import DeadlineWheel
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.request import ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.listeners.connection import DownstreamConnection
from gateway.listeners.exchange import Exchange
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings, PublicListener
from gateway.ports import Source, UpstreamFailure
from tests.streams import Collected, FakeTransport, StoppedLoop
from tests.uncorked import uncorked

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Upstream(Collected):
    """Implements `ports.Connection` without one."""

    target = "up:80"
    is_reused = False
    is_open = True

    def __init__(self) -> None:
        super().__init__()
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()
        self.cancelled: list[UpstreamFailure] = []

    def send(
        self,
        head: bytes,
        *,
        method: str,
        body: Source | None,
        is_chunked: bool,
        timeouts: Timeouts | None,
    ) -> None: ...

    def relay_to(self, sink: Any) -> None: ...

    def cancel(self, failure: UpstreamFailure) -> None:
        self.cancelled.append(failure)


class Rig:
    """A connection over a transport that only remembers, with a story that the test tells."""

    def __init__(
        self,
        peername: Any = ("198.51.100.1", 5000),
        settings: ListenerSettings | None = None,
    ) -> None:
        self.loop = StoppedLoop()
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.exchanges: list[Exchange] = []
        self.story: Callable[[Exchange], Awaitable[None]] | None = None
        self.listener = PublicListener(
            settings or ListenerSettings(),
            loop=loop,
            deadlines=DeadlineWheel(loop),
            outbox=uncorked(),
            addresses=AddressRules(resolver=ClientAddressResolver()),
            tell=self._tell,
            random=Random(1),
        )
        self.transport = FakeTransport(peername)
        self.connection = DownstreamConnection(self.listener)
        self.connection.connection_made(self.transport)

    async def _tell(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self.story is not None:
            await self.story(exchange)

    def receive(self, data: bytes) -> Exchange:
        self.connection.data_received(data)
        return self.exchanges[-1]

    def begin(self, exchange: Exchange) -> Upstream:
        upstream = Upstream()
        exchange.stream_body_to(upstream, bytes_max=0)
        exchange.begin(OK, is_chunked=False, connection=upstream)
        return upstream

    def begin_body(self, exchange: Exchange) -> Upstream:
        upstream = Upstream()
        exchange.stream_body_to(upstream, bytes_max=0)
        return upstream

    @property
    def allowed(self) -> float:
        return self.connection.deadline - self.loop.now
