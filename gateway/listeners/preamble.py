"""What precedes the first request where PROXY protocol is spoken: the header that says who the client is.

Knows that the header comes first, once, and must be right. It must not know requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.http1.proxy_protocol import ProxyHeaderReader, ProxyProtocolError
from gateway.listeners.connection import DownstreamConnection

if TYPE_CHECKING:
    from gateway.listeners.public import PublicListener


class ProxyPreamble(asyncio.Protocol):
    """Takes the bytes of one accepted socket until its header is whole, then leaves them to the connection.

    The header stands in clear before everything else; `next_protocol` takes the bytes behind it: the connection, or
    the TLS in front of it. The connection counts, expires and drains from the start, as one that has sent nothing yet.
    """

    def __init__(
        self,
        listener: PublicListener,
        connection: DownstreamConnection,
        next_protocol: asyncio.Protocol,
    ) -> None:
        self._listener = listener
        self._connection = connection
        self._next = next_protocol
        self._reader = ProxyHeaderReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        try:
            header = self._reader.feed(data)
        except ProxyProtocolError as error:
            self._listener.rejected(connection, str(error))
            connection.break_off()
            return
        if header is None:
            return
        self._transport.set_protocol(self._next)
        if header.source is not None:
            connection.peer_address = header.source.address
        if not self._listener.identified(connection):
            connection.break_off()
        elif header.rest:
            self._next.data_received(header.rest)

    def eof_received(self) -> bool | None:
        return self._next.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._next.connection_lost(error)
