"""The one door through which keys and tenants change.

Knows which change of a key is allowed when. Who mints, rotates, imports or delivers stands beside it, and is reached
through it. It must not know who is asking over which transport, nor any SQL; how a change is committed is in `ledger`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any, Final, TypedDict

from gateway.domain.blueprint import Blueprints, KeyWish
from gateway.domain.change import KEY_FIELD_EVENTS, Change, ChangeType, Order, described
from gateway.domain.denial import Reason
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormats
from gateway.domain.key_rules import Problem, Refused, Rules, settled
from gateway.domain.key_states import Verb
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.policies import NO_RULES, Policies, PolicyRules
from gateway.domain.queries import KeyQuery
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.templates import Templates
from gateway.domain.tenants import Tenant
from gateway.keyring.admin_tokens import AdminTokens
from gateway.keyring.creating import Creation
from gateway.keyring.deliveries import Deliveries
from gateway.keyring.importing import Imports
from gateway.keyring.incidents import Incidents
from gateway.keyring.key_lists import page_of_keys
from gateway.keyring.lapses import Lapses
from gateway.keyring.leaks import Leaks
from gateway.keyring.ledger import Act, Changed, Ledger, Page, require_as_seen
from gateway.keyring.minting import Mint
from gateway.keyring.minting import Minted as Minted
from gateway.keyring.repeats import Repeats
from gateway.keyring.rotations import Rotations
from gateway.keyring.steps import Steps
from gateway.keyring.tenants import TenantRoll
from gateway.keyring.workshop import Workshop
from gateway.ports import Clock, Conflict, Enforce, KeyStore, R
from gateway.zones import zone_named

_POLICED: Final = ("scopes", "tags", "expires_at")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PepperReport:
    """How many keys, but for revoked ones, there are per pepper. New ones are made under `current`.

    A pepper that no key is under may leave the config.
    """

    current: str
    keys: Mapping[str, int]

    @property
    def waiting(self) -> int:
        """How many keys are not under the current pepper yet."""
        return sum(count for pepper_id, count in self.keys.items() if pepper_id != self.current)


class Keyring:
    """Creates, changes and ends keys; `tenants`, `rotations`, `incidents`, `deliveries` and `admin_tokens` do the same
    for theirs.

    A method that changes something returns after the change is committed and every bound copy
    is forgotten, in whatever process it was: the next request is judged by it, and what was under
    way and lost what had let it in is cut. Raises `Refused` when values break
    a rule, `NotFound` for an unknown id, `Conflict` when the state does not allow the change,
    `Stale` when the order was about another revision,
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
        environment_aliases: Mapping[str, str] | None = None,
        policies: PolicyRules = NO_RULES,
        declared_tenants: Collection[str] = (),
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        rules = Rules(scopes, plans, templates.by_name, zone_named)
        blueprints = Blueprints(formats, templates, environment_aliases or {})
        ledger = Ledger(store, clock, enforce, scopes.granted)
        workshop = Workshop(
            store=store,
            clock=clock,
            ledger=ledger,
            rules=rules,
            policies=Policies(scopes, policies),
            mint=Mint(formats, peppers, blueprints, random),
            steps=Steps(store, ledger, clock),
        )
        self.templates = templates
        self.granted = scopes.granted
        self.policies = workshop.policies
        self._store, self._clock, self._ledger = store, clock, ledger
        self._formats, self._peppers, self._rules = formats, peppers, rules
        self._steps = workshop.steps
        self._imports = Imports(workshop, formats, peppers)
        self.deliveries = Deliveries(workshop)
        self.rotations = Rotations(workshop, self.deliveries, scopes.granted)
        self.incidents = Incidents(workshop)
        self.leaks = Leaks(self, ledger, rules, clock)
        self.lapses = Lapses(workshop)
        self._creation = Creation(workshop, blueprints, scopes, self.deliveries)
        self.tenants = TenantRoll(workshop, declared_tenants)
        self.admin_tokens = AdminTokens(
            store=store,
            ledger=ledger,
            rules=rules,
            peppers=peppers,
            clock=clock,
            base62=workshop.mint.token,
            new_id=lambda: workshop.mint.new_id("adm"),
        )
        self.repeats = Repeats(store, clock)

    # ---- creating

    async def create_key(
        self, wish: KeyWish, order: Order, *, delivery_seconds: float | None = None
    ) -> Minted:
        """Mint a key for `wish`. The secret is in the answer and nowhere else.

        With `delivery_seconds` there is none yet: whoever uses the link within that time is given it, once.
        """
        return await self._creation.create(wish, order, delivery_seconds)

    async def kind_of(self, wish: KeyWish) -> KeyKind:
        """Return the kind of key that `wish` leads to: one for several tenants takes `Right.ADMINISTER` (IV-14).

        So does changing the `tenants` of a key. Who asks is not known here.
        """
        return await self._creation.kind_of(wish)

    async def import_key(self, record: KeyRecord, order: Order) -> Changed[KeyRecord]:
        """Store a key that is known by its digest only, or bring the stored one up to date; safe to repeat."""
        return await self._imports.one(record, order)

    async def import_keys(self, records: Collection[KeyRecord], order: Order) -> None:
        """Import every key."""
        await self._imports.all(records, order)

    async def take_over(self, record: KeyRecord | Tenant, order: Order) -> None:
        """Store a key or tenant just as another store of this gateway had it. No rule is asked: it was kept then.

        Raises `Conflict` when its id or digest is taken.
        """
        is_key = isinstance(record, KeyRecord)
        event = ChangeType.KEY_CREATED if is_key else ChangeType.TENANT_CREATED
        await self._ledger.insert(record, event, order)

    # ---- changing

    async def update_key(
        self, key_id: str, changes: KeyChanges, order: Order
    ) -> Changed[KeyRecord]:
        """Set the fields in `changes`.

        An expired key is given no new end: that would bring it back in silence.
        """
        tenants_problems = await self._creation.tenants_problems(changes.get("tenants", ()))

        def edit(before: KeyRecord) -> KeyRecord:
            if self.state_of(before) is KeyState.REVOKED:
                raise Conflict(f"key '{key_id}' is revoked: nothing about it can change")
            values = settled(before, changes)
            kind = {"kind": before.kind} if "tenants" in values else {}
            problems = [*self._rules.problems(values | kind, self._clock.now()), *tenants_problems]
            if "expires_at" in values and self.state_of(before) is KeyState.EXPIRED:
                problems.append(("/expires_at", "the key has expired: extend it"))
            after = before if problems else replace(before, **values)
            problems += self._policed(before, after)
            if problems:
                raise Refused(problems)
            return after

        return await self._ledger.edit(KeyRecord, key_id, edit, order, KEY_FIELD_EVENTS)

    async def extend_key(self, key_id: str, expires_at: float, order: Order) -> Changed[KeyRecord]:
        """Give a key a later end; one that has expired works again. Nothing but this brings an expired key back."""
        self._rules.require({"expires_at": expires_at}, self._clock.now())

        def take(act: Act, key: KeyRecord) -> None:
            if key.expires_at is None or expires_at < key.expires_at:
                text = "is not later than the end that the key has"
                raise Refused([("/expires_at", text)])
            values: dict[str, Any] = {"expires_at": expires_at, "is_held": False}
            event = ChangeType.KEY_EXPIRATION_CHANGED
            after = self._steps.take(act, key, Verb.EXTEND, event, order, **values)
            if self.state_of(after) is KeyState.REVOKED:
                raise Conflict(f"cannot extend key '{key_id}': its rotation has ended")
            problems = self._policed(key, after)
            if problems:
                raise Refused(problems)

        return await self._step(key_id, order, take)

    async def suspend_key(
        self, key_id: str, order: Order, resume_at: float | None = None
    ) -> Changed[KeyRecord]:
        """Stop a key for a while, until `resume_at` (epoch seconds) or until further notice; a reason is mandatory.

        Suspending a suspended key changes nothing but the time until which it is.
        """
        now = self._clock.now()
        problems = self._rules.problems({"reason": order.reason}, now)
        if resume_at is not None and self._rules.problems({"expires_at": resume_at}, now):
            problems.append(("/resume_at", "must lie in the future, before the year 10000"))
        if problems:
            raise Refused(problems)

        def take(act: Act, key: KeyRecord) -> None:
            event = ChangeType.KEY_SUSPENDED
            self._steps.take(act, key, Verb.SUSPEND, event, order, resume_at=resume_at)

        return await self._step(key_id, order, take)

    async def resume_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Let a suspended key work again. Resuming an active key changes nothing."""

        def take(act: Act, key: KeyRecord) -> None:
            self._steps.take(act, key, Verb.RESUME, ChangeType.KEY_RESUMED, order, resume_at=None)

        return await self._step(key_id, order, take)

    # ---- ending

    async def revoke_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Stop a key for ever; a reason is mandatory. Revoking a revoked key changes nothing.

        A rotation that the key is part of ends: without the old key it is complete, without the new one aborted.
        """
        self._rules.require({"reason": order.reason}, self._clock.now())

        async def take(act: Act, key: KeyRecord) -> None:
            await self._steps.revoke(act, key, order)

        return await self._step(key_id, order, take)

    async def delete_key(self, key_id: str, order: Order) -> Changed[KeyRecord]:
        """Revoke a key and leave it out of lists (X-22); a reason is mandatory. Its record and audit stay."""
        self._rules.require({"reason": order.reason}, self._clock.now())

        async def take(act: Act, key: KeyRecord) -> None:
            event = ChangeType.KEY_DELETED
            await self._steps.revoke(act, key, order, event, is_hidden=True)

        return await self._step(key_id, order, take)

    # ---- finding

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

    async def look_up(
        self, token: bytes, order: Order, tenant_ids: Sequence[str] | None = None
    ) -> KeyRecord | None:
        """Return the key whose secret is `token`, or None, once the audit trail has told that somebody asked.

        With `tenant_ids` only a key of one of them is found. What is not found is told of the first of them.
        """
        found = await self.find_key(token)
        if found is not None and tenant_ids is not None and found.tenant_id not in tenant_ids:
            found = None
        asker = tenant_ids[0] if tenant_ids else ""
        await self._ledger.tell(
            [
                Change(
                    type=ChangeType.KEY_LOOKED_UP,
                    actor=order.actor,
                    tenant_id=asker if found is None else found.tenant_id,
                    key_id="" if found is None else found.key_id,
                    after={"is_found": found is not None},
                    at=self._clock.now(),
                )
            ]
        )
        return found

    async def list_keys(
        self, query: KeyQuery, *, after: str = "", limit: int = 100
    ) -> Page[KeyRecord]:
        """Return one page of keys. The state asked for is the one that holds now.

        A page may hold fewer than `limit` keys, even none, though more follow: what is rare among
        many is looked for as long as somebody waits for an answer.
        """
        return await page_of_keys(self._store, self._clock, query, after, limit)

    async def rekey(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        """Store the digest that the key's token has under the current pepper.

        Nobody decided this, so nobody is told. Raises `Conflict` when the key changed since
        `record` was read. Does nothing when `pepper_id`, under which `digest` was made, is no
        longer the current one.
        """
        if record.state is not KeyState.REVOKED and pepper_id == self._peppers.current:
            renewed = replace(record, digest=digest, pepper_id=pepper_id)
            await self._ledger.write_key(renewed, record.revision)

    @property
    def current_pepper(self) -> str:
        """The id of the pepper under which keys are hashed now."""
        return self._peppers.current

    async def pepper_report(self) -> PepperReport:
        """Return how many keys are under which pepper; `KeyQuery.not_pepper_id` lists those that are not under one."""
        return PepperReport(current=self._peppers.current, keys=await self._store.count_peppers())

    def rotation_due(self, record: KeyRecord) -> float | None:
        """Return when the key is due for rotation (epoch seconds), which may be over; None for never (HP-10)."""
        return self.policies.rotation_due(record, self._clock.now())

    def now(self) -> float:
        """Return the time (epoch seconds) by which expiry is judged."""
        return self._clock.now()

    def state_of(self, record: KeyRecord) -> KeyState:
        """Return the state that holds now."""
        return record.state_at(self._clock.now())

    # ---- parts

    async def _step(
        self,
        key_id: str,
        order: Order,
        take: Callable[[Act, KeyRecord], Awaitable[None] | None],
    ) -> Changed[KeyRecord]:
        """Commit what `take` adds to an act about the key as it is."""

        async def plan() -> Act:
            act = Act()
            key = await self._ledger.read(KeyRecord, key_id)
            require_as_seen(key, order)
            pending = take(act, key)
            if pending is not None:
                await pending
            return act

        enacted = await self._ledger.enact(plan, order)
        return Changed(enacted.the(KeyRecord, key_id), enacted.enforced)

    def _policed(self, before: KeyRecord, after: KeyRecord) -> list[Problem]:
        """Return what the policies have against a change of what they are about."""
        if all(getattr(before, name) == getattr(after, name) for name in _POLICED):
            return []
        found = self.policies.overstay(described(after), after.created_at)
        return [("/expires_at", found.text)] if found is not None and found.is_enforced else []
