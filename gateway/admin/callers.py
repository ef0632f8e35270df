"""Whoever connects to one of our aiohttp applications: how many may, for how long, and what is said to bytes that are
no request.

Knows that such a listener may be open to strangers (links that hand over keys are), that its descriptors are those of
the whole gateway, and that aiohttp bounds neither. It must not know what is served.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gateway.admin.problems import SERVER, problem

FIRST_REQUEST_SECONDS: Final = 10.0
"""Time for the handshake of TLS, and again from there to the end of the first head, as `head_timeout` of clients."""

IDLE_SECONDS: Final = 3700.0
"""Time from an answer to the end of the next head: longer than proxies in front keep theirs (Envoy an hour), so that
they close first. It costs nobody a place, since whoever is idle makes room."""

_log = logging.getLogger(__name__)


class Callers:
    """Makes the connections of one listener; at most `connections_max` are kept. `web.Server` is what they ask.

    A further one takes the place of the one that has been idle for longest; when none is, it is closed itself.
    """

    def __init__(
        self,
        server: web.Server,
        connections_max: int,
        *,
        first_request_seconds: float = FIRST_REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._server = server
        self._connections_max = connections_max
        self._first_request_seconds = first_request_seconds
        self._idle_seconds = idle_seconds
        self._idle: dict[Caller, None] = {}  # who has been idle for longest comes first
        self._busy: set[Caller] = set()
        self._answer = server.request_handler
        server.request_handler = self._handle

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def __call__(self) -> Caller:
        """Return the protocol of a connection that is being accepted."""
        return Caller(self, self._server)

    async def serve(self, sock: socket.socket, context: ssl.SSLContext | None) -> asyncio.Server:
        """Accept connections on `sock` until the server that is returned is closed."""
        handshake = None if context is None else self._first_request_seconds
        return await self.loop.create_server(
            self, sock=sock, ssl=context, ssl_handshake_timeout=handshake, backlog=128
        )

    def opened(self, caller: Caller) -> None:
        """Keep a connection, and make room for it."""
        self._wait(caller, self._first_request_seconds)
        if len(self) > self._connections_max:
            next(iter(self._idle)).break_off()

    def closed(self, caller: Caller) -> None:
        """Forget a connection."""
        caller.stop_waiting()
        self._idle.pop(caller, None)
        self._busy.discard(caller)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; while that is done nobody waits for its sender."""
        caller = request.protocol
        if not isinstance(caller, Caller) or caller not in self._idle:
            return await self._answer(request)  # the connection is gone
        caller.stop_waiting()
        del self._idle[caller]
        self._busy.add(caller)
        try:
            return await self._answer(request)
        finally:
            if caller in self._busy:
                self._busy.discard(caller)
                self._wait(caller, self._idle_seconds)

    def _wait(self, caller: Caller, seconds: float) -> None:
        self._idle[caller] = None
        caller.wait(seconds)


class Caller(web.RequestHandler):
    """One connection."""

    __slots__ = ("_callers", "_deadline")

    def __init__(self, callers: Callers, server: web.Server) -> None:
        # Nothing is unpacked: 400 KB of a stranger would keep the event loop, and with it all clients, for a second.
        super().__init__(
            server,
            loop=callers.loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
        )
        self._callers = callers
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._callers.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._callers.closed(self)
        super().connection_lost(exc)

    def wait(self, seconds: float) -> None:
        """Give the other end that long for the head of a request."""
        self._deadline = self._callers.loop.call_later(seconds, self.break_off)

    def stop_waiting(self) -> None:
        """A request came, or none will."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def break_off(self) -> None:
        """Close the connection, whatever the other end thinks of it."""
        self._callers.closed(self)
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        """Answer what is no request. What aiohttp says of it holds the line with the fault: a cookie, a token, a link.

        Nothing of it is logged or sent back, and a stranger who sends such bytes fills no log.
        """
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, None)
        _log.debug("%s sent what is no request: %s", request.remote, type(exc).__name__)
        request_id = f"req_{secrets.token_hex(16)}"
        response = problem(status, "This is no request that can be read.", request_id)
        response.headers.update({"X-Request-Id": request_id, "Cache-Control": "no-store"})
        response.headers["Server"] = SERVER
        response.force_close()
        return response
