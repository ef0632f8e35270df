"""The one door through which keys and tenants change.

Knows how a key is minted and which change is allowed when. A secret exists only here and in the
`Minted` that is handed out once. It must not know who is asking over which transport, nor any SQL;
how a change is committed is in `ledger`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any, Final, TypedDict

from gateway.domain.blueprint import Blueprints, KeyWish, environment_problems
from gateway.domain.change import KEY_FIELD_EVENTS, Change, ChangeType, Order
from gateway.domain.denial import Reason
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_format import BASE62, KeyFormats
from gateway.domain.key_rules import Problem, Refused, Rules, settled
from gateway.domain.keys import TRANSITIONS, KeyRecord, KeyState
from gateway.domain.queries import KeyQuery
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.templates import Templates
from gateway.keyring.admin_tokens import AdminTokens
from gateway.keyring.ledger import Changed, Ledger, Page
from gateway.keyring.repeats import Repeats
from gateway.keyring.tenants import TenantRoll
from gateway.ports import Clock, Conflict, Enforce, KeyStore, R

PUBLIC_ID_LENGTH: Final = 32  # Base62: 190 bits, so ids never collide and cannot be guessed

_KEY_VERBS: Final[Mapping[KeyState, ChangeType]] = {
    KeyState.SUSPENDED: ChangeType.KEY_SUSPENDED,
    KeyState.ACTIVE: ChangeType.KEY_RESUMED,
    KeyState.REVOKED: ChangeType.KEY_REVOKED,
}
_IDENTITY: Final = ("tenant_id", "format", "environment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new key and its secret, which nobody can ever read again. `warnings` are for whoever
    created it.
    """

    record: KeyRecord
    secret: str = field(repr=False)
    warnings: tuple[str, ...] = ()
    enforced: Enforced | None = None


class KeyChanges(TypedDict, total=False):
    """What an update of a key may set; `metadata` is a JSON merge patch (RFC 7396)."""

    name: str
    scopes: tuple[str, ...]
    ip_allowlist: tuple[str, ...]
    ip_allowlist_mode: str
    tenants: tuple[str, ...]
    expires_at: float | None
    plan: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any] | None


