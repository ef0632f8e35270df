"""Binds listening sockets: TCP, or unix sockets with the mode that guards them."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.assembly.errors import CannotStart
from gateway.config.model import split_bind
from gateway.config.places import anchored

_log = logging.getLogger(__name__)

_EARLY_MAX: Final = 128
"""Connections that wait while we start; the listener then asks for its own number."""


_TURN_SECONDS: Final = 2.0
"""How long a gateway waits for another one that starts; binding takes milliseconds."""


class BindError(CannotStart):
    """A socket could not be bound; the text says which and why."""


@contextmanager
def bound(
    setting: str, config_path: Path, *, mode: int = 0o600, given: Sequence[socket.socket] = ()
) -> Iterator[socket.socket]:
    """Hold a listening, non-blocking socket for `host:port` or `unix:path`; raises `BindError`.

    It listens from the start: of two gateways that start at the same time, both could bind one port, and only
    listening tells which of them has it. Who connects before we serve waits. A unix socket gets `mode` before anybody
    can connect, replaces one that a dead process left, and its file is removed at the end.
    """
    with bound_for(1, setting, config_path, mode=mode, given=given) as (sock,):
        yield sock


@contextmanager
def bound_for(
    workers: int,
    setting: str,
    config_path: Path,
    *,
    mode: int = 0o600,
    given: Sequence[socket.socket] = (),
) -> Iterator[list[socket.socket]]:
    """Hold the sockets on which that many workers listen together, as `bound` does.

    For TCP on Linux that is one for each: the kernel deals connections out evenly. Elsewhere it is one for all, and so
    it is for a socket that a service manager has `given` us: it stays open while we are replaced, so that whoever
    connects meanwhile waits instead of being refused.
    """
    if given:
        yield _taken(given, setting, config_path)
        return
    host, port = split_bind(setting)
    try:
        if port < 0:
            socks = [_bind_unix(anchored(config_path, host), mode)]
        elif workers > 1 and sys.platform == "linux":
            socks = _bind_group(host, port, workers)
        else:
            socks = [_bind_tcp(host, port)]
    except OSError as error:
        raise BindError(f"cannot listen on {setting}: {error.strerror or error}") from error
    for sock in socks:
        sock.setblocking(False)
    file = _file_of(socks[0])
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()
        if file is not None:
            _remove(*file)


def _taken(given: Sequence[socket.socket], setting: str, config_path: Path) -> list[socket.socket]:
    """Return the one socket that was given for `setting`. Its file, if it has one, is the giver's."""
    if len(given) > 1:
        raise BindError(f"{len(given)} sockets were given for {setting}: one is served")
    [sock] = given
    host, port = split_bind(setting)
    wanted = f"unix:{anchored(config_path, host)}" if port < 0 else setting
    found = describe(sock)
    if found != wanted:
        _log.warning("the service manager listens on %s, the configuration says %s", found, wanted)
    sock.setblocking(False)
    return [sock]


def _bind_group(host: str, port: int, count: int) -> list[socket.socket]:
    """Bind `count` sockets to one port. Raises `OSError` when anybody else listens there.

    With SO_REUSEPORT another gateway of the same user could join the group and take a part of the connections. So the
    port is first taken by one socket that shares with nobody, and is given up for the group by one gateway at a time.
    """
    with ExitStack() as stack, _bind_tcp(host, port) as alone:
        port = alone.getsockname()[1]
        with _turn_for(port):
            alone.close()
            socks = [stack.enter_context(_bind_tcp(host, port, shares=True)) for _ in range(count)]
        stack.pop_all()
    return socks


@contextmanager
def _turn_for(port: int) -> Iterator[None]:
    """Keep other gateways from binding a group to `port`, for a moment: a name that one process at a time can have."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as turn:
        deadline = time.monotonic() + _TURN_SECONDS
        while True:
            try:
                turn.bind(f"\0tollhouse listens on {port}")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield


def _bind_tcp(host: str, port: int, *, shares: bool = False) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_EARLY_MAX)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path, mode: int) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            if path.is_socket() and _is_dead(path):
                path.unlink()
            before = os.umask(0o777 & ~mode)
            try:
                sock.bind(str(path))
            finally:
                os.umask(before)
            sock.listen(_EARLY_MAX)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others of our kind from taking, in `folder`, a socket for dead that is bound and does not listen yet."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_dead(path: Path) -> bool:
    """Tell whether nobody listens any more. Only a refusal says so: a busy server, or another user's, is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _file_of(sock: socket.socket) -> tuple[Path, int] | None:
    """Return the file of a unix socket and its inode, None for TCP. A closed socket could not tell any more."""
    name = sock.getsockname()
    return (Path(name), Path(name).stat().st_ino) if isinstance(name, str) else None


def _remove(path: Path, inode: int) -> None:
    """Remove the file, unless another process has meanwhile put its own socket there."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def describe(sock: socket.socket) -> str:
    """Return `host:port` or `unix:path`, as it is bound now (port 0 was replaced by a real one)."""
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
