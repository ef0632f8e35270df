"""Who may use the admin API, and under which name their changes are recorded.

Knows two credentials: the mode of a unix socket's file, and one bearer token. On TCP the token is
indispensable, because every local process can connect there. A key of the data plane never opens
this door.
"""

from __future__ import annotations

import hmac
import socket
import struct
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.domain.change import Actor

ACTOR: Final = web.RequestKey("actor", Actor)
H = TypeVar("H", bound=Callable[..., object])
_USER_AGENT_LENGTH_MAX: Final = 200
_PEER: Final = struct.Struct("3i")  # pid, uid, gid of `struct ucred` (unix(7), SO_PEERCRED)


def open_to_all(handler: H) -> H:
    """Let everybody call `handler`: what it asks for instead is its own affair."""
    handler.is_open_to_all = True  # type: ignore[attr-defined]
    return handler


def authentication(token: Callable[[], str | None]) -> Middleware:
    """Return the middleware that lets in who knows the token of the moment; None trusts unix sockets and only them."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if getattr(request.match_info.handler, "is_open_to_all", False):
            return await handler(request)
        known = token()
        expected = None if known is None else f"bearer {known}".encode()
        peer = _peer_user(request)
        if expected is None and not peer:
            raise web.HTTPForbidden(reason="A TCP listener of the admin API needs a token.")
        if expected is not None and not _knows(request, expected):
            raise web.HTTPUnauthorized(
                headers={"WWW-Authenticate": 'Bearer realm="tollhouse admin"'},
                reason="A valid admin token is required.",
            )
        request[ACTOR] = Actor(
            kind="admin",
            name=peer or "token",
            address=request.remote or "",
            user_agent=request.headers.get("User-Agent", "")[:_USER_AGENT_LENGTH_MAX],
        )
        return await handler(request)

    return authenticate


def _knows(request: web.Request, expected: bytes) -> bool:
    values = request.headers.getall("Authorization", [])
    if len(values) != 1:
        return False
    scheme, _, token = values[0].partition(" ")
    given = f"{scheme.lower()} {token.strip()}".encode(errors="replace")
    return hmac.compare_digest(given, expected)


def _peer_user(request: web.Request) -> str:
    """Return `uid:<n>` of the process at the other end of a unix socket; empty on TCP."""
    sock = request.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return ""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return "unix socket"
    return f"uid:{_PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1]}"
