"""Sends what one turn of the event loop wrote, together, at the end of that turn.

Knows that a write to a socket wakes whoever reads it. Sent one by one between other work, each write wakes a sleeping
peer; sent together, the first one does. It also joins writes to one connection, such as a chunk and the last chunk.
Measured with 64 connections: a third more requests per second, and a fifth less CPU time per request. It must not
know what is sent.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_JOINED_BYTES_MAX: Final = 32768
"""Longer content is sent at once: copying it to join it would cost more than a write."""


class Outbox:
    """What waits to be sent at the end of this turn of the loop; one for all connections of a worker."""

    __slots__ = ("_call_soon", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._waiting: list[CorkedTransport] = []

    def cork(self, transport: asyncio.Transport) -> CorkedTransport:
        """Return a transport whose writes wait for the end of the turn."""
        return CorkedTransport(transport, self)

    def put(self, corked: CorkedTransport) -> None:
        """Send what `corked` holds at the end of this turn."""
        self._waiting.append(corked)
        if len(self._waiting) == 1:
            self._call_soon(self._send)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for corked in waiting:
            corked.flush()


class CorkedTransport:
    """The part of `asyncio.Transport` that connections use; closing sends what waits first, aborting drops it."""

    __slots__ = ("_outbox", "_transport", "_unsent", "is_closing")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self._outbox = outbox
        self.is_closing = transport.is_closing  # asked twice per request
        self._unsent = b""

    def write(self, data: bytes) -> None:
        if len(data) > _JOINED_BYTES_MAX:
            self.flush()
            self._transport.write(data)
        elif self._unsent:
            self._unsent += data
        elif data:
            self._unsent = data
            self._outbox.put(self)

    def flush(self) -> None:
        """Send what waits."""
        unsent = self._unsent
        if unsent:
            self._unsent = b""
            if not self.is_closing():
                self._transport.write(unsent)

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._unsent = b""
        self._transport.abort()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + len(self._unsent)

    def get_extra_info(self, name: str) -> Any:
        return self._transport.get_extra_info(name)
