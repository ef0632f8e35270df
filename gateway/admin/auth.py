"""Who may use the admin API, for what, and under which name their changes are recorded.

Knows four credentials: the mode of a unix socket's file, the one token of the configuration (a way in when all others
are lost), the admin tokens of the store, and the cookie of a browser that signed in with one of these tokens. On TCP a
token is indispensable, because every local process can connect there. A key of the data plane never opens this
door.
"""

from __future__ import annotations

import hmac
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.admin.dashboard import browser
from gateway.admin.dashboard.sessions import Sessions
from gateway.admin.problems import REQUEST_ID, BadRequest, Throttled
from gateway.admin.reach import NAMED, Reach
from gateway.admin.rights import is_filtered, is_open, needs, open_to_all, right_of
from gateway.admin.whence import Addresses, client_address
from gateway.domain.admin_tokens import RIGHTS, AdminToken, Right, Role, roles_with
from gateway.domain.change import Actor, ChangeType
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.networks import fold_address
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound
from gateway.limiters.throttle import AddressThrottle
from gateway.ports import StoreUnavailable

ACTOR: Final = web.RequestKey("actor", Actor)

FAILURES_MAX: Final = 10
FAILURES_SECONDS: Final = 60.0
"""An address may come with this many wrong tokens at once, and then with one per 6 seconds."""

TOLD_FAILURES_MAX: Final = 100
TOLD_FAILURES_SECONDS: Final = 3600.0
"""So many failed logins are audited at once, and so many per hour, from however many addresses: the trail is kept."""

LOGIN_SECONDS: Final = 3600.0
"""A token that keeps coming from one address is told once in this time."""

_ADDRESSES_MAX: Final = 10_000
_LOGINS_MAX: Final = 10_000
_IPV6_PREFIX: Final = 64  # what one subscriber holds
_USER_AGENT_LENGTH_MAX: Final = 200
_PEER: Final = struct.Struct("3i")  # pid, uid, gid of `struct ucred` (unix(7), SO_PEERCRED)

CSRF: Final = "X-CSRF-Token"
"""The field with what only our own pages can read; every change that comes with a cookie needs it."""

BY_ITSELF: Final = "X-Refresh"
"""The field of requests that a page makes by itself: they keep no session alive."""

_log = logging.getLogger(__name__)

