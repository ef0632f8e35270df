"""Who is signed in: a bounded table of sessions in memory.

Knows how long a session lasts and how many there are. It must not know HTTP, nor decide what a session may do: that is
asked of the token, at every request. The cookie is kept hashed: who reads this table can sign in as nobody.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final, Protocol

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.ports import Clock

SESSIONS_MAX: Final = 1000
SESSIONS_PER_TOKEN_MAX: Final = 20
"""A person has few browsers; the session that was used the longest ago makes room."""

_RANDOM_BYTES: Final = 32


class Settings(Protocol):
    """What is configured about the dashboard; times in seconds."""

    @property
    def enabled(self) -> bool: ...
    @property
    def hosts(self) -> Collection[str]: ...
    @property
    def allowlist_name(self) -> str: ...

    @property
    def idle_timeout(self) -> float: ...
    @property
    def lifetime(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The token that somebody signed in with, as it was then. `token_id` is empty for that of the configuration."""

    token_id: str
    role: Role
    tenant_id: str
    fingerprint: bytes = field(repr=False)

    def is_still(self, token: AdminToken, now: float) -> bool:
        """Tell whether `token` opens what it did at sign-in."""
        is_same = (token.role, token.tenant_id) == (self.role, self.tenant_id)
        return is_same and token.is_usable_at(now)

    def is_made_of(self, token: str | None) -> bool:
        """Tell whether `token` is what was given at sign-in."""
        return token is not None and compare_digest(fingerprint(token.encode()), self.fingerprint)


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser that is signed in. Times are those of the monotonic clock."""

    credential: Credential
    csrf: str = field(repr=False)
    begun: float
    touched: float

    def has_csrf(self, given: str) -> bool:
        """Tell whether `given` is what only our own pages could read."""
        return compare_digest(given.encode(errors="replace"), self.csrf.encode())


class Sessions:
    """Begins, finds and ends sessions. `settings` returns those in force."""

    def __init__(self, clock: Clock, settings: Callable[[], Settings]) -> None:
        self._monotonic = clock.monotonic
        self.settings = settings
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, credential: Credential) -> tuple[str, Session]:
        """Return a new session, and the cookie that stands for it."""
        self._make_room(credential.token_id)
        cookie, now = secrets.token_urlsafe(_RANDOM_BYTES), self._monotonic()
        csrf = secrets.token_urlsafe(_RANDOM_BYTES)
        session = Session(credential=credential, csrf=csrf, begun=now, touched=now)
        self._sessions[fingerprint(cookie.encode())] = session
        return cookie, session

    def find(self, cookie: str, *, is_touched: bool = True) -> Session | None:
        """Return the session of `cookie`, None when it is over. What a page does by itself is no touch."""
        key = fingerprint(cookie.encode())
        session = self._sessions.get(key)
        if session is None:
            return None
        if self.seconds_left(session) <= 0 or not self.settings().enabled:
            del self._sessions[key]
            return None
        if is_touched:
            session.touched = self._monotonic()
            self._sessions.move_to_end(key)
        return session

    def seconds_left(self, session: Session) -> float:
        """Return how long the session lasts if nobody touches it."""
        now, settings = self._monotonic(), self.settings()
        return min(session.touched + settings.idle_timeout, session.begun + settings.lifetime) - now

    def end(self, cookie: str) -> None:
        """End the session of `cookie`, if there is one."""
        self._sessions.pop(fingerprint(cookie.encode()), None)

    def _make_room(self, token_id: str) -> None:
        over = [key for key, each in self._sessions.items() if self.seconds_left(each) <= 0]
        for key in over:
            del self._sessions[key]
        own = [key for key, each in self._sessions.items() if each.credential.token_id == token_id]
        for key in own[: max(0, len(own) - SESSIONS_PER_TOKEN_MAX + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)


def fingerprint(secret: bytes) -> bytes:
    """Return what is kept of a secret that has 256 random bits."""
    return hashlib.sha256(secret).digest()
