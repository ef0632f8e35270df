"""After a backup was restored: what was revoked or suspended since it was made, is so again.

Knows that nothing that was stopped may work again because somebody went back in time; everything else that changed
since is gone. It must not know where the two stores lie.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import Actor, Order
from gateway.domain.key_rules import REASON_LENGTH_MAX
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import KeyQuery
from gateway.domain.tenants import Tenant
from gateway.keyring.cursors import record_id
from gateway.keyring.door import Keyring
from gateway.ports import Conflict, KeyFinder, KeyStore, R, StoreUnavailable

PAGE: Final = 500
_EVERY_KEY: Final = KeyQuery(with_hidden=True)
_USABLE: Final = frozenset({KeyState.ACTIVE, KeyState.ROTATING})


@dataclass(slots=True)
class StoppedAgain:
    """How many keys, tenants and admin tokens were stopped again; `lost` keys are not in the backup at all, which
    refuses them as well.
    """

    keys: int = 0
    tenants: int = 0
    admin_tokens: int = 0
    lost: int = 0


class Again:
    """Stops in `restored`, through its `keyring`, what was stopped since it was backed up."""

    def __init__(self, keyring: Keyring, restored: KeyStore, actor: Actor) -> None:
        self._keyring = keyring
        self._restored = restored
        self._actor = actor

    async def stop(self, replaces: KeyStore) -> StoppedAgain:
        """Stop what is stopped in the store that it `replaces`; say how much it was. Raises `StoreUnavailable`."""
        stopped = StoppedAgain()
        async for tenant in _all(replaces, Tenant):
            had = await self._restored.get(Tenant, tenant.tenant_id)
            if had is not None:
                stopped.tenants += await self._stop_tenant(tenant, had)
        async for token in _all(replaces, AdminToken):
            kept = await self._restored.get(AdminToken, token.token_id)
            if token.revoked_at is not None and kept is not None and kept.revoked_at is None:
                await self._keyring.admin_tokens.revoke(token.token_id, self._order(""))
                stopped.admin_tokens += 1
        after = ""
        while page := await replaces.list_keys(_EVERY_KEY, after=after, limit=PAGE):
            after = page[-1].key_id
            known = await self._restored.get_keys([key.key_id for key in page])
            stopped.lost += len(page) - len(known)
            for key in page:
                if key.key_id in known:
                    stopped.keys += await self._stop_key(key, known[key.key_id])
        return stopped

    async def stop_known(self, known: KeyFinder) -> StoppedAgain:
        """Stop keys and tenants of which `known` says so; of what it does not know nothing is said.

        For when the store that is replaced cannot be read. Of admin tokens, and of keys that the backup does not have,
        `known` cannot tell.
        """
        stopped = StoppedAgain()
        async for tenant in _all(self._restored, Tenant):
            with suppress(StoreUnavailable):
                was = await known.get_tenant(tenant.tenant_id)
                if was is not None:
                    stopped.tenants += await self._stop_tenant(was, tenant)
        after = ""
        while page := await self._restored.list_keys(_EVERY_KEY, after=after, limit=PAGE):
            after = page[-1].key_id
            for key in page:
                with suppress(StoreUnavailable):
                    found = await known.find([key.digest])
                    if found is not None and found[0].key_id == key.key_id:
                        stopped.keys += await self._stop_key(found[0], key)
        return stopped

    async def _stop_tenant(self, tenant: Tenant, had: Tenant) -> bool:
        if not tenant.is_suspended or had.is_suspended:
            return False
        await self._keyring.tenants.suspend(tenant.tenant_id, self._order(tenant.state_reason))
        return True

    async def _stop_key(self, key: KeyRecord, had: KeyRecord) -> bool:
        order = self._order(key.state_reason)
        try:
            if key.state is KeyState.REVOKED and had.state is not KeyState.REVOKED:
                end = self._keyring.delete_key if key.is_hidden else self._keyring.revoke_key
                await end(key.key_id, order)
                return True
            if key.state is KeyState.SUSPENDED and had.state in _USABLE:
                if key.resume_at is not None and key.resume_at <= self._keyring.now():
                    return False
                await self._keyring.suspend_key(key.key_id, order, key.resume_at)
                return True
        except Conflict:
            pass  # it has expired, or its rotation has ended it: it does not work either way
        return False

    def _order(self, reason: str) -> Order:
        text = f"stopped before the backup was restored: {reason}".rstrip(": ")
        return Order(actor=self._actor, reason=text[:REASON_LENGTH_MAX])


async def _all(store: KeyStore, kind: type[R]) -> AsyncIterator[R]:
    after = ""
    while page := await store.page(kind, after=after, limit=PAGE):
        for record in page:
            yield record
        after = record_id(page[-1])
