"""Reads message bodies as they come: where a body ends, and which of its bytes are content.

Knows the three ways in which a body is delimited (RFC 9112 section 6.3). Nothing is gathered: every call returns the
content that it was given. Framing is never passed through: the other side is told the same content in fresh framing,
so no byte of a sender can be read there as the start of another message.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from gateway.domain.request import CHUNKED, UNTIL_CLOSE
from gateway.http1.fields import MessageError

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION: Final = (
    rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
)
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
_TRAILER: Final = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
_SIZE_LINE_BYTES_MAX: Final = 256
_TRAILERS_BYTES_MAX: Final = 8192
_EXTENSION_BYTES_MAX: Final = 8192
"""Bytes of extensions beyond the content that came with them: no body is made of extensions (CVE-2023-39326)."""

_NOT_IN_TRAILERS: Final = frozenset(
    {
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range", b"content-type",
        b"cookie", b"expect", b"host", b"max-forwards", b"proxy-authorization", b"range", b"te", b"trailer",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""Fields of framing, routing, authentication and content, and request modifiers (RFC 9110 section 6.5.1): whoever
merged one into the head would read another message."""

_AT_SIZE: Final = -1
_AT_TRAILERS: Final = -2

LAST_CHUNK: Final = b"0\r\n\r\n"


class Body(Protocol):
    """An incremental reader of one body."""

    is_complete: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data` and what follows the body; raises `MessageError`."""
        ...

    def end(self) -> bool:
        """Tell whether the body is whole when its connection ends now."""
        ...


class LengthBody:
    """A body of a known number of bytes."""

    __slots__ = ("is_complete", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.is_complete = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data` and what follows the body."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data, b""
        content, rest = data, b""
        if size > self.remaining:
            content, rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.is_complete = True
        return content, rest

    def end(self) -> bool:
        """Tell whether every announced byte came."""
        return self.is_complete


class UntilCloseBody:
    """A body that ends with its connection; only responses and tunnels have it."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return everything as content."""
        return data, b""

    def end(self) -> bool:
        """Accept the end: there is no other sign of it."""
        self.is_complete = True
        return True


class ChunkedBody:
    """A body in the chunked transfer coding (RFC 9112 section 7.1).

    Sizes are plain hexadecimal of at most 15 digits; lines end in CRLF and nothing else. Extensions are read past and
    never forwarded; trailers are checked, bounded and dropped (RFC 9110 section 6.5.1 lets an intermediary do so), but
    one that must not be a trailer is refused. At most one unfinished line is kept between calls.
    """

    __slots__ = ("_buffer", "_extension_bytes", "_remaining", "_trailer_bytes", "is_complete")

    def __init__(self) -> None:
        self._buffer = b""
        self._remaining = _AT_SIZE  # or `_AT_TRAILERS`, or the bytes of this chunk before its CRLF
        self._trailer_bytes = 0
        self._extension_bytes = 0
        self.is_complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data` and what follows the last chunk."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        content: list[bytes] = []
        position = 0
        while not self.is_complete:
            if self._remaining >= 0:
                step = self._take_chunk(data, position, content)
            else:
                step = self._take_line(data, position)
            if step < 0:
                break
            position = step
        else:
            return b"".join(content), data[position:]
        return content[0] if len(content) == 1 else b"".join(content), b""

    def end(self) -> bool:
        """Tell whether the last chunk came."""
        return self.is_complete

    def _take_chunk(self, data: bytes, position: int, content: list[bytes]) -> int:
        """Take content of the current chunk; return the new position, or -1 when more bytes are needed."""
        available = len(data) - position
        if self._remaining:
            if available == 0:
                return -1
            taken = min(available, self._remaining)
            content.append(data[position : position + taken])
            self._remaining -= taken
            return position + taken
        if available < 2:
            if available and data[position] != 0x0D:
                raise MessageError("chunk does not end in CRLF (RFC 9112 section 7.1)")
            self._buffer = data[position:]
            return -1
        if data[position : position + 2] != b"\r\n":
            raise MessageError("chunk does not end in CRLF (RFC 9112 section 7.1)")
        self._remaining = _AT_SIZE
        return position + 2

    def _take_line(self, data: bytes, position: int) -> int:
        """Take a size line or a trailer line; return the new position, or -1 when more bytes are needed."""
        is_trailer = self._remaining == _AT_TRAILERS
        room = _TRAILERS_BYTES_MAX - self._trailer_bytes if is_trailer else _SIZE_LINE_BYTES_MAX
        end = data.find(b"\n", position)
        if (end if end >= 0 else len(data)) - position > room:
            raise MessageError("chunk size line or trailers are too long (RFC 9112 section 7.1)")
        if end < 0:
            self._buffer = data[position:]
            return -1
        if end == position or data[end - 1] != 0x0D:
            raise MessageError("line of a chunked body does not end in CRLF (RFC 9112 section 7.1)")
        line = data[position : end - 1]
        if is_trailer:
            self._take_trailer(line)
        else:
            self._take_size(line)
        return end + 1

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise MessageError("malformed chunk size or extension (RFC 9112 section 7.1)")
        size = int(found[1], 16)
        extension_bytes = len(line) - found.end(1)
        if extension_bytes:
            self._extension_bytes = max(0, self._extension_bytes + extension_bytes - size)
            if self._extension_bytes > _EXTENSION_BYTES_MAX:
                raise MessageError("chunk extensions outweigh the content (RFC 9112 section 7.1.1)")
        self._remaining = size or _AT_TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        if not line:
            self.is_complete = True
        elif _TRAILER.fullmatch(line) is None:
            raise MessageError("malformed trailer (RFC 9112 section 7.1.2)")
        elif line[: line.index(b":")].lower() in _NOT_IN_TRAILERS:
            raise MessageError("trailer that belongs into the head (RFC 9112 section 7.1.2)")


WHOLE: Final[Body] = LengthBody(0)
"""The reader of every body that is whole already: being fed does not change it, so one serves all."""


def body_reader(body_length: int) -> Body:
    """Return the reader for a head's `body_length`."""
    if body_length == 0:
        return WHOLE
    if body_length == CHUNKED:
        return ChunkedBody()
    if body_length == UNTIL_CLOSE:
        return UntilCloseBody()
    return LengthBody(body_length)


def chunk(content: bytes) -> bytes:
    """Frame non-empty content as one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)
