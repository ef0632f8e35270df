"""The `Date` field (RFC 9110 section 5.6.7), written once a second."""

from __future__ import annotations

from email.utils import formatdate


class DateLine:
    """Remembers the line for the current second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def at(self, now: float) -> bytes:
        """Return `Date: ...` with CRLF for `now` in epoch seconds."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._line
