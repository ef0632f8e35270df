"""After a backup was restored: what was revoked, suspended or deleted since it was made, is so again.

Knows that nothing that was stopped may work again because somebody went back in time; everything else that changed
since is gone, but for keys, tenants and rotations that were made since, if whoever restores wants them. It must not
know where the two stores lie.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import Actor, Order
from gateway.domain.deliveries import Delivery
from gateway.domain.key_rules import REASON_LENGTH_MAX
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import ANY_KEY, KeyQuery
from gateway.domain.rotations import Rotation
from gateway.domain.tenants import Tenant
from gateway.keyring.cursors import record_id
from gateway.keyring.door import Keyring
from gateway.ports import Conflict, KeyStore, R

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


@dataclass(slots=True)
class TakenOver:
    """How many keys, tenants and rotations that were made since the backup are in it now; and what is not, but would
    be in use: links that hand over a secret, and admin tokens.
    """

    keys: int = 0
    tenants: int = 0
    rotations: int = 0
    links_left: int = 0
    admin_tokens_left: int = 0


class Replaced(Protocol):
    """What is asked of the store that is replaced, or of what is known of it."""

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]: ...

    async def page(self, kind: type[R], *, after: str = "", limit: int = 100) -> list[R]: ...


class Again:
    """Stops in `restored`, through its `keyring`, what is stopped in the store that it `replaces`, and takes over what
    was made since.
    """

    def __init__(
        self, keyring: Keyring, restored: KeyStore, replaces: Replaced, actor: Actor
    ) -> None:
        self._keyring = keyring
        self._restored = restored
        self._replaces = replaces
        self._actor = actor

    async def stop(self) -> StoppedAgain:
        """Stop it, and say how much it was. Raises `StoreUnavailable`."""
        stopped = StoppedAgain()
        async for tenant in self._all(Tenant):
            had = await self._restored.get(Tenant, tenant.tenant_id)
            stopped.tenants += had is not None and await self._stop_tenant(tenant, had)
        async for token in self._all(AdminToken):
            kept = await self._restored.get(AdminToken, token.token_id)
            if token.revoked_at is not None and kept is not None and kept.revoked_at is None:
                await self._keyring.admin_tokens.revoke(token.token_id, self._order(""))
                stopped.admin_tokens += 1
        async for page, known in self._keys():
            stopped.lost += len(page) - len(known)
            for key in page:
                if key.key_id in known:
                    stopped.keys += await self._stop_key(key, known[key.key_id])
        return stopped

    async def take_over(self) -> TakenOver:
        """Store every tenant and key that the backup does not have, just as it is, and say how many.

        Not what changed since about those that it has. Raises `StoreUnavailable`.
        """
        order = self._order("", "made")
        taken = TakenOver()
        fresh = [
            tenant
            async for tenant in self._all(Tenant)
            if await self._restored.get(Tenant, tenant.tenant_id) is None
        ]
        for tenant in sorted(fresh, key=lambda tenant: tenant.parent_id != ""):  # parents first
            await self._keyring.take_over(tenant, order)
            taken.tenants += 1
        async for page, known in self._keys():
            for key in page:
                if key.key_id not in known:
                    await self._keyring.take_over(key, order)
                    taken.keys += 1
        return taken

    async def take_over_rotations(self, taken: TakenOver) -> None:
        """Store the rotations that the backup does not have, now that their keys are there and stopped as they were,
        and count in `taken` what is left behind. Raises `StoreUnavailable`.
        """
        order, now = self._order("", "made"), self._keyring.now()
        async for rotation in self._all(Rotation):
            if await self._restored.get(Rotation, rotation.rotation_id) is None:
                taken.rotations += await self._keyring.rotations.take_over(rotation, order)
        async for link in self._all(Delivery):
            is_there = await self._restored.get(Delivery, link.delivery_id) is not None
            taken.links_left += link.is_open_at(now) and not is_there
        async for token in self._all(AdminToken):
            is_there = await self._restored.get(AdminToken, token.token_id) is not None
            taken.admin_tokens_left += token.is_usable_at(now) and not is_there

    async def _keys(self) -> AsyncIterator[tuple[list[KeyRecord], Mapping[str, KeyRecord]]]:
        """Yield the keys of the store that is replaced, page by page, and those of each page that the backup has."""
        after = ""
        while page := await self._replaces.list_keys(_EVERY_KEY, after=after, limit=PAGE):
            after = page[-1].key_id
            yield page, await self._restored.get_keys([key.key_id for key in page])

    async def _stop_tenant(self, tenant: Tenant, had: Tenant) -> bool:
        order, tenants = self._order(tenant.state_reason), self._keyring.tenants
        if tenant.is_deleted and not had.is_deleted:
            with suppress(Conflict):  # declared by now under the same id: it is suspended at least
                await tenants.delete(had.tenant_id, order, revoke_keys=True, delete_children=True)
                return True
        if tenant.is_suspended and not had.is_suspended:
            await tenants.suspend(had.tenant_id, order)
            return True
        return False

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

    def _order(self, reason: str, done: str = "stopped") -> Order:
        text = f"{done} before the backup was restored: {reason}".rstrip(": ")
        return Order(actor=self._actor, reason=text[:REASON_LENGTH_MAX])

    async def _all(self, kind: type[R]) -> AsyncIterator[R]:
        after = ""
        while page := await self._replaces.page(kind, after=after, limit=PAGE):
            for record in page:
                yield record
            after = record_id(page[-1])
