"""How a tenant ends: its keys are revoked, its children go first, and then it is a mark that its id was in use.

Knows what has to be out of the way before, and that a tenant which the configuration declares would come back. It must
not know what is left of a deleted tenant (`domain.tenants`), nor how a key is revoked (`steps`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import ChangeType, Order, described
from gateway.domain.enforcement import Enforced
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import KeyQuery, Presence, Wanted
from gateway.domain.rotations import OPEN, Rotation, RotationEnd, RotationState
from gateway.domain.tenants import Tenant, deleted
from gateway.keyring.cursors import record_id
from gateway.keyring.ledger import Act, require_as_seen
from gateway.keyring.workshop import Workshop
from gateway.ports import Conflict, R, Record

BATCH: Final = 500
"""Keys that are revoked in one transaction: with that many, everybody else waits for some tenths of a second."""

_STORED: Final = (KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.ROTATING, KeyState.EXPIRED)
"""The stored states in which a key works, or may again."""

_ENDED: Final = (KeyState.EXPIRED, KeyState.REVOKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantDeleted:
    """What went with a tenant, or would go; `enforced` is None when nothing was changed, or would only be.

    Nothing of it is gone without a trace: revoked keys and tokens, and deleted children, can still be shown.
    """

    tenant: Tenant
    keys: int = 0
    children: int = 0
    admin_tokens: int = 0
    enforced: Enforced | None = None

    def joined(self, child: TenantDeleted) -> TenantDeleted:
        """Return this with what went with one of its children."""
        return replace(
            self,
            keys=self.keys + child.keys,
            children=self.children + 1,
            admin_tokens=self.admin_tokens + child.admin_tokens,
            enforced=both(child.enforced, self.enforced),
        )


class TenantDeletion:
    """Deletes tenants. What it promises and raises is what `Keyring` does; the tenants in `declared` it refuses."""

    def __init__(self, workshop: Workshop, declared: Collection[str]) -> None:
        self._store = workshop.store
        self._ledger = workshop.ledger
        self._steps = workshop.steps
        self._rules = workshop.rules
        self._clock = workshop.clock
        self._declared = declared

    async def delete(
        self, tenant_id: str, order: Order, *, revoke_keys: bool, delete_children: bool
    ) -> TenantDeleted:
        """Delete a tenant for ever; a reason is mandatory. Deleting a deleted tenant changes nothing.

        Raises `Conflict` that says what has to go before: keys that have not ended, unless they shall be revoked with
        it, and children, unless they shall be deleted with it. Each child is gone for itself, and of a tenant with many
        keys some are revoked before others: whoever is interrupted asks again, and the rest goes.
        """
        self._rules.require({"reason": order.reason}, self._clock.now())
        tenant = await self._ledger.read(Tenant, tenant_id)
        require_as_seen(tenant, order)
        if tenant.is_deleted:
            return await self._gone(tenant, order)
        living: dict[str, Wanted] = {"parent_id": tenant_id, "deleted_at": Presence.MISSING}
        children = [each async for each in self._all(Tenant, living)]
        await self._require_out_of_the_way(
            tenant, children, revoke_keys=revoke_keys, delete_children=delete_children
        )
        unseen = replace(order, expected_revision=None)
        gone = [await self._one(each, unseen, revoke_keys=revoke_keys) for each in children]
        result = await self._one(tenant, order, revoke_keys=revoke_keys)
        for child in gone:
            result = result.joined(child)
        return result

    async def _require_out_of_the_way(
        self,
        tenant: Tenant,
        children: Sequence[Tenant],
        *,
        revoke_keys: bool,
        delete_children: bool,
    ) -> None:
        for each in (tenant, *children):
            if each.tenant_id in self._declared:
                raise Conflict(
                    f"tenant '{each.tenant_id}' is declared in the configuration (bootstrap.tenants), which would make "
                    "it again: take it out there first, and reload"
                )
        owned = []
        if not revoke_keys:
            working = 0
            for each in (tenant, *children):
                async for key in self._keys_of(each):  # one by one: there may be very many
                    working += self._works(key)
            owned += _counted(working)
        if children and not delete_children:
            count = "1 child" if len(children) == 1 else f"{len(children)} children"
            owned.append(f"{count} (delete first, or ask for `delete_children`)")
        if owned:
            raise Conflict(f"tenant '{tenant.tenant_id}' has {' and '.join(owned)}")

    def _works(self, key: KeyRecord) -> bool:
        """Tell whether a key has not ended: one that has may be brought back, but nobody misses it."""
        return key.state_at(self._clock.now()) not in _ENDED

    # ---- one tenant

    async def _one(self, tenant: Tenant, order: Order, *, revoke_keys: bool) -> TenantDeleted:
        """Delete a tenant that has no children, and all that it owns."""
        if order.is_dry_run:
            return await self._tried(tenant, order)
        keys, enforced = 0, None
        while len(batch := [key async for key in self._keys_of(tenant, BATCH + 1)]) > BATCH:
            revoked, reached = await self._revoke(tenant, batch[:BATCH], order, revoke_keys)
            keys, enforced = keys + revoked, both(enforced, reached)
        owned = (0, 0)

        async def plan() -> Act:
            nonlocal owned
            act, owned = await self._farewell(tenant.tenant_id, order, revoke_keys)
            return act

        enacted = await self._ledger.enact(plan, order)
        return TenantDeleted(
            tenant=enacted.the(Tenant, tenant.tenant_id),
            keys=keys + owned[0],
            admin_tokens=owned[1],
            enforced=both(enforced, enacted.enforced),
        )

    async def _tried(self, tenant: Tenant, order: Order) -> TenantDeleted:
        tokens = [each async for each in self._tokens_of(tenant)]
        keys = [1 async for _ in self._keys_of(tenant)]
        gone = deleted(tenant, self._clock.now(), order.reason)
        return TenantDeleted(tenant=gone, keys=len(keys), admin_tokens=len(tokens))

    async def _gone(self, tenant: Tenant, order: Order) -> TenantDeleted:
        """Say that a tenant is deleted already, after everybody who serves has been told so once more."""

        async def plan() -> Act:
            return Act([(tenant, tenant)])

        await self._ledger.enact(plan, order)
        return TenantDeleted(tenant=tenant)

    async def _revoke(
        self, tenant: Tenant, keys: Sequence[KeyRecord], order: Order, revoke_keys: bool
    ) -> tuple[int, Enforced | None]:
        """Revoke some keys; return how many that were, and how far it has reached."""
        count = 0

        async def plan() -> Act:
            nonlocal count
            act = Act()
            require_as_seen(await self._ledger.read(Tenant, tenant.tenant_id), order)
            known = await self._store.get_keys([key.key_id for key in keys])
            count = await self._end(act, tenant, known.values(), order, revoke_keys)
            return act

        enacted = await self._ledger.enact(plan, order)
        return count, enacted.enforced

    async def _farewell(
        self, tenant_id: str, order: Order, revoke_keys: bool
    ) -> tuple[Act, tuple[int, int]]:
        """Return the act that ends a tenant, and how many keys and admin tokens go with it."""
        tenant = await self._ledger.read(Tenant, tenant_id)
        require_as_seen(tenant, order)
        if tenant.is_deleted:  # somebody else was faster
            return Act([(tenant, tenant)]), (0, 0)
        act, now = Act(), self._clock.now()
        owned = [key async for key in self._keys_of(tenant)]
        keys = await self._end(act, tenant, owned, order, revoke_keys)
        tokens = [each async for each in self._tokens_of(tenant)]
        for token in tokens:
            act.moves.append((token, replace(token, revoked_at=now)))
            self._tell(act, token, ChangeType.ADMIN_TOKEN_REVOKED, order, {"revoked_at": None}, now)
        gone = deleted(tenant, now, order.reason)
        act.moves.append((tenant, gone))
        self._tell(act, gone, ChangeType.TENANT_DELETED, order, described(tenant), now)
        return act, (keys, len(tokens))

    async def _end(
        self,
        act: Act,
        tenant: Tenant,
        keys: Collection[KeyRecord],
        order: Order,
        revoke_keys: bool,
    ) -> int:
        """Revoke keys; return how many. The rotations that they are part of end with both of their keys.

        Raises `Conflict` for one that was made since somebody looked, unless it shall go as well.
        """
        working = [] if revoke_keys else _counted(sum(map(self._works, keys)))
        if working:
            raise Conflict(f"tenant '{tenant.tenant_id}' has {working[0]}")
        rotations = await self._open_rotations_of(tenant)
        wanted = {key.key_id: key for key in keys}
        ended: dict[str, Rotation] = {}
        for key_id in [*wanted]:
            rotation = rotations.get(key_id)
            if rotation is not None:
                ended[rotation.rotation_id] = rotation
                members = (rotation.old_key_id, rotation.new_key_id)
                wanted |= await self._store.get_keys(
                    [each for each in members if each not in wanted]
                )
        for key in wanted.values():
            self._steps.retire(act, key, order)
        for rotation in ended.values():
            self._steps.end(act, rotation, RotationState.COMPLETED, RotationEnd.REVOKED, order)
        return sum(key.state is not KeyState.REVOKED for key in wanted.values())

    def _tell(
        self,
        act: Act,
        gone: Record,
        event: ChangeType,
        order: Order,
        was: Mapping[str, Any],
        at: float,
    ) -> None:
        """Let the trail say that something ended, and what it was."""
        what = "deleted_at" if isinstance(gone, Tenant) else "revoked_at"
        act.changes.append(self._ledger.change(gone, event, order, before=was, after={what: at}))

    # ---- what it owns

    async def _open_rotations_of(self, tenant: Tenant) -> Mapping[str, Rotation]:
        """Return the rotations that have not ended, by both of their keys."""
        found: dict[str, Rotation] = {}
        for state in OPEN:
            where: dict[str, Wanted] = {"tenant_id": tenant.tenant_id, "state": state.value}
            async for each in self._all(Rotation, where):
                found[each.old_key_id] = found[each.new_key_id] = each
        return found

    async def _keys_of(self, tenant: Tenant, most: int = 0) -> AsyncIterator[KeyRecord]:
        """Yield the keys that are not revoked, hidden ones as well; at most so many (0: all)."""
        count = 0
        for state in _STORED:
            query = KeyQuery(tenant_id=tenant.tenant_id, state=state, with_hidden=True)
            after = ""
            while page := await self._store.list_keys(query, after=after, limit=BATCH + 1):
                for key in page:
                    yield key
                    count += 1
                    if count == most:
                        return
                after = page[-1].key_id

    def _tokens_of(self, tenant: Tenant) -> AsyncIterator[AdminToken]:
        where: dict[str, Wanted] = {"tenant_id": tenant.tenant_id, "revoked_at": Presence.MISSING}
        return self._all(AdminToken, where)

    async def _all(self, kind: type[R], where: Mapping[str, Wanted]) -> AsyncIterator[R]:
        after = ""
        while page := await self._store.page(kind, where=where, after=after, limit=BATCH):
            for record in page:
                yield record
            after = record_id(page[-1])


def _counted(working: int) -> list[str]:
    """Say that so many keys stand in the way, if there are any."""
    keys = "1 key that has" if working == 1 else f"{working} keys that have"
    return [f"{keys} not ended (revoke first, or ask for `revoke_keys`)"] if working else []


def both(one: Enforced | None, other: Enforced | None) -> Enforced | None:
    """Return how far two changes have reached together: no farther than the one that has not reached everybody."""
    if one is None or other is None:
        return other if one is None else one
    least = other if one.is_everywhere else one
    return replace(
        least,
        effective_at=max(one.effective_at, other.effective_at),
        seconds=max(one.seconds, other.seconds),
        streams_closed=one.streams_closed + other.streams_closed,
    )
