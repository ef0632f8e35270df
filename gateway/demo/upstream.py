"""The demo backend: enough of an API to see every outcome of the gateway with curl.

Knows aiohttp and made-up records; keeps no state, so it may be restarted at any time. It must not
know keys, scopes or anything else of the gateway: it sees only what a real backend would see.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from aiohttp import WSMsgType, web

Sleep = Callable[[float], Awaitable[None]]

COLLECTIONS: Final = {
    "/api/v1/jobs": ("job", "title", ("Data engineer", "Recruiter", "Site reliability engineer")),
    "/v1/interviews": ("int", "stage", ("Phone screen", "Pairing session", "Final round")),
    "/v1/candidates": ("can", "name", ("Ada Quist", "Noor Haddad", "Tomas Reyes")),
}
"""Path -> id prefix, the field that is shown, and its values."""

SHOWN_BODY_BYTES: Final = 64 * 1024
"""What the echo shows of a body; the rest is counted and hashed, so memory stays flat."""

DOWNLOAD_BYTES_MAX: Final = 64 * 1024**3
WAIT_SECONDS_MAX: Final = 300.0
BLOCK: Final = bytes(range(256)) * 256
"""64 KiB, the unit of `/v1/bytes`."""


def create_demo_app(sleep: Sleep = asyncio.sleep) -> web.Application:
    """Return the demo backend; `sleep` is awaited between events and by `/v1/slow`."""
    app = web.Application()
    for path, (prefix, field, values) in COLLECTIONS.items():
        _Collection(prefix, field, values).mount(app, path)
    timed = _Timed(sleep)
    app.router.add_get("/v1/status", _status)
    app.router.add_get("/v1/events", timed.events)
    app.router.add_get("/v1/slow", timed.slow)
    app.router.add_get("/v1/bytes/{n:[0-9]+}", _download)
    app.router.add_get("/v1/ws", _websocket)
    app.router.add_route("*", "/v1/echo", _echo)
    return app


class _Collection:
    """The five verbs of one resource, over three made-up records."""

    def __init__(self, prefix: str, field: str, values: tuple[str, ...]) -> None:
        self._prefix = prefix
        self._field = field
        self._items = {f"{prefix}_{n}": value for n, value in enumerate(values, start=1)}

    def mount(self, app: web.Application, path: str) -> None:
        app.router.add_get(path, self.list)
        app.router.add_post(path, self.create)
        app.router.add_get(path + "/{id}", self.show)
        app.router.add_patch(path + "/{id}", self.update)
        app.router.add_put(path + "/{id}", self.update)
        app.router.add_delete(path + "/{id}", self.delete)

    async def list(self, request: web.Request) -> web.Response:
        del request
        items = [{"id": key, self._field: value} for key, value in self._items.items()]
        return web.json_response({"data": items})

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(self._item(request.match_info["id"]))

    async def create(self, request: web.Request) -> web.Response:
        made = {**await _json_object(request), "id": f"{self._prefix}_new"}
        location = f"{request.path}/{made['id']}"
        return web.json_response(made, status=201, headers={"Location": location})

    async def update(self, request: web.Request) -> web.Response:
        item = self._item(request.match_info["id"])
        return web.json_response({**item, **await _json_object(request), "id": item["id"]})

    async def delete(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=204)

    def _item(self, key: str) -> dict[str, Any]:
        """Return a record; an unlisted id is answered too, so that every path can be tried."""
        return {"id": key, self._field: self._items.get(key, "Made up on request")}


class _Timed:
    """The handlers that let time pass."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send one server-sent event per second, `?count=` of them or until the client leaves."""
        wanted = _number(request, "count")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        with suppress(ConnectionError):  # who watches a feed leaves it without a word
            for n in count(1):
                event = f"id: {n}\nevent: tick\ndata: {json.dumps({'n': n})}\n\n"
                await response.write(event.encode())
                if wanted is not None and n >= wanted:
                    break
                await self._sleep(1.0)
            await response.write_eof()
        return response

    async def slow(self, request: web.Request) -> web.Response:
        """Answer after `?seconds=` (1 by default)."""
        seconds = _number(request, "seconds")
        seconds = 1.0 if seconds is None else min(seconds, WAIT_SECONDS_MAX)
        await self._sleep(seconds)
        return web.json_response({"waited_seconds": seconds})


async def _status(request: web.Request) -> web.Response:
    del request
    return web.json_response({"status": "ok", "service": "tollhouse demo upstream"})


async def _echo(request: web.Request) -> web.Response:
    """Tell what arrived, so that everything the gateway added, removed or passed on can be seen."""
    digest = hashlib.sha256()
    shown = bytearray()
    size = 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        shown += chunk[: max(0, SHOWN_BODY_BYTES - size)]
        size += len(chunk)
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path.partition("?")[0],
            "query": request.raw_path.partition("?")[2],
            "headers": [[name, value] for name, value in request.headers.items()],
            "body_sha256": digest.hexdigest(),
            "body_bytes": size,
            "body": shown.decode("utf-8", "replace"),
            "body_is_whole": size <= SHOWN_BODY_BYTES,
        }
    )


async def _download(request: web.Request) -> web.StreamResponse:
    """Send exactly `n` bytes of a repeating pattern."""
    size = int(request.match_info["n"])
    if size > DOWNLOAD_BYTES_MAX:
        raise web.HTTPBadRequest(text=f"at most {DOWNLOAD_BYTES_MAX} bytes\n")
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = size
    await response.prepare(request)
    with suppress(ConnectionError):  # a download may be cut off
        if request.method != "HEAD":
            async for block in _pattern(size):
                await response.write(block)
        await response.write_eof()
    return response


async def _pattern(size: int) -> AsyncIterator[bytes]:
    whole, rest = divmod(size, len(BLOCK))
    for _ in range(whole):
        yield BLOCK
    if rest:
        yield BLOCK[:rest]


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    """Give back every text and binary message."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _json_object(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object; an empty body is an empty object."""
    text = await request.text()
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="send a JSON object\n")
    return value


def _number(request: web.Request, name: str) -> float | None:
    """Return the non-negative number of a query parameter, or None without it."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise web.HTTPBadRequest(text=f"{name} must be a number, not negative\n")
    return value
