"""What has arrived on a socket and was not yet told by the event loop.

Knows how to look at a socket beside its transport, for the two moments at which waiting for the loop is too late:
before a kept connection is used again, and when a failed write ends a connection whose answer is already here. It must
not know HTTP.
"""

from __future__ import annotations

import os
import select
from typing import Final

from gateway.outbox import CorkedTransport

_READ_BYTES: Final = 65536
_TAKEN_BYTES_MAX: Final = 262144
"""An answer to a request that was not read to its end is an error message; a longer one is given up."""


class Unread:
    """Looks at the socket of one transport; sees nothing where there is none."""

    __slots__ = ("_is_plain", "_poll", "_socket")

    def __init__(self, transport: CorkedTransport) -> None:
        self._socket = transport.get_extra_info("socket")
        self._is_plain = transport.get_extra_info("ssl_object") is None
        self._poll = None
        if self._socket is not None:
            poller = select.poll()
            poller.register(self._socket.fileno(), select.POLLIN)
            self._poll = poller.poll

    def is_any(self) -> bool:
        """Tell whether bytes, an end or an error wait to be read. Costs a quarter of a microsecond."""
        return self._poll is not None and self._poll(0) != []

    def take(self) -> bytes:
        """Return the bytes that wait; nothing of a TLS connection, whose bytes mean nothing here.

        Only for a transport that reads no more and is not closed yet, as in `connection_lost`.
        """
        if self._socket is None or not self._is_plain:
            return b""
        taken: list[bytes] = []
        try:
            while sum(map(len, taken)) < _TAKEN_BYTES_MAX:
                data = os.read(self._socket.fileno(), _READ_BYTES)
                if not data:
                    break
                taken.append(data)
        except OSError:
            pass  # nothing more, or the reset itself, which comes after the bytes before it
        return b"".join(taken)
