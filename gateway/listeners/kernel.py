"""What the kernel knows about a connection and the event loop does not tell.

Knows two questions to the operating system; where it cannot answer them, the answer is the careful one. It must not
know what a connection carries.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import Final, Protocol

_RESET: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` with no time: closing a socket resets its connection (socket(7))."""

_ENDED: Final = getattr(select, "POLLRDHUP", 0)
"""Linux: the peer has ended its direction, even if what it sent before was not read yet (poll(2))."""


class HasDescriptor(Protocol):
    """A socket, or what an event loop shows instead of one."""

    def fileno(self) -> int: ...


def unacknowledged_bytes(sock: HasDescriptor | None) -> int:
    """Return how much of what was sent the peer's kernel has not taken yet; 0 where nobody can tell.

    The event loop hears nothing until a third of the kernel's buffer is free, and that buffer may hold megabytes
    (tcp(7), `SIOCOUTQ`): a client that reads slowly, but reads, would look as if it did not.
    """
    if sock is None or sock.fileno() < 0:
        return 0
    answer = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, answer)
    except OSError:
        return 0
    unacknowledged: int = struct.unpack("i", answer)[0]
    return unacknowledged


def has_left(sock: HasDescriptor | None, *, is_half_open: bool) -> bool:
    """Tell whether the peer has reset the connection or, unless that may be, ended its direction.

    For connections that are not read from just now: then the event loop does not look at them either.
    """
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), 0 if is_half_open else _ENDED)
    return bool(poll.poll(0))


def reset_on_close(sock: socket.socket | None) -> None:
    """Let the peer see a reset where an ordinary end would look like the end of a message."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
