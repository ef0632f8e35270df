"""The dashboard over HTTP: its files, and signing in and out.

Knows paths and header fields. Everything else that the pages show and do, they do over the admin API, as whoever is
signed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from pydantic import Field

from gateway import __version__
from gateway.admin.auth import Doorkeeper, Principal
from gateway.admin.dashboard.browser import (
    read_cookie,
    require_host,
    require_own_page,
    write_cookie,
)
from gateway.admin.dashboard.sessions import Credential, Session, Sessions, fingerprint
from gateway.admin.dashboard.shelf import PREFIX, Asset, Shelf, load
from gateway.admin.described import Description, describes, shows
from gateway.admin.requests import answer, read_body, read_query
from gateway.admin.rights import needs, open_to_all
from gateway.admin.shapes import Shape, View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import RIGHTS, Right, Role

HOME: Final = "/dashboard/"
SESSION: Final = "/dashboard/session"
_TOKEN_LENGTH_MAX: Final = 512
_YEAR: Final = 31_536_000

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class SignIn(Shape):
    """The body of `POST /dashboard/session`."""

    token: str = Field(min_length=1, max_length=_TOKEN_LENGTH_MAX, repr=False)


class SessionView(View):
    """Who is signed in, as what, and what a change has to bring along (`csrf`, in the field `X-CSRF-Token`)."""

    name: str
    role: Role
    rights: tuple[Right, ...]
    token_id: str | None
    tenant_id: str | None
    expires_at: str | None
    csrf: str
    idle_seconds: float
    allowlist_name: str
    version: str


class WhoIsThere(View):
    """The answer to `GET /dashboard/session`: nobody being signed in is no error."""

    session: SessionView | None


class DashboardRoutes:
    """The handlers under `/dashboard`."""

    def __init__(
        self, door: Doorkeeper, sessions: Sessions, read: Callable[[], Shelf] = load
    ) -> None:
        self._door = door
        self._sessions = sessions
        self._settings = sessions.settings
        self._read = read
        self._shelf: Shelf | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/", self.home),
            web.get("/dashboard", self.home),
            web.post(SESSION, self.sign_in),
            web.get(SESSION, self.show, allow_head=False),
            web.delete(SESSION, self.sign_out),
            web.get(
                f"{PREFIX}{{version:[0-9a-f]{{1,64}}}}/{{path:[a-z0-9/._-]{{1,200}}}}", self.asset
            ),
            web.get(f"{HOME}{{page:[^?]{{0,500}}}}", self.page),
        ]

    @open_to_all
    async def home(self, request: web.Request) -> web.Response:
        """Lead to the dashboard."""
        self._require(request)
        return web.Response(status=302, headers={"Location": HOME})

    @open_to_all
    async def page(self, request: web.Request) -> web.Response:
        """Answer with the one page; which of its views is shown, it reads from its own address."""
        self._require(request)
        shelf = await self._files()
        return _sent(request, shelf.index, "no-cache")

    @open_to_all
    async def asset(self, request: web.Request) -> web.Response:
        """Answer with a file. One of another version is not there: the page that asks for it is to be loaded again."""
        self._require(request)
        shelf = await self._files()
        found = shelf.assets.get(request.match_info["path"])
        if found is None or request.match_info["version"] != shelf.version:
            raise web.HTTPNotFound
        return _sent(request, found, f"public, max-age={_YEAR}, immutable")

    @open_to_all
    @describes(Description(body=SignIn, answer=SessionView, status=201, errors=(401, 403, 429)))
    async def sign_in(self, request: web.Request) -> web.Response:
        """Begin a session with an admin token."""
        self._require(request)
        require_own_page(request)
        read_query(request, ())
        body = await read_body(request, SignIn)
        given = body.token.strip()
        principal = await self._door.sign_in(request, given.encode())
        self._sessions.end(read_cookie(request))
        cookie, session = self._sessions.begin(_credential(principal, given))
        response = answer(self._view(principal, session), status=201)
        write_cookie(request, response, cookie)
        return response

    @open_to_all
    @shows(WhoIsThere)
    async def show(self, request: web.Request) -> web.Response:
        """Tell who is signed in."""
        self._require(request)
        read_query(request, ())
        principal = await self._door.of_cookie(request)
        session = self._sessions.find(read_cookie(request), is_touched=False)
        if principal is None or session is None:
            return answer(WhoIsThere(session=None))
        return answer(WhoIsThere(session=self._view(principal, session)))

    @needs(Right.READ, is_filtered=True)
    @shows(WhoIsThere)
    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        self._require(request)
        read_query(request, ())
        self._sessions.end(read_cookie(request))
        response = answer(WhoIsThere(session=None))
        write_cookie(request, response, "")
        return response

    def _require(self, request: web.Request) -> None:
        settings = self._settings()
        if not settings.enabled:
            raise web.HTTPNotFound
        require_host(request, settings.hosts)

    async def _files(self) -> Shelf:
        if self._shelf is None:
            self._shelf = await asyncio.to_thread(self._read)
        return self._shelf

    def _view(self, principal: Principal, session: Session) -> SessionView:
        token = principal.token
        return SessionView(
            name=token.name if token else principal.actor.name,
            role=principal.role,
            rights=tuple(right for right in Right if right in RIGHTS[principal.role]),
            token_id=token.token_id if token else None,
            tenant_id=principal.reach.tenant_id or None,
            expires_at=instant(token.expires_at) if token else None,
            csrf=session.csrf,
            idle_seconds=round(self._sessions.seconds_left(session), 3),
            allowlist_name=self._settings().allowlist_name,
            version=__version__,
        )


def _credential(principal: Principal, given: str) -> Credential:
    token = principal.token
    return Credential(
        token_id=token.token_id if token else "",
        role=principal.role,
        tenant_id=principal.reach.tenant_id,
        fingerprint=fingerprint(given.encode()),
    )


def _sent(request: web.Request, asset: Asset, caching: str) -> web.Response:
    headers = {
        "Cache-Control": caching,
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": asset.tag,
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
    }
    if asset.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"], body = "gzip", asset.packed
    return web.Response(body=body, headers=headers, content_type=asset.kind, charset="utf-8")
