"""What is open now, found by its key: the registry that lets a key's streams be seen and cut.

Knows which requests go on, by looking at the connections when somebody asks. There is no index: every request would
pay for one, and what is kept beside the truth can differ from it. To look at ten thousand connections takes 0.4 ms
when they are idle and 3 ms when all are busy, and happens only when a key is revoked or somebody looks. It must not
know why a stream is cut.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.request import RequestHead
from gateway.domain.streams import (
    ENDLESS,
    LASTING_SECONDS,
    Condemn,
    StreamKind,
    StreamReport,
    kind_of,
)
from gateway.listeners.exchange import Exchange
from gateway.listeners.public import PublicListener
from gateway.ports import Clock, Progress

CAUSES: Final = (
    Reason.KEY_REVOKED,
    Reason.KEY_SUSPENDED,
    Reason.KEY_EXPIRED,
    Reason.TENANT_SUSPENDED,
    Reason.INSUFFICIENT_SCOPE,
    Reason.IP_NOT_ALLOWED,
    Reason.ENV_MISMATCH,
    Reason.MISSING_CREDENTIALS,
    Reason.NO_ROUTE,
    Reason.CROSS_TENANT,
)
"""Why a stream that was let through may have to end: the same reasons that would refuse it now."""


_CUT_PER_TURN: Final = 64
"""Streams that are cut in one turn of the loop: two milliseconds in which nobody else is served."""


class Stream:
    """Implements `domain.streams.OpenStream`: one look at a request that goes on."""

    __slots__ = ("_clock", "exchange", "key", "route", "started")

    def __init__(self, exchange: Exchange, progress: Progress, clock: Clock) -> None:
        self.exchange = exchange
        self.key = progress.key
        self.route = progress.route
        self.started = progress.started
        self._clock = clock

    @property
    def head(self) -> RequestHead:
        """What was asked for."""
        return self.exchange.head

    @property
    def stream_id(self) -> str:
        """The id of the request."""
        return self.exchange.request_id.decode("ascii")

    @property
    def opened_at(self) -> float:
        """When it began, in epoch seconds."""
        return self._clock.now() - (self._clock.monotonic() - self.started)

    @property
    def kind(self) -> StreamKind:
        """What the request is doing now."""
        exchange = self.exchange
        return kind_of(exchange.head, exchange.relayed, is_sending=exchange.wants_body)

    @property
    def client_address(self) -> str:
        """The address of who asked."""
        return self.exchange.client_address

    @property
    def request_bytes(self) -> int:
        """Content that came from the client."""
        return self.exchange.request_bytes

    @property
    def response_bytes(self) -> int:
        """Content that went to the client."""
        return self.exchange.response_bytes


class OpenStreams:
    """Implements `ports.Streams` over the connections of listeners."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[PublicListener] = []
        self._closed = Counter(dict.fromkeys(CAUSES, 0))

    def watch(self, listener: PublicListener) -> None:
        """Look at the connections of `listener`, too."""
        self._listeners.append(listener)

    def _open(self) -> Iterator[Stream]:
        for listener in self._listeners:
            for exchange in listener.exchanges():
                progress = exchange.progress
                if progress is not None:
                    yield Stream(exchange, progress, self._clock)

    def lasting(self) -> Iterator[Stream]:
        """Yield the streams: what is one by its nature, and whatever has gone on for a second."""
        young = self._clock.monotonic() - LASTING_SECONDS
        for stream in self._open():
            if stream.started <= young or stream.kind in ENDLESS:
                yield stream

    async def listed(self) -> list[StreamReport]:
        """Return one look at each stream."""
        return [StreamReport.of(stream) for stream in self.lasting()]

    def condemned(self, condemn: Condemn) -> list[tuple[Exchange, Reason]]:
        """Return the requests that `condemn` gives a reason for, with it; none of them is cut yet."""
        return [
            (stream.exchange, reason)
            for stream in self._open()
            if (reason := condemn(stream)) is not None
        ]

    async def cut(self, condemn: Condemn) -> int:
        """End every request that `condemn` gives a reason for; return how many."""
        return await self.end(self.condemned(condemn))

    async def end(self, condemned: Sequence[tuple[Exchange, Reason]]) -> int:
        """End those of these requests that still go on; return how many."""
        count = 0
        for n, (exchange, reason) in enumerate(condemned):
            if n and n % _CUT_PER_TURN == 0:
                await asyncio.sleep(0)
            if exchange.finished.is_set:
                continue  # it came to its end while others were cut: its connection may serve another request by now
            exchange.cut(reason)
            self._closed[reason] += 1
            count += 1
        return count

    # ---- what metrics read, from another thread than the event loop's

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """Return the number of streams by kind."""
        counts = Counter(stream.kind for stream in self.lasting())
        return {(kind,): float(counts[kind]) for kind in StreamKind}

    def closed(self) -> Mapping[tuple[str, ...], float]:
        """Return how many requests were cut so far, by cause."""
        return {(reason,): float(count) for reason, count in list(self._closed.items())}
