"""API keys: what a key is, which states it passes through, and what it is bound to when it is used.

Knows the key record and what time makes of it; which state may follow which is in `key_states`. It
must not know how a record is stored or how a digest is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.domain.denial import Reason
from gateway.domain.limits import Claim
from gateway.domain.networks import Allowlist
from gateway.domain.shadow import ShadowRules
from gateway.domain.tenants import Tenant


class KeyState(StrEnum):
    """The stored state. What time makes of it counts before it is stored: see `KeyRecord.state_at`."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ROTATING = "rotating"
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyKind(StrEnum):
    """Whom a key acts for: its own tenant, or one of several that each request names."""

    REGULAR = "regular"
    MULTI_TENANT = "multi_tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One API key as the store holds it; the secret itself is nowhere.

    `digest` is HMAC-SHA256(pepper `pepper_id`, token), 32 bytes. `key_id` and `lineage_id` are
    public, 32 characters after their prefix (`key_`, `lin_`); the members of a rotation share the
    lineage. `display` is what a person may see of the token (`sk_live_ab12…wxyz`). `scopes` are the
    granted names as written: atoms, bundles or wildcards. `ip_allowlist` are addresses and CIDR
    ranges as written; empty allows every address. Times are epoch seconds (UTC); `None` means
    never. `plan` names a plan of the config; empty takes the tenant's. `template` is the class of
    the key: the template that it was made from. A `multi_tenant` key acts for the children of its
    tenant and for `tenants`. `ip_allowlist_mode` `shadow` counts what the list would refuse and
    refuses nothing. A suspended key works again from `resume_at` on; a rotating one stops at
    `retires_at`. An expired key is held when it was suspended before, and is again once it is
    extended. A hidden key is left out of lists. `revision` is the store revision of the last
    change.
    """

    key_id: str
    lineage_id: str
    tenant_id: str
    name: str
    format: str
    environment: str
    digest: bytes = field(repr=False)
    pepper_id: str
    display: str
    state: KeyState = KeyState.ACTIVE
    state_reason: str = ""
    scopes: tuple[str, ...] = ()
    ip_allowlist: tuple[str, ...] = ()
    plan: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    template: str = ""
    kind: KeyKind = KeyKind.REGULAR
    tenants: tuple[str, ...] = ()
    ip_allowlist_mode: str = "enforce"
    is_hidden: bool = False
    is_held: bool = False
    resume_at: float | None = None
    retires_at: float | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    revision: int = 0

    def state_at(self, now: float) -> KeyState:
        """Return the state that holds at `now` (epoch seconds): the stored one, or what time has made of it."""
        if self.state is KeyState.REVOKED:
            return KeyState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return KeyState.EXPIRED
        if self.retires_at is not None and now >= self.retires_at:
            return KeyState.REVOKED
        is_resumed = self.resume_at is not None and now >= self.resume_at
        if self.state is KeyState.SUSPENDED and is_resumed:
            return KeyState.ACTIVE if self.retires_at is None else KeyState.ROTATING
        return self.state

    def refusal_at(self, now: float) -> Reason | None:
        """Say why the key may not be used at `now` (epoch seconds), or None if it may."""
        return _REFUSALS.get(self.state_at(now))

    def may_act_for(self, tenant: Tenant) -> bool:
        """Say whether requests with this key may be made for `tenant`."""
        if tenant.is_deleted:
            return False
        if tenant.tenant_id == self.tenant_id:
            return True
        if self.kind is not KeyKind.MULTI_TENANT:
            return False
        return tenant.parent_id == self.tenant_id or tenant.tenant_id in self.tenants


_REFUSALS: Final[Mapping[KeyState, Reason]] = {
    KeyState.REVOKED: Reason.KEY_REVOKED,
    KeyState.EXPIRED: Reason.KEY_EXPIRED,
    KeyState.SUSPENDED: Reason.KEY_SUSPENDED,
}


class BoundKey:
    """A key with everything that a request needs, compiled once when the key is loaded.

    `tenant` is who the requests are made for and `owner` whose key it is: the same, but for a
    `multi_tenant` key that acts for another. `scopes` are the granted atoms; `allowlists` every
    enabled list that the client address must satisfy (key, owner, tenant); `claims` the limits that
    each request draws on; `identity` the ready header block for the upstream
    (`Name: value\\r\\n` lines); `expires_at` is `inf` for a key that never expires; `generation`
    the number of the config that it was bound under. `shadow` are the rules of the key and its
    tenants that refuse nothing, None without any. `usable_until` is
    the epoch second from which it must be asked whether it may be used: `expires_at` or the end of
    its rotation, or minus infinity for a key that is not in use. Replaced as a whole when the key,
    its tenants or the config changes, never mutated. `is_billable` says whether requests count
    towards the bill. `label` is short for which key acts for whom: its id when it is for its owner.
    """

    __slots__ = (
        "allowlists",
        "claims",
        "expires_at",
        "generation",
        "identity",
        "is_billable",
        "label",
        "owner",
        "record",
        "scopes",
        "shadow",
        "tenant",
        "usable_until",
    )

    def __init__(
        self,
        *,
        record: KeyRecord,
        tenant: Tenant,
        scopes: frozenset[str],
        allowlists: tuple[Allowlist, ...],
        claims: tuple[Claim, ...],
        identity: bytes,
        generation: int = 0,
        owner: Tenant | None = None,
        is_billable: bool = True,
        shadow: ShadowRules | None = None,
    ) -> None:
        self.record = record
        self.tenant = tenant
        self.owner = tenant if owner is None else owner
        is_own = tenant.tenant_id == record.tenant_id
        self.label = record.key_id if is_own else f"{record.key_id}@{tenant.tenant_id}"
        self.scopes = scopes
        self.allowlists = allowlists
        self.claims = claims
        self.identity = identity
        self.generation = generation
        self.is_billable = is_billable
        self.shadow = shadow
        self.expires_at = float("inf") if record.expires_at is None else record.expires_at
        is_in_use = self.refusal(float("-inf")) is None
        ends = self.expires_at if record.retires_at is None else record.retires_at
        self.usable_until = min(self.expires_at, ends) if is_in_use else float("-inf")

    def refusal(self, now: float) -> Reason | None:
        """Say why the key may not be used at `now` (epoch seconds), or None if it may."""
        refused = self.record.refusal_at(now)
        if refused is None and self.owner.is_deleted:
            return Reason.KEY_REVOKED
        if refused is None and (self.tenant.is_suspended or self.owner.is_suspended):
            return Reason.TENANT_SUSPENDED
        return refused
