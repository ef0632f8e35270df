"""Step 3: for which tenant is this?

Knows whom a key acts for. A regular key is for its own tenant, and must not name another one. A `multi_tenant` key is
for the tenant that the request names, and whoever it may not act for looks as if there were no such tenant. It must not
know how a request names a tenant, nor what acting changes about a key. Skipped as a whole where no selector is
configured: then every key acts for its own tenant.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey, KeyKind
from gateway.domain.tenant_selector import TenantSelector
from gateway.domain.tenants import TENANT_ID
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.values import Principal
from gateway.ports import StoreUnavailable

ROUNDS_MAX: Final = 8  # a key that is replaced during each of so many look-ups is no key to trust
_RESTLESS: Final = "the key changes faster than its tenant can be looked up"
_TWICE: Final = Denial(
    reason=Reason.TENANT_REQUIRED, internal="it cannot be told which tenant the request names"
)
_NONE: Final = Denial(reason=Reason.TENANT_REQUIRED, internal="the request names no tenant")


class Acting(Protocol):
    """Keys as they act for other tenants than their own: bound, cached, never stale."""

    def peek(self, key: BoundKey, tenant_id: str) -> object:
        """Return the key as it acts for that tenant, None if it may not or there is none, else a look-up is needed."""
        ...

    def find(self, key: BoundKey, tenant_id: str) -> Awaitable[BoundKey | None]:
        """Look the tenant up; raises `StoreUnavailable`."""
        ...


class _Look:
    """What a head names, as `by` reads it for `principal`: `settled` if that is all that counts.

    Else it depends on how the key acts for `tenant_id` now; `acted` is who that was the last time.
    """

    __slots__ = ("acted", "by", "principal", "settled", "tenant_id")

    def __init__(
        self,
        by: Representative,
        principal: Principal,
        settled: Principal | Denial | None,
        tenant_id: str = "",
    ) -> None:
        self.by = by
        self.principal = principal
        self.settled = settled
        self.tenant_id = tenant_id
        self.acted: Principal | None = None


class Representative:
    """Finds whom a request is for. With `checks_regular` off, regular keys may name whom they like: it is not read."""

    def __init__(
        self,
        *,
        selector: TenantSelector,
        acting: Acting,
        authenticator: Authenticator,
        checks_regular: bool,
    ) -> None:
        self._selector = selector
        self._acting = acting
        self._authenticator = authenticator
        self._checks_regular = checks_regular

    def among(self, acting: Acting, authenticator: Authenticator) -> Representative:
        """Return one that reads requests in the same way, and has keys act and be judged by these."""
        return Representative(
            selector=self._selector,
            acting=acting,
            authenticator=authenticator,
            checks_regular=self._checks_regular,
        )

    def represent(
        self, principal: Principal, address: str
    ) -> Principal | Denial | Awaitable[Principal | Denial]:
        """Return the principal with the key as it acts for the tenant of the request, or why it may not.

        An awaitable when the store has to be asked; `address` is who is slowed down if the key is no good by then.
        """
        key = principal.key
        if key is None:
            return principal
        look = self._look(principal, key)
        if look.settled is not None:
            return look.settled
        acting = self._acting.peek(key, look.tenant_id)
        if acting is None or isinstance(acting, BoundKey):
            return self._judge(look, acting)
        return self._look_up(look, key, address)

    async def _look_up(self, look: _Look, key: BoundKey, address: str) -> Principal | Denial:
        for _ in range(ROUNDS_MAX):
            try:
                acting = await self._acting.find(key, look.tenant_id)
            except StoreUnavailable as error:
                return _unavailable(str(error))
            # The key itself may have been revoked or changed meanwhile.
            found = self._authenticator.authenticate(look.principal.match, address)
            principal = found if isinstance(found, (Principal, Denial)) else await found
            if isinstance(principal, Denial):
                return principal
            if principal.key is key:
                return self._judge(look, acting)
            assert principal.key is not None  # the route has not changed: it needs one
            key = principal.key
            look = self._look(principal, key)
            if look.settled is not None:
                return look.settled
        return _unavailable(_RESTLESS)

    def _judge(self, look: _Look, acting: BoundKey | None) -> Principal | Denial:
        if acting is None:
            return _foreign(look.principal.key, look.tenant_id)
        if acting.tenant.is_suspended:
            return Denial(reason=Reason.TENANT_SUSPENDED, internal=acting.label)
        known = look.acted
        if known is None or known.key is not acting:
            known = look.acted = Principal(look.principal.match, acting)
        return known

    def _look(self, principal: Principal, key: BoundKey) -> _Look:
        """Return what the head names; remembered, since it depends on the bytes, the selector and the key alone."""
        head = principal.match.head
        memo: _Look | None = head.memo_tenant
        if memo is not None and memo.principal is principal and memo.by is self:
            return memo
        look = head.memo_tenant = self._read(principal, key)
        return look

    def _read(self, principal: Principal, key: BoundKey) -> _Look:
        record, match = key.record, principal.match
        is_regular = record.kind is not KeyKind.MULTI_TENANT
        if is_regular and not self._checks_regular:
            return _Look(self, principal, principal)
        named = self._selector.read(match)
        if named is None:
            return _Look(self, principal, _TWICE)
        if not named:
            needs_none = is_regular or match.route.handler == "introspect"
            return _Look(self, principal, principal if needs_none else _NONE)
        if named == record.tenant_id:
            return _Look(self, principal, principal)
        if is_regular or not TENANT_ID.fullmatch(named):
            return _Look(self, principal, _foreign(key, named))
        return _Look(self, principal, None, named)


def _foreign(key: BoundKey | None, tenant_id: str) -> Denial:
    """Refuse: the same for a tenant that belongs to somebody else and for one that does not exist."""
    key_id = "" if key is None else key.record.key_id
    return Denial(
        reason=Reason.CROSS_TENANT, internal=f"{key_id} may not act for {tenant_id[:64]!r}"
    )


def _unavailable(why: str) -> Denial:
    return Denial(reason=Reason.STORE_UNAVAILABLE, retry_after_seconds=1, internal=why)
