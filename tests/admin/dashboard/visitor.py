"""A browser as far as the gateway sees it: cookies, where a request comes from, the field that only our pages know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from gateway.admin.app import create_admin_app
from gateway.config.model import Config, Dashboard
from gateway.domain.admin_tokens import Role
from tests.admin.caller import serving_app
from tests.key_samples import ORDER
from tests.keyring.house import House


class Settings:
    """The configuration in force, as far as the dashboard asks for it."""

    def __init__(self, **values: Any) -> None:
        self.dashboard = Dashboard(**values)

    def __call__(self) -> Config:
        found = SimpleNamespace(dashboard=self.dashboard)
        return cast("Config", found)


class Visitor:
    """Sends what a browser would. `origin` is the page that asks; None says nothing about it."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self.base = base
        self.origin: str | None = base
        self.site: str | None = "same-origin"
        self.csrf = ""
        self.headers: Mapping[str, str] = {}
        self.more: dict[str, str] = {}

    async def __call__(
        self, method: str, path: str, body: Any = None, *, expect: int = 200
    ) -> dict[str, Any]:
        status, text = await self.raw(method, path, body)
        assert status == expect, text
        answer: dict[str, Any] = text if isinstance(text, dict) else {}
        return answer

    async def raw(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = dict(self.more)
        if self.origin is not None and method not in ("GET", "HEAD"):
            headers["Origin"] = self.origin
        if self.site is not None:
            headers["Sec-Fetch-Site"] = self.site
        if self.csrf:
            headers["X-CSRF-Token"] = self.csrf
        options: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if body is not None:
            options["json"] = body
        async with self._session.request(method, self.base + path, **options) as response:
            self.headers = response.headers
            is_json = "json" in response.content_type
            return response.status, await (response.json() if is_json else response.text())

    async def sign_in(self, token: str, expect: int = 201) -> dict[str, Any]:
        shown = await self("POST", "/dashboard/session", {"token": token}, expect=expect)
        self.csrf = shown.get("csrf") or ""
        return shown

    @property
    def cookies(self) -> dict[str, str]:
        return {each.key: each.value for each in self._session.cookie_jar}

    def forget(self) -> None:
        self._session.cookie_jar.clear()


async def a_token(house: House, role: Role = Role.ADMIN, **values: Any) -> tuple[str, str]:
    """Return the id of a new admin token, and its secret."""
    made = await house.keyring.admin_tokens.create(f"a {role}", role, ORDER, **values)
    house.forget()
    return made.record.token_id, made.secret


@asynccontextmanager
async def visiting(
    house: House,
    settings: Settings | None = None,
    *,
    path: Path | None = None,
    token: str | None = None,
) -> AsyncIterator[Visitor]:
    """Serve the admin API and the dashboard; yield a browser that has not been there."""
    app = create_admin_app(
        lambda: house.keyring, token=lambda: token, settings=settings or Settings()
    )
    async with serving_app(app, path) as call:
        base = call.base or "http://localhost:9901"
        jar = aiohttp.CookieJar(unsafe=True)  # addresses keep cookies, too, as in browsers
        connector = None if path is None else aiohttp.UnixConnector(str(path))
        async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as session:
            yield Visitor(session, base)
