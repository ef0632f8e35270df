"""What a service manager such as systemd is told, and what it hands over: sd_notify(3), sd_listen_fds(3).

Knows the two protocols, which are environment variables and datagrams. Without a service manager nothing is said. It
must not know what the process does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Final

FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START."""

_STATUS_LENGTH_MAX: Final = 200


class ServiceManager:
    """Tells the service manager named by `environ` how the service does; it never fails, for nobody may listen."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_seconds = _watchdog_seconds(environ)
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """Say that requests are served, and from now on, as often as it wants to hear it, that the event loop turns."""
        self._tell("READY=1", f"STATUS={status[:_STATUS_LENGTH_MAX]}")
        if self._watchdog_seconds:
            self._stay_alive(asyncio.get_running_loop())

    def status(self, status: str) -> None:
        """Say in a line what the service does; `systemctl status` shows it."""
        self._tell(f"STATUS={status[:_STATUS_LENGTH_MAX]}")

    def stopping(self) -> None:
        """Say that the service ends; the event loop is no longer watched."""
        if self._timer is not None:
            self._timer.cancel()
        self._tell("STOPPING=1", "STATUS=draining")

    def _stay_alive(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tell("WATCHDOG=1")
        # Half of the time that is allowed, as sd_watchdog_enabled(3) advises.
        self._timer = loop.call_later(self._watchdog_seconds / 2, self._stay_alive, loop)

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the NUL of an abstract address.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(assignments).encode(), address)


def inherited_sockets(
    environ: MutableMapping[str, str], pid: int
) -> dict[str, list[socket.socket]]:
    """Take over the listening sockets that were opened for process `pid`, by the names that their units gave them.

    They are taken out of `environ`, so that no child believes they are its own. Raises `ValueError` for what is no
    listening stream socket.
    """
    owner, count, names = (
        environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if not owner.isdigit() or int(owner) != pid or not count.isdigit():
        return {}
    given = names.split(":") if names else []
    sockets: dict[str, list[socket.socket]] = {}
    for index in range(int(count)):
        descriptor = FIRST_DESCRIPTOR + index
        name = given[index] if index < len(given) else "unknown"
        os.set_inheritable(descriptor, False)
        sockets.setdefault(name, []).append(_listening(descriptor, name))
    return sockets


def _listening(descriptor: int, name: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ValueError(
            f"descriptor {descriptor} ({name}) is no socket: {error.strerror}"
        ) from error
    if sock.type is socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return sock
    sock.detach()
    raise ValueError(f"descriptor {descriptor} ({name}) is no listening stream socket")


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return how long the service may be silent; 0 when nobody watches this process."""
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(text) / 1_000_000
