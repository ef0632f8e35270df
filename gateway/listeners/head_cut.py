"""Cuts request heads out of what a client sent, and refuses as early as possible what can no longer become one.

Knows where a head ends and how long it may get. It must not know what stands in it, nor sockets.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Denial, Reason
from gateway.http1.request_head import HeadLimits

_CR: Final = 0x0D
_SPACES: Final = 2
_LINE_BESIDES_TARGET: Final = 64
"""Bytes of a request line that are not its target: method, version and spaces."""


def cut_head(buffer: bytes, limits: HeadLimits) -> tuple[bytes | Denial | None, bytes]:
    """Return the first head of the non-empty `buffer`, None when it is not whole yet, and what stays in the buffer."""
    end = buffer.find(b"\r\n\r\n")
    if buffer[0] == _CR:
        return _skip_empty_line(buffer, limits)
    if 0 <= end <= limits.head_bytes_max:
        end += 4
        return buffer[:end], buffer[end:]
    return _judge(buffer, limits), buffer


def _skip_empty_line(buffer: bytes, limits: HeadLimits) -> tuple[bytes | Denial | None, bytes]:
    """Read past one empty line before a request (RFC 9112 section 2.2), once the request begins behind it.

    Until then it stays in the buffer, so that a client cannot keep a connection alive with empty lines.
    """
    if b"\r\n".startswith(buffer):
        return None, buffer
    if buffer.startswith(b"\r\n") and buffer[2] != _CR:
        return cut_head(buffer[2:], limits)
    return Denial(
        reason=Reason.INVALID_REQUEST, internal="empty lines instead of a request"
    ), buffer


def _judge(buffer: bytes, limits: HeadLimits) -> Denial | None:
    """Return why `buffer`, which holds no head of a legal size, can no longer become one."""
    line_bytes_max = limits.target_bytes_max + _LINE_BESIDES_TARGET
    line_end = buffer.find(b"\r\n")
    if len(buffer) > _LINE_BESIDES_TARGET and b" " not in buffer[:_LINE_BESIDES_TARGET]:
        return Denial(reason=Reason.INVALID_REQUEST, internal="no method (RFC 9112 section 3)")
    if len(buffer) > line_bytes_max and not 0 <= line_end <= line_bytes_max:
        return Denial(reason=Reason.URI_TOO_LONG)
    if line_end >= 0 and buffer.count(b" ", 0, line_end) != _SPACES:
        return Denial(
            reason=Reason.INVALID_REQUEST,
            internal="request line is not `method SP target SP version` (RFC 9112 section 3)",
        )
    if len(buffer) > limits.head_bytes_max:
        return Denial(reason=Reason.HEADERS_TOO_LARGE, internal=f"{len(buffer)} bytes")
    if not 0x20 < buffer[0] < 0x7F:
        return Denial(
            reason=Reason.INVALID_REQUEST, internal="not HTTP; perhaps TLS on a port without it"
        )
    if buffer.count(b"\n") != buffer.count(b"\r\n"):
        return Denial(
            reason=Reason.INVALID_REQUEST,
            internal="a line does not end in CRLF (RFC 9112 section 2.2)",
        )
    return None