__all__ = ["ACTOR", "PRINCIPAL", "Doorkeeper", "Principal", "needs", "open_to_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever asks. `token` is None for a peer of a unix socket and for the token of the configuration."""

    actor: Actor
    role: Role
    reach: Reach
    token: AdminToken | None = None

    def has(self, right: Right) -> bool:
        """Tell whether the role includes `right`."""
        return right in RIGHTS[self.role]

    def require(self, right: Right) -> None:
        """Raise `BadRequest` (403) that names the roles that would do, unless the role includes `right`."""
        if not self.has(right):
            roles = " or ".join(roles_with(right))
            raise BadRequest(403, f"This needs the role {roles}; yours is {self.role}.")


PRINCIPAL: Final = web.RequestKey("principal", Principal)


class Doorkeeper:
    """Lets in who has a credential, for what its role may do, and remembers who failed.

    `token` returns the token of the configuration, None for none; `addresses` whose word on clients' addresses counts.
    `sessions` are those of the dashboard, where it is served. `untold` is called for each login that the audit trail
    could not be told of.
    """

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        token: Callable[[], str | None],
        addresses: Addresses = ClientAddressResolver,
        sessions: Sessions | None = None,
        untold: Callable[[], None] = lambda: None,
    ) -> None:
        self._untold = untold
        self._keyring = keyring
        self._token = token
        self._addresses = addresses
        self._sessions = sessions
        clock = keyring().admin_tokens.clock
        self._clock = clock
        self._throttle = AddressThrottle(clock, FAILURES_MAX, FAILURES_SECONDS, _ADDRESSES_MAX)
        self._told = AddressThrottle(clock, TOLD_FAILURES_MAX, TOLD_FAILURES_SECONDS, 1)
        self._logins: OrderedDict[tuple[str, str], float] = OrderedDict()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Judge who asks, before anything is read of what they ask."""
        wanted = request.match_info.handler
        if is_open(wanted):
            return await handler(request)
        principal = await self._principal(request)
        request[PRINCIPAL], request[ACTOR] = principal, principal.actor
        if request.match_info.http_exception is None:
            await _admit(request, wanted, principal)
        return await handler(request)

    async def sign_in(self, request: web.Request, given: bytes) -> Principal:
        """Return whom the token `given` stands for, told and throttled like any login. Raises an HTTP error."""
        return await self._of_token(request, given, is_sign_in=True)

    async def _principal(self, request: web.Request) -> Principal:
        """Return who asks. Raises an HTTP error for whoever must not."""
        if "Authorization" in request.headers:
            return await self._of_token(request, _bearer(request))
        signed_in = await self.of_cookie(request)
        if signed_in is not None:
            return signed_in
        peer = _peer_user(request)
        if not peer or self._token() is not None or browser.is_from_browser(request):
            raise _unauthorized()
        if browser.is_rebound(request):
            raise BadRequest(421, "This socket has no name in the DNS: use localhost.")
        return self._whole(self._actor(request, peer))

    async def _of_token(
        self, request: web.Request, given: bytes, *, is_sign_in: bool = False
    ) -> Principal:
        configured, address = self._token(), client_address(request, self._addresses)
        # Failures are counted by the network of the client, or the user at the other end of a unix socket.
        place = fold_address(address, _IPV6_PREFIX) if address else _peer_user(request)
        wait = self._throttle.retry_after(place)
        if wait:
            raise Throttled(wait)
        is_configured = hmac.compare_digest(given, (configured or "").encode())
        if configured is not None and is_configured:
            actor = self._actor(request, "token")
            await self._came(actor, None, is_sign_in=is_sign_in)
            return self._whole(actor)
        tokens = self._keyring().admin_tokens
        token = await tokens.find(given)
        if token is None or not token.is_usable_at(self._clock.now()):
            await self._failed(self._actor(request, "unknown"), token, place)
            raise _unauthorized()
        principal = self._stored(request, token)
        await tokens.used(token)
        await self._came(principal.actor, token, is_sign_in=is_sign_in)
        return principal

    async def of_cookie(self, request: web.Request) -> Principal | None:
        """Return who signed in, as long as the token that they had does what it did; None for nobody.

        Raises `BadRequest` where a page of somebody else asks.
        """
        cookie, sessions = browser.read_cookie(request), self._sessions
        if sessions is None or not cookie:
            return None
        session = sessions.find(cookie, is_touched=BY_ITSELF not in request.headers)
        if session is None:
            return None
        browser.require_own_page(request)
        browser.require_host(request, sessions.settings().hosts)
        is_change = request.method not in browser.SAFE_METHODS
        if is_change and not session.has_csrf(request.headers.get(CSRF, "")):
            raise BadRequest(403, f"A change that comes with a cookie needs the field {CSRF}.")
        credential, tokens = session.credential, self._keyring().admin_tokens
        if not credential.token_id and credential.is_made_of(self._token()):
            return self._whole(self._actor(request, "token"))
        try:
            token = await tokens.get(credential.token_id) if credential.token_id else None
        except NotFound:
            token = None
        if token is None or not credential.is_still(token, self._clock.now()):
            sessions.end(cookie)
            return None
        await tokens.used(token)
        return self._stored(request, token)

    def _stored(self, request: web.Request, token: AdminToken) -> Principal:
        actor = self._actor(request, token.token_id)
        reach = Reach(self._keyring(), token.tenant_id)
        return Principal(actor=actor, role=token.role, reach=reach, token=token)

    def _whole(self, actor: Actor) -> Principal:
        return Principal(actor=actor, role=Role.ADMIN, reach=Reach(self._keyring()))

    def _actor(self, request: web.Request, name: str) -> Actor:
        return Actor(
            kind="admin",
            name=name,
            address=client_address(request, self._addresses),
            user_agent=request.headers.get("User-Agent", "")[:_USER_AGENT_LENGTH_MAX],
            request_id=request[REQUEST_ID],
        )

    async def _came(
        self, actor: Actor, token: AdminToken | None, *, is_sign_in: bool = False
    ) -> None:
        who, now = (actor.name, actor.address), self._clock.now()
        if not is_sign_in and now - self._logins.get(who, float("-inf")) < LOGIN_SECONDS:
            return
        self._logins[who] = now
        self._logins.move_to_end(who)
        if len(self._logins) > _LOGINS_MAX:
            self._logins.popitem(last=False)
        reason = "signed in to the dashboard" if is_sign_in else ""
        await self._tell(ChangeType.ADMIN_LOGIN_SUCCEEDED, actor, token, reason)

    async def _failed(self, actor: Actor, token: AdminToken | None, place: str) -> None:
        reason = "unknown token"
        if token is not None:
            reason = "expired token" if token.revoked_at is None else "revoked token"
        _log.warning("%s: admin login from %s failed: %s", actor.request_id, place, reason)
        is_counted = self._throttle.failed(place) == 0
        if is_counted and self._told.failed("") == 0:
            await self._tell(ChangeType.ADMIN_LOGIN_FAILED, actor, token, reason)

    async def _tell(
        self, event: ChangeType, actor: Actor, token: AdminToken | None, reason: str = ""
    ) -> None:
        """Tell the audit trail. A store that is down locks nobody out who needs no store."""
        try:
            await self._keyring().admin_tokens.tell_login(event, actor, token, reason)
        except StoreUnavailable as error:
            self._untold()
            _log.error("%s: %s is not audited: %s", actor.request_id, event, error)


async def _admit(request: web.Request, wanted: object, principal: Principal) -> None:
    """Raise unless the principal may use this handler, for the records that the path names."""
    principal.require(right_of(wanted) or Right.ADMINISTER)
    named = [(NAMED[name], value) for name, value in request.match_info.items() if name in NAMED]
    if not (named or is_filtered(wanted) or principal.reach.is_everything):
        raise BadRequest(403, "This is not for tokens that are bound to a tenant.")
    for kind, record_id in named:
        await principal.reach.require(kind, record_id)


def _bearer(request: web.Request) -> bytes:
    """Return the bearer token that the request brings; empty for none, another scheme, or several."""
    values = request.headers.getall("Authorization")
    scheme, _, token = values[0].partition(" ")
    is_bearer = len(values) == 1 and scheme.lower() == "bearer"
    return token.strip().encode(errors="replace") if is_bearer else b""


def _unauthorized() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(
        headers={"WWW-Authenticate": 'Bearer realm="tollhouse admin"'},
        reason="A valid admin token is required; `tollhouse admin bootstrap` makes the first one.",
    )


def _peer_user(request: web.Request) -> str:
    """Return `uid:<n>` of the process at the other end of a unix socket; empty on TCP."""
    sock = request.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return ""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return "unix socket"
    return f"uid:{_PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1]}"
