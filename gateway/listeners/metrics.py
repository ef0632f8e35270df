"""The listener for machines that watch the gateway: metrics and probes, without any other right.

Knows three paths. It must not know what is measured or what makes the gateway ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

Render = Callable[[str], tuple[bytes, str]]
"""Takes an `Accept` header, returns the exposition and its content type. Runs in a thread."""

IsReady = Callable[[], tuple[bool, Mapping[str, Any]]]
"""Returns whether requests may be sent here, and JSON details (the reasons when they may not)."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_logger = logging.getLogger(__name__)


async def _nothing() -> None:
    """Look nowhere."""


def create_metrics_app(
    render: Render, is_ready: IsReady, look: Callable[[], Awaitable[None]] = _nothing
) -> web.Application:
    """Return the application with `/metrics`, `/livez` and `/readyz` (GET and HEAD).

    `/livez` is 200 while the event loop turns; `/readyz` is 503 with the reasons while the gateway
    should get no requests; everything else is 404. `look` is awaited before metrics are rendered.
    """

    async def livez(_: web.Request) -> web.Response:
        return _json(200, {"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        is_up, details = is_ready()
        status = "ready" if is_up else "not_ready"
        return _json(200 if is_up else 503, {"status": status, **details})

    async def nothing(_: web.Request) -> web.Response:
        return _json(404, {"error": "not_found", "paths": ["/metrics", "/livez", "/readyz"]})

    async def sign(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "tollhouse"  # not which versions of what run here

    app = web.Application()
    app.on_response_prepare.append(sign)
    app.router.add_get("/metrics", _metrics_handler(render, look))
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_route("*", "/{tail:.*}", nothing)
    return app


def _metrics_handler(
    render: Render, look: Callable[[], Awaitable[None]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def metrics(request: web.Request) -> web.Response:
        try:
            await look()
            # Thousands of series take milliseconds to write down: not on the loop that serves.
            body, content_type = await asyncio.to_thread(render, request.headers.get("Accept", ""))
        except Exception:
            _logger.exception("the metrics could not be rendered")
            return _json(500, {"error": "internal"})
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": content_type})

    return metrics


def _json(status: int, value: Mapping[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(value), content_type="application/json", headers=_HEADERS
    )
