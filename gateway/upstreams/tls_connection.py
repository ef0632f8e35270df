"""A connection to a target over TLS.

Knows what TLS changes for a connection: an end has to be announced, there are no half-closed connections, and how the
event loop's transport has to be set so that nothing is lost or piles up. It must not know certificates.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.tls import cause

WRITE_BUFFER_BYTES_MAX: Final = 65536
"""As much as over plain TCP; the transport's own 512 KiB would let a slow upstream hold that much per request."""

_LINGER_SECONDS: Final = 2.0
"""How long what is on its way from the upstream may take once the client has ended its direction of a tunnel."""


class TlsConnection(UpstreamConnection):
    """An `UpstreamConnection` over TLS."""

    __slots__ = ("_is_lingering",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the transport's limits and begin.

        uvloop's drops what it has received and not yet handed over when the TCP connection ends: a client that reads
        slowly would get a part of what the upstream has sent. So nothing may wait there: with the lowest limit, reading
        stops with the first byte that is not wanted, and the end of the connection is not read before that byte.
        """
        tls = cast("asyncio.Transport", transport)
        tls.set_read_buffer_limits(high=1, low=0)  # type: ignore[attr-defined]  # of TLS transports only
        tls.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        self._is_lingering = False
        super().connection_made(transport)

    def eof_received(self) -> bool:
        """Take the upstream's announcement that it ends; the transport then ends both directions."""
        self._end(is_reset=False)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Take every other end for what it may be: somebody on the way cut the message (RFC 9112 section 9.8)."""
        how = f"lost ({cause(error)})" if isinstance(error, OSError) else "cut without TLS closure"
        self._end(is_reset=True, how=how)

    def _end_direction(self) -> None:
        self._is_lingering = True
        # To announce our end would be to end the other direction as well, with what is on its way there.
        self._total_deadline = self._owner.time() + _LINGER_SECONDS
        self._allow(self._timeouts.idle_seconds)

    def expire(self) -> None:
        if self._is_lingering and self.is_open:
            self._is_closed = True
            self._owner.forget(self)
            self._transport.close()  # which announces it
            sink = self._receiving.release()
            if sink is not None:
                sink.finish()
        else:
            super().expire()
