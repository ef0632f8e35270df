"""A request on its way to an upstream.

Knows when its head leaves, how its content is framed, and how much of it the upstream has yet to read. It must not know
responses, deadlines or when a connection may be used again.
"""

from __future__ import annotations

from gateway.http1.body import LAST_CHUNK, chunk
from gateway.outbox import CorkedTransport
from gateway.ports import Source


class Sending:
    """The sending half of a connection; serves one request after another.

    A head is held until the first content or the end of its request is known: mostly that is one write instead of two,
    and a request that was cancelled before leaves no trace, so the connection stays as good as new.
    """

    __slots__ = (
        "_held",
        "_is_chunked",
        "_transport",
        "_unread_bytes",
        "is_blocked",
        "is_whole",
        "source",
    )

    def __init__(self, transport: CorkedTransport) -> None:
        self._transport = transport
        self._held = b""
        self._is_chunked = False
        self._unread_bytes = 0  # what waited for the upstream at the last look
        self.is_blocked = False  # the upstream does not read as fast as the client sends
        self.is_whole = False
        self.source: Source | None = None

    def begin(self, head: bytes, source: Source | None, *, is_chunked: bool) -> None:
        """Take the next request; its head leaves with the first `write`, which may be empty, or with `finish`."""
        self._held = head
        self._is_chunked = is_chunked
        self.is_whole = False
        self.source = source

    @property
    def is_held(self) -> bool:
        """Tell whether nothing of the request has left."""
        return self._held != b""

    def drop(self) -> None:
        """Forget a request of which nothing has left."""
        self._held = b""

    def write(self, content: bytes) -> None:
        """Pass on content."""
        if self._is_chunked and content:
            content = chunk(content)
        if self._held:
            content = self._held + content
            self._held = b""
        self._transport.write(content)

    def finish(self) -> bool:
        """End the request; tell whether that needed a byte more."""
        self.is_whole = True
        tail = self._held + LAST_CHUNK if self._is_chunked else self._held
        if not tail:
            return False
        self._held = b""
        self._transport.write(tail)
        return True

    def block(self) -> None:
        """The upstream is full: the client has to wait."""
        self.is_blocked = True
        self._unread_bytes = self._transport.get_write_buffer_size()
        if self.source is not None:
            self.source.pause()

    def unblock(self) -> None:
        """The upstream reads again."""
        self.is_blocked = False
        if self.source is not None:
            self.source.resume()

    def has_been_read(self) -> bool:
        """Tell whether the upstream has read anything since the last look, however slowly."""
        before, self._unread_bytes = self._unread_bytes, self._transport.get_write_buffer_size()
        return 0 < self._unread_bytes < before
