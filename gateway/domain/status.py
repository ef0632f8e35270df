"""Status lines of the gateway's own answers."""

from __future__ import annotations

from typing import Final

from gateway.domain.dialects.definition import STATUS_TEXTS

_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, text.encode("ascii"))
    for status, text in {200: "OK", **STATUS_TEXTS}.items()
}


def status_line(status: int) -> bytes:
    """Return the status line with its CRLF; an unregistered status has an empty reason phrase (RFC 9112 section 4)."""
    line = _LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d \r\n" % status
