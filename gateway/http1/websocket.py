"""Follows a WebSocket through a tunnel (RFC 6455 section 5), so that the gateway can end it in the protocol's words.

Knows where frames end, and the one frame that the gateway ever says itself. It changes no byte, and must not know
messages, compression or what either side means.
"""

from __future__ import annotations

from typing import Final

GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
"""Close codes (RFC 6455 section 7.4.1)."""

_FRAMES_MAX: Final = 1024
"""Frames that are followed in one read; each costs a quarter of a microsecond."""

_NOWHERE: Final = 2**64
"""What is left of a frame that never ends: longer than any frame may be (63 bits)."""

_CLOSE: Final = 0x88
_MASK: Final = 0x80
_MASK_BYTES: Final = 4
_LENGTH: Final = 0x7F
_SHORT_MAX: Final = 125
_LENGTH_BYTES: Final = {126: 2, 127: 8}


class FrameTrail:
    """Where the frames of one direction end. It is lost, for good, in a read of very many frames, and ends with the
    close frame, after which nothing may be said.
    """

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # the first bytes of a frame whose header is not whole yet
        self._left = 0  # bytes of the current frame that have not come yet

    @property
    def is_between(self) -> bool:
        """Tell whether the last frame is whole and the next one has not begun."""
        return self._left == 0 and not self._header

    def follow(self, data: bytes) -> bytes:
        """Follow the next bytes, and return them."""
        if self._left >= len(data):
            self._left -= len(data) if self._left < _NOWHERE else 0
        else:
            self._walk(self._header + data if self._header else data)
        return data

    def _walk(self, data: bytes) -> None:
        position, size = self._left, len(data)
        self._header = b""
        for _ in range(_FRAMES_MAX):
            if position >= size:
                self._left = position - size
                return
            end = _frame_end(data, position)
            if end < 0:
                self._header, self._left = data[position:], 0
                return
            if data[position] == _CLOSE:
                break
            position = end
        self._left = _NOWHERE


def _frame_end(data: bytes, start: int) -> int:
    """Return where the frame that begins at `start` ends, or -1 as long as its length is not known."""
    size = start + 2
    if size > len(data):
        return -1
    length = data[start + 1] & _LENGTH
    if length > _SHORT_MAX:
        size += _LENGTH_BYTES[length]
        if size > len(data):
            return -1
        length = int.from_bytes(data[start + 2 : size])
    if data[start + 1] & _MASK:
        size += _MASK_BYTES
    return size + length


def close_frame(code: int, reason: str) -> bytes:
    """Return the frame with which a server closes (RFC 6455 section 5.5.1); `reason` is ASCII, at most 123 bytes."""
    payload = code.to_bytes(2) + reason.encode("ascii")
    return bytes((_CLOSE, len(payload))) + payload
