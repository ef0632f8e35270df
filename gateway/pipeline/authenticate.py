"""Step 2: whose key is this?

Knows how a credential is carried (RFC 6750 section 2.1: one `Authorization: Bearer` field, nothing else) and in which
order it is judged: shape, checksum, cache, throttle, store, state. What can be refused without a look-up is. It must
not know scopes, limits or how keys are stored.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from gateway.domain.denial import Denial, Reason
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormats
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match
from gateway.pipeline.values import Principal
from gateway.ports import Clock, StoreUnavailable, Throttle

_BEARER: Final = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")
_QUERY_TOKEN: Final = re.compile(rb"(?i)(?:^|&)(?:access_token|api_key|apikey)=")


class Keys(Protocol):
    """The keys as the hot path sees them: bound, cached, never stale."""

    def peek(self, digest: bytes) -> object:
        """Return the key, None for one that is known not to exist, or anything else when a look-up is needed."""
        ...

    def find(self, digests: Sequence[tuple[str, bytes]]) -> Awaitable[BoundKey | None]:
        """Look the key up; raises `StoreUnavailable`."""
        ...


class Credential:
    """A well-formed token, reduced to what may be kept: its environment and its digests, the current pepper's first.

    `digest` is that first one. `principal` is who came with these very bytes the last time.
    """

    __slots__ = ("digest", "digests", "environment", "principal")

    def __init__(self, environment: str, digests: tuple[tuple[str, bytes], ...]) -> None:
        self.environment = environment
        self.digests = digests
        self.digest = digests[0][1]
        self.principal: Principal | None = None


class Authenticator:
    """Finds the principal of a request."""

    def __init__(
        self, *, formats: KeyFormats, peppers: Peppers, keys: Keys, throttle: Throttle, clock: Clock
    ) -> None:
        self._formats = formats
        self._peppers = peppers
        self._keys = keys
        self._throttle = throttle
        self._clock = clock
        self._denials = {reason: Denial(reason=reason) for reason in Reason}

    def authenticate(
        self, match: Match, address: str
    ) -> Principal | Denial | Awaitable[Principal | Denial]:
        """Return the principal, or why there is none; an awaitable when the store has to be asked."""
        if not match.route.needs_key:
            return Principal(match, None)
        credential = self._credential(match.head)
        if not isinstance(credential, Credential):
            return self._refuse(credential, address)
        key = self._keys.peek(credential.digest)
        if isinstance(key, BoundKey):
            return self._judge(match, credential, key, address)
        wait = self._throttle.retry_after(address)
        if wait:
            return Denial(reason=Reason.AUTH_THROTTLED, retry_after_seconds=wait)
        if key is None:
            return self._refuse(Reason.UNKNOWN_KEY, address)
        return self._look_up(match, credential, address)

    async def _look_up(
        self, match: Match, credential: Credential, address: str
    ) -> Principal | Denial:
        try:
            key = await self._keys.find(credential.digests)
        except StoreUnavailable as error:
            return Denial(
                reason=Reason.STORE_UNAVAILABLE, retry_after_seconds=1, internal=str(error)
            )
        if key is None:
            return self._refuse(Reason.UNKNOWN_KEY, address)
        return self._judge(match, credential, key, address)

    def _judge(
        self, match: Match, credential: Credential, key: BoundKey, address: str
    ) -> Principal | Denial:
        now = self._clock.now()
        refusal = key.refusal(now) if now >= key.usable_until else None
        if refusal is not None:
            return self._refuse(refusal, address, key)
        known = credential.principal
        if known is not None and known.key is key and known.match is match:
            return known  # nothing has changed: a key is replaced as a whole when it does
        if credential.environment and credential.environment != key.record.environment:
            return Denial(
                reason=Reason.ENV_MISMATCH,
                internal=f"{key.record.key_id}: token and record disagree",
                key=key,
            )
        principal = credential.principal = Principal(match, key)
        return principal

    def _refuse(self, reason: Reason, address: str, key: BoundKey | None = None) -> Denial:
        """Refuse, and count what looks like guessing; a caller without any credential has not guessed."""
        if reason is not Reason.MISSING_CREDENTIALS and reason is not Reason.TENANT_SUSPENDED:
            wait = self._throttle.failed(address)
            if wait:
                return Denial(
                    reason=Reason.AUTH_THROTTLED,
                    retry_after_seconds=wait,
                    internal=reason.value,
                    key=key,
                )
        if key is None:
            return self._denials[reason]
        return Denial(reason=reason, internal=key.record.key_id, key=key)

    def _credential(self, head: RequestHead) -> Credential | Reason:
        memo = head.memo_credential
        if memo is not None and memo[0] is self:
            # It depends on the bytes, the formats and the peppers alone.
            known: Credential | Reason = memo[1]
            return known
        credential = self._read(head)
        head.memo_credential = (self, credential)
        return credential

    def _read(self, head: RequestHead) -> Credential | Reason:
        values = head.authorization
        in_query = bool(head.query) and _QUERY_TOKEN.search(head.query) is not None
        if not values:
            # A token in the query is never read: URLs are logged everywhere (RFC 6750 section 2.3).
            return Reason.MISSING_CREDENTIALS
        if len(values) > 1 or in_query:
            return Reason.DUPLICATE_CREDENTIALS
        found = _BEARER.fullmatch(values[0])
        if found is None:
            return Reason.MALFORMED_CREDENTIALS
        reading = self._formats.read(found[1])
        if isinstance(reading, Reason):
            return reading
        return Credential(reading.environment, self._peppers.digests(found[1]))
