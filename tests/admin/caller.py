"""Calls the admin API over real sockets: a unix socket, or TCP without a path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.admin.app import create_admin_app
from tests.keyring.house import House

TOKEN = "tha_" + "x" * 40


class Caller:
    """Calls the API and checks what holds for every answer."""

    base = ""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.headers: Mapping[str, str] = {}

    async def __call__(
        self, method: str, path: str, body: Any = None, *, expect: int = 200, **options: Any
    ) -> Any:
        if body is not None:
            options["json"] = body
        url = f"/admin/v1{path}"
        async with self.session.request(method, url, **options) as response:
            answer = await response.json(content_type=None)
            self.headers = response.headers
        assert response.status == expect, answer
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "tollhouse"
        assert response.headers["X-Request-Id"].startswith("req_")
        if expect >= 400:
            assert response.content_type == "application/problem+json"
            assert answer["request_id"] == response.headers["X-Request-Id"]
            assert answer["status"] == expect
        else:
            assert response.content_type == "application/json"
        return answer


@asynccontextmanager
async def serving(
    house: House,
    path: Path | None,
    token: str | None = None,
    *,
    caller: type[Caller] = Caller,
    **parts: Any,
) -> AsyncIterator[Caller]:
    """Serve the admin API over `house`; `parts` are what else `create_admin_app` takes."""
    app = create_admin_app(lambda: house.keyring, token=lambda: token, **parts)
    async with serving_app(app, path, caller) as call:
        yield call


@asynccontextmanager
async def serving_app(
    app: web.Application, path: Path | None, caller: type[Caller] = Caller
) -> AsyncIterator[Caller]:
    """Serve an application on a unix socket, or on TCP."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        if path is not None:
            await web.UnixSite(runner, str(path)).start()
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(str(path))
            base = "http://admin"
        else:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            connector = aiohttp.TCPConnector()
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(base, connector=connector) as session:
            called = caller(session)
            called.base = base
            yield called
    finally:
        await runner.cleanup()


CREATE = {"tenant_id": "ten_a", "name": "CI", "environment": "live", "scopes": ["read"]}
