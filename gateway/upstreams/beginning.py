"""The beginning of a response: from the first byte to the end of its final head.

Knows how long a beginning may get, that interim responses come before the final one, and what cannot become HTTP any
more: that is refused at once and not after a timeout. It must not know sockets, bodies or deadlines.

Interim responses are read past, not forwarded. `100` answers an expectation that does not cross (the gateway asks for
the content itself, once it knows that the request is admitted), and a client that does not expect `103` may take it for
the answer: Python's `http.client` does (RFC 9110 section 15.2 expects clients to parse it).
"""

from __future__ import annotations

from typing import Final

from gateway.domain.request import ResponseHead
from gateway.http1.fields import MessageError
from gateway.http1.response_head import ResponseHeadReader

HEADS_BYTES_MAX: Final = 65536
"""All heads of one response together, so that interim ones cannot go on for ever. Go allows 1 MiB, nginx one page."""

_TOO_LONG: Final = f"response head exceeds {HEADS_BYTES_MAX} bytes"
_END: Final = b"\r\n\r\n"
_VERSION: Final = b"HTTP/1."


class Beginning:
    """Reads the beginnings of responses on one connection, one after another."""

    __slots__ = ("_held", "_passed_bytes", "_reader")

    def __init__(self, reader: ResponseHeadReader) -> None:
        self._reader = reader
        self._held = b""  # an unfinished head
        self._passed_bytes = 0  # the heads of interim responses before it

    @property
    def is_empty(self) -> bool:
        """Tell whether no byte of the next response came."""
        return not (self._held or self._passed_bytes)

    @property
    def is_unfinished(self) -> bool:
        """Tell whether a head has begun and not ended."""
        return self._held != b""

    def read(self, data: bytes, *, to_head_request: bool) -> tuple[ResponseHead, bytes] | None:
        """Return the final head and what follows it, or None while it is not whole; raises `MessageError`."""
        seen = len(self._held)
        if seen:
            data = self._held + data
        while True:
            end = data.find(_END, seen - 3 if seen > 3 else 0)
            if end < 0:
                self._hold(data, seen)
                return None
            if self._passed_bytes + end + 4 > HEADS_BYTES_MAX:
                raise MessageError(_TOO_LONG)
            raw, data = data[: end + 4], data[end + 4 :]
            head = self._reader.read(raw, to_head_request=to_head_request)
            if head.status >= 200 or head.status == 101:
                self._held = b""
                self._passed_bytes = 0
                return head, data
            self._passed_bytes += len(raw)
            seen = 0

    def _hold(self, data: bytes, seen: int) -> None:
        """Keep an unfinished head, of which `seen` bytes were judged before."""
        self._held = data
        if self._passed_bytes + len(data) > HEADS_BYTES_MAX:
            raise MessageError(_TOO_LONG)
        if data[: len(_VERSION)] != _VERSION[: len(data)]:
            raise MessageError("what it speaks is not HTTP/1")
        new = data[seen - 1 :] if data[seen - 1 : seen] == b"\r" else data[seen:]
        ends = new.count(b"\r\n")
        if not new.count(b"\n") == ends == new.count(b"\r") - new.endswith(b"\r"):
            raise MessageError("a line of the head does not end in CRLF (RFC 9112 section 2.2)")
