"""Judges the beginning of a response, so that what speaks no HTTP is refused at once and not after a timeout.

Knows how long a head may get and how it begins. It must not know what stands in it, nor sockets.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES_MAX: Final = 65536

_VERSION: Final = b"HTTP/1."


def fault_of(buffer: bytes) -> str:
    """Return why `buffer`, which holds no head of a legal size, can no longer become one; empty if it can."""
    if len(buffer) > HEAD_BYTES_MAX:
        return f"response head exceeds {HEAD_BYTES_MAX} bytes"
    if buffer[: len(_VERSION)] != _VERSION[: len(buffer)]:
        return "what it speaks is not HTTP/1"
    if buffer.count(b"\n") != buffer.count(b"\r\n"):
        return "a line of the head does not end in CRLF (RFC 9112 section 2.2)"
    return ""
