"""Admin tokens, as the keyring makes and ends them.

Knows how a token is minted, found and revoked, and what is told of those who come with one. A token exists only here
and in the `MintedToken` that is handed out once. It must not know how a token is carried, nor what its role lets it do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Final

from gateway.domain import admin_tokens
from gateway.domain.admin_tokens import RANDOM_LENGTH, AdminToken, Role
from gateway.domain.change import Actor, Change, ChangeType, Order
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Refused, Rules
from gateway.domain.queries import Sort
from gateway.keyring.ledger import Changed, Ledger, Page, among
from gateway.ports import Clock, KeyStore

USE_SECONDS: Final = 60.0
"""How exact `last_used_at` is: a token is used several times a second, and every write costs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """A new admin token and its secret, which nobody can ever read again."""

    record: AdminToken
    secret: str = field(repr=False)
    enforced: Enforced | None = None


class AdminTokens:
    """Creates and revokes admin tokens. What it promises and raises is what `Keyring` does.

    `base62` returns that many random characters.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        ledger: Ledger,
        rules: Rules,
        peppers: Peppers,
        clock: Clock,
        base62: Callable[[int], str],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._rules = rules
        self._peppers = peppers
        self.clock = clock
        self._base62 = base62
        self._new_id = new_id

    async def create(
        self,
        name: str,
        role: Role,
        order: Order,
        *,
        tenant_id: str = "",
        expires_at: float | None = None,
    ) -> MintedToken:
        """Mint a token, bound to `tenant_id` and its children if that is given. The secret is in the answer and
        nowhere else.
        """
        now = self.clock.now()
        problems = self._rules.problems({"name": name, "expires_at": expires_at}, now)
        if tenant_id and await self._ledger.tenant_in_use(tenant_id) is None:
            problems.append(("/tenant_id", f"there is no tenant '{tenant_id}'"))
        if problems:
            raise Refused(problems)
        secret = admin_tokens.minted(self._base62(RANDOM_LENGTH))
        record = AdminToken(
            token_id=self._new_id(),
            name=name,
            role=role,
            tenant_id=tenant_id,
            digest=self._peppers.digest(secret.encode()),
            pepper_id=self._peppers.current,
            display=admin_tokens.display(secret),
            created_at=now,
            expires_at=expires_at,
        )
        created = await self._ledger.insert(record, ChangeType.ADMIN_TOKEN_CREATED, order)
        return MintedToken(
            record=created.record,
            secret="" if order.is_dry_run else secret,
            enforced=created.enforced,
        )

    async def revoke(self, token_id: str, order: Order) -> Changed[AdminToken]:
        """Stop a token for ever; a reason is mandatory. Revoking a revoked token changes nothing."""
        now = self.clock.now()
        self._rules.require({"reason": order.reason}, now)

        def edit(before: AdminToken) -> AdminToken:
            return before if before.revoked_at is not None else replace(before, revoked_at=now)

        events = {"revoked_at": ChangeType.ADMIN_TOKEN_REVOKED}
        return await self._ledger.edit(AdminToken, token_id, edit, order, events)

    async def find(self, token: bytes) -> AdminToken | None:
        """Return the record of `token`, or None for what is no token of this gateway.

        It may be revoked or expired: ask `is_usable_at`.
        """
        if not admin_tokens.is_well_formed(token):
            return None
        for _, digest in self._peppers.digests(token):
            for record in await self._store.page(AdminToken, where={"digest": digest}, limit=1):
                if compare_digest(record.digest, digest):
                    return record
        return None

    async def get(self, token_id: str) -> AdminToken:
        """Return the token's record."""
        return await self._ledger.read(AdminToken, token_id)

    async def page(
        self,
        *,
        tenant_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[AdminToken]:
        """Return one page of tokens, or of those bound to one tenant, among `tenant_ids` (None: all)."""
        where = {"tenant_id": among(tenant_id, tenant_ids)}
        return await self._ledger.page(AdminToken, where=where, after=after, limit=limit, sort=sort)

    async def used(self, token: AdminToken) -> None:
        """Record that `token` is used now, unless that was recorded within the last minute."""
        now = self.clock.now()
        if token.last_used_at is None or now - token.last_used_at >= USE_SECONDS:
            await self._store.touch({token.token_id: now})

    async def tell_login(
        self, event: ChangeType, actor: Actor, token: AdminToken | None = None, reason: str = ""
    ) -> None:
        """Let the audit trail say who came, or could not come in, and with which token as far as that is known."""
        change = Change(
            type=event,
            actor=actor,
            tenant_id=token.tenant_id if token else "",
            subject_id=token.token_id if token else "",
            reason=reason,
            at=self.clock.now(),
        )
        await self._ledger.tell([change])
