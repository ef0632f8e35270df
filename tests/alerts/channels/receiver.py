"""Takes webhooks on loopback and remembers them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.domain.alert_messages import Waiting, content_of, told
from gateway.domain.alerts import AlertEvent
from tests.alert_samples import NOW, an_alert


class Receiver:
    """What came, and what is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 204
        self.answer_headers: dict[str, str] = {}
        self.answer: Any = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.answer is not None:
            await self.answer()
        return web.Response(status=self.status, headers=self.answer_headers)


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Serve a receiver; with `context` over TLS, for `localhost`."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme, host = ("http", "127.0.0.1") if context is None else ("https", "localhost")
    receiver.url = f"{scheme}://{host}:{runner.addresses[0][1]}/hook?token=s3cr3t"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def a_content(alerts: int = 1, **values: Any) -> dict[str, Any]:
    """Return the content of a message about so many alerts."""
    notices = [told(an_alert(f"alr_{n}", **values), AlertEvent.FIRED) for n in range(alerts)]
    counts = {("fired", "ApiKeyHighErrorRate"): alerts}
    return content_of(Waiting(notices=notices, counts=counts, through=0), "", NOW)
