"""Binds listening sockets: TCP, or unix sockets with the mode that guards them."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from gateway.assembly.errors import CannotStart
from gateway.config.load import anchored
from gateway.config.model import split_bind


class BindError(CannotStart):
    """A socket could not be bound; the text says which and why."""


def bind(setting: str, config_path: Path, *, mode: int = 0o600) -> socket.socket:
    """Return a bound, non-blocking socket for `host:port` or `unix:path`; raises `BindError`.

    A unix socket gets `mode` before anybody can connect, and replaces one that a dead process left.
    """
    host, port = split_bind(setting)
    try:
        sock = _bind_unix(anchored(config_path, host), mode) if port < 0 else _bind_tcp(host, port)
    except OSError as error:
        raise BindError(f"cannot listen on {setting}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


def _bind_tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path, mode: int) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_served(path):
            path.unlink()
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
    except OSError:
        sock.close()
        raise
    return sock


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False


def unbind(sock: socket.socket, name: object) -> None:
    """Close a socket that `bind` made, and remove its file; `name` is what `getsockname` said when it was bound."""
    sock.close()
    if isinstance(name, str) and name:
        Path(name).unlink(missing_ok=True)


def describe(sock: socket.socket) -> str:
    """Return `host:port` or `unix:path`, as it is bound now (port 0 was replaced by a real one)."""
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