class Keyring:
    """Creates, changes and ends keys; `tenants` and `admin_tokens` do the same for tenants and admin tokens.

    A method that changes something returns after the change is committed and every bound copy
    is forgotten, in whatever process it was: the next request is judged by it, and what was under
    way and lost what had let it in is cut. Raises `Refused` when values break
    a rule, `NotFound` for an unknown id, `Conflict` when the state does not allow the change,
    `StoreUnavailable` when it may or may not have happened.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        formats: KeyFormats,
        scopes: ScopeCatalogue,
        plans: Collection[str],
        peppers: Peppers,
        templates: Templates,
        clock: Clock,
        enforce: Enforce,
        on_change: Callable[[Change], None] = lambda _: None,
        environment_aliases: Mapping[str, str] | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._formats = formats
        self._scopes = scopes
        self._rules = Rules(scopes, plans)
        self._peppers = peppers
        self._blueprints = Blueprints(formats, templates, environment_aliases or {})
        self._clock = clock
        self._ledger = Ledger(store, clock, enforce, scopes.granted, on_change)
        self._random = random
        self.tenants = TenantRoll(
            store=store,
            rules=self._rules,
            clock=clock,
            ledger=self._ledger,
            new_id=lambda: f"ten_{base62(PUBLIC_ID_LENGTH, random)}",
        )
        self.admin_tokens = AdminTokens(
            store=store,
            ledger=self._ledger,
            rules=self._rules,
            peppers=peppers,
            clock=clock,
            base62=lambda length: base62(length, random),
            new_id=lambda: f"adm_{base62(PUBLIC_ID_LENGTH, random)}",
        )
        self.repeats = Repeats(store, clock)

    async def create_key(self, wish: KeyWish, order: Order) -> Minted:
        """Mint a key for `wish`. The secret is in the answer and nowhere else."""
        now = self._clock.now()
        fields = self._blueprints.complete(wish, now)
        problems = [
            *self._blueprints.problems(wish, fields),
            *self._rules.problems(fields, now),
            *await self._tenant_problems(wish.tenant_id),
        ]
        key_format = self._formats.get(fields["format"])
        if problems or key_format is None:
            raise Refused(problems)
        secret = key_format.mint(
            fields["environment"], base62(key_format.random_length, self._random)
        )
        record = KeyRecord(
            key_id=f"key_{base62(PUBLIC_ID_LENGTH, self._random)}",
            lineage_id=f"lin_{base62(PUBLIC_ID_LENGTH, self._random)}",
            digest=self._peppers.digest(secret.encode()),
            pepper_id=self._peppers.current,
            display=key_format.display(secret),
            created_at=now,
            **fields,
        )
        created = await self._ledger.insert(record, ChangeType.KEY_CREATED, order)
        return Minted(
            record=created.record,
            secret="" if order.is_dry_run else secret,
            warnings=self._warnings(wish, created.record),
            enforced=created.enforced,
        )

    async def import_key(self, record: KeyRecord, order: Order) -> Changed[KeyRecord]:
        """Store a key that is known by its digest only, or bring the stored one up to date.

        Safe to repeat, also after the key was re-keyed, and never brings a key back: the stored
        state stands. What makes it this key (tenant, format, environment, secret) cannot change:
        another secret needs another id.
        """
        problems = [*self._import_problems(record), *await self._tenant_problems(record.tenant_id)]
        if problems:
            raise Refused(problems)
        if await self._store.get_key(record.key_id) is None:
            fresh = replace(record, created_at=record.created_at or self._clock.now())
            return await self._ledger.insert(fresh, ChangeType.KEY_CREATED, order)

        def edit(before: KeyRecord) -> KeyRecord:
            return _brought_up(before, record)

        return await self._edit(record.key_id, edit, order)

    async def import_keys(self, records: Collection[KeyRecord], order: Order) -> None:
        """Import every key. Those that are stored just so, which is most of them at any start but the first, cost one
        question to the store together.
        """
        stored = await self._store.get_keys([record.key_id for record in records])
        for record in records:
            before = stored.get(record.key_id)
            if (
                before is None
                or any(self._import_problems(record))
                or _brought_up(before, record) != before
            ):
                await self.import_key(record, order)

    async def update_key(
        self, key_id: str, changes: KeyChanges, order: Order
    ) -> Changed[KeyRecord]:
        """Set the fields in `changes`.

        An expired key is given no new end: that would bring it back in silence.
        """

        def edit(before: KeyRecord) -> KeyRecord:
            if before.state is KeyState.REVOKED:
                raise Conflict(f"key '{key_id}' is revoked: nothing about it can change")
            values = settled(before, changes)
            problems = self._rules.problems(values, self._clock.now())
            if "expires_at" in values and self.state_of(before) is KeyState.EXPIRED:
                problems.append(("/expires_at", "the key has expired: create a new one"))
            if problems:
                raise Refused(problems)
            return replace(before, **values)

        return await self._edit(key_id, edit, order)

    async def suspend_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Stop a key for a while; a reason is mandatory. Suspending a suspended key changes
        nothing.
        """
        self._rules.require({"reason": order.reason}, self._clock.now())
        return await self._move(key_id, KeyState.SUSPENDED, order)

    async def resume_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Let a suspended key work again. Resuming an active key changes nothing."""
        return await self._move(key_id, KeyState.ACTIVE, order)

    async def revoke_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Stop a key for ever; a reason is mandatory. Revoking a revoked key changes nothing."""
        self._rules.require({"reason": order.reason}, self._clock.now())
        return await self._move(key_id, KeyState.REVOKED, order)

    async def rekey(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        """Store the digest that the key's token has under the current pepper.

        Nobody decided this, so nobody is told. Raises `Conflict` when the key changed since
        `record` was read. Does nothing when `pepper_id`, under which `digest` was made, is no
        longer the current one.
        """
        if record.state is not KeyState.REVOKED and pepper_id == self._peppers.current:
            renewed = replace(record, digest=digest, pepper_id=pepper_id)
            await self._ledger.write_key(renewed, record.revision)

    async def read(self, kind: type[R], record_id: str) -> R:
        """Return the record of this kind. Raises `NotFound`."""
        return await self._ledger.read(kind, record_id)

    async def get_key(self, key_id: str) -> KeyRecord:
        """Return the key."""
        return await self._ledger.read(KeyRecord, key_id)

    async def find_key(self, token: bytes) -> KeyRecord | None:
        """Return the key whose secret is `token`, or None."""
        if isinstance(self._formats.read(token), Reason):
            return None
        digests = [digest for _, digest in self._peppers.digests(token)]
        found = await self._store.find(digests)
        is_found = found is not None and any(compare_digest(found[0].digest, d) for d in digests)
        return found[0] if found is not None and is_found else None

    async def list_keys(
        self, query: KeyQuery, *, after: str = "", limit: int = 100
    ) -> Page[KeyRecord]:
        """Return one page of keys, ordered by id. The state asked for is the one that holds now.

        Expiry is not stored, so a page may hold fewer than `limit` keys, even none, though more
        follow.
        """
        state = query.state
        stored = replace(query, state="" if state == KeyState.EXPIRED else state)
        rows = await self._store.list_keys(stored, after=after, limit=limit + 1)
        wanted = [row for row in rows[:limit] if state in ("", self.state_of(row))]
        return Page(wanted, rows[limit - 1].key_id if len(rows) > limit else "")

    def now(self) -> float:
        """Return the time (epoch seconds) by which expiry is judged."""
        return self._clock.now()

    def state_of(self, record: KeyRecord) -> KeyState:
        """Return the state that holds now."""
        return record.state_at(self._clock.now())

    async def _move(self, key_id: str, to: KeyState, order: Order) -> Changed[KeyRecord]:
        event = _KEY_VERBS[to]

        def edit(before: KeyRecord) -> KeyRecord:
            if before.state is to:
                return before
            is_resumable = to is not KeyState.ACTIVE or before.state is KeyState.SUSPENDED
            if to not in TRANSITIONS[before.state] or not is_resumable:
                raise Conflict(f"key '{key_id}' is {before.state} and cannot become {to}")
            revoked_at = self._clock.now() if to is KeyState.REVOKED else before.revoked_at
            return replace(before, state=to, state_reason=order.reason, revoked_at=revoked_at)

        events = dict.fromkeys(("state", "state_reason", "revoked_at"), event)
        return await self._ledger.edit(KeyRecord, key_id, edit, order, events)

    async def _edit(
        self, key_id: str, edit: Callable[[KeyRecord], KeyRecord], order: Order
    ) -> Changed[KeyRecord]:
        return await self._ledger.edit(KeyRecord, key_id, edit, order, KEY_FIELD_EVENTS)

    async def _tenant_problems(self, tenant_id: str) -> list[Problem]:
        if await self._store.get_tenant(tenant_id) is None:
            return [("/tenant_id", f"there is no tenant '{tenant_id}'")]
        return []

    def _import_problems(self, record: KeyRecord) -> Iterable[Problem]:
        values = {name: getattr(record, name) for name in KEY_FIELD_EVENTS if name != "expires_at"}
        yield from self._rules.problems(values, self._clock.now())
        key_format = self._formats.get(record.format)
        if key_format is None:
            yield "/format", f"unknown format '{record.format}'"
        else:
            yield from environment_problems(key_format, record.environment)
        if record.pepper_id not in self._peppers.ids:
            yield "/pepper_id", f"unknown pepper '{record.pepper_id}'"
        if len(record.digest) != 32:
            yield "/digest", "must be the 32 bytes of an HMAC-SHA256"

    def _warnings(self, wish: KeyWish, record: KeyRecord) -> tuple[str, ...]:
        template = self._blueprints.template_of(wish)
        if not template.name or wish.scopes is None:
            return ()
        extra = self._scopes.granted(record.scopes) - self._scopes.granted(template.scopes)
        text = f"the key may do more than template '{template.name}': {', '.join(sorted(extra))}"
        return (text,) if extra else ()


def _brought_up(before: KeyRecord, record: KeyRecord) -> KeyRecord:
    """Return the stored key with what `record` says of it; a revoked one stays as it is."""
    _require_same_key(before, record)
    values = {name: getattr(record, name) for name in KEY_FIELD_EVENTS}
    return before if before.state is KeyState.REVOKED else replace(before, **values)


def _require_same_key(stored: KeyRecord, record: KeyRecord) -> None:
    differing = [name for name in _IDENTITY if getattr(stored, name) != getattr(record, name)]
    # Under another pepper the same secret has another digest: then nobody can compare them.
    if stored.pepper_id == record.pepper_id and not compare_digest(stored.digest, record.digest):
        differing.append("digest")
    if differing:
        names = ", ".join(differing)
        raise Conflict(f"key '{stored.key_id}' exists with another {names}: use another id")


def base62(length: int, random: Callable[[int], bytes]) -> str:
    """Return random characters, all equally likely: bytes from 248 = 4 * 62 on are thrown away."""
    characters: list[str] = []
    while len(characters) < length:
        characters += [BASE62[byte % 62] for byte in random(length) if byte < 248]
    return "".join(characters[:length])
