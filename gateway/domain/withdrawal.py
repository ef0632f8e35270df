"""What a change takes away from requests that are under way.

Knows which of the reasons that would refuse a request now apply to one that was let through before: its key or tenant
is not in use any more, the key acts for that tenant no more, its address is no longer allowed, a scope of its route is
gone. It must not know connections.
Objects of these classes travel to other processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.networks import Allowlist
from gateway.domain.streams import Condemn, OpenStream
from gateway.domain.tenants import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """Condemns what a key, or a tenant, may no longer do; a `domain.streams.Condemn`.

    Exactly one of `key_id` and `tenant_id` is given. `refusal` ends all of its requests; else those from an address
    that `allowlist` does not allow, and those on a route with a scope that is not among `scopes` (None: as before).
    Of a key also those for a tenant that is neither among `tenants` (None: as before) nor a child of its owner.
    """

    key_id: str = ""
    tenant_id: str = ""
    refusal: Reason | None = None
    allowlist: Allowlist | None = None
    scopes: frozenset[str] | None = None
    tenants: frozenset[str] | None = None

    def __call__(self, stream: OpenStream) -> Reason | None:
        """Say why `stream` has to end, or None if it may go on."""
        key = stream.key
        if key is None:
            return None
        if self.key_id and key.record.key_id != self.key_id:
            return None
        if self.tenant_id and self.tenant_id not in (key.record.tenant_id, key.tenant.tenant_id):
            return None
        if self.refusal is not None:
            return self.refusal
        if self.tenants is not None and not self._may_act(key, self.tenants):
            return Reason.CROSS_TENANT
        if self.allowlist is not None and not self.allowlist.allows(stream.client_address):
            return Reason.IP_NOT_ALLOWED
        needed = () if stream.route is None else stream.route.scopes
        if self.scopes is not None and not self.scopes.issuperset(needed):
            return Reason.INSUFFICIENT_SCOPE
        return None

    @staticmethod
    def _may_act(key: BoundKey, tenants: frozenset[str]) -> bool:
        """Tell whether the key may still act for the tenant of the request."""
        tenant = key.tenant
        return tenant.tenant_id in tenants or tenant.parent_id == key.record.tenant_id


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """Condemns what any of its parts does; a `domain.streams.Condemn`.

    A stream is judged by the parts about its key and its tenants: what a thousand keys lost is told of each of ten
    thousand streams in three look-ups.
    """

    parts: tuple[Withdrawn, ...]
    _by_id: dict[str, list[Withdrawn]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id: dict[str, list[Withdrawn]] = {}
        for part in self.parts:
            by_id.setdefault(part.key_id or part.tenant_id, []).append(part)
        object.__setattr__(self, "_by_id", by_id)

    def __call__(self, stream: OpenStream) -> Reason | None:
        """Say why `stream` has to end, or None if it may go on."""
        key = stream.key
        if key is None:
            return None
        record = key.record
        for each in dict.fromkeys((record.key_id, record.tenant_id, key.tenant.tenant_id)):
            for part in self._by_id.get(each, ()):
                reason = part(stream)
                if reason is not None:
                    return reason
        return None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Condemns what any of `condemns` does; a `domain.streams.Condemn`."""

    condemns: tuple[Condemn, ...]

    def __call__(self, stream: OpenStream) -> Reason | None:
        """Say why `stream` has to end, or None if it may go on."""
        for condemn in self.condemns:
            reason = condemn(stream)
            if reason is not None:
                return reason
        return None


def together(condemns: Iterable[Condemn]) -> Condemn | None:
    """Return what condemns whatever one of `condemns` does; None for none."""
    parts: list[Withdrawn] = []
    others: list[Condemn] = []
    for each in condemns:
        if isinstance(each, Withdrawals):
            parts += each.parts
        else:
            others.append(each)
    if parts:
        others.append(Withdrawals(tuple(parts)))
    return others[0] if len(others) == 1 else AnyOf(tuple(others)) if others else None


def withdrawn_of_key(record: KeyRecord, scopes: frozenset[str], now: float) -> Withdrawn:
    """Return what `record`, which grants `scopes`, leaves to requests that were let through before."""
    is_enforced = record.ip_allowlist and record.ip_allowlist_mode == "enforce"
    return Withdrawn(
        key_id=record.key_id,
        refusal=record.refusal_at(now),
        allowlist=Allowlist(record.ip_allowlist) if is_enforced else None,
        scopes=scopes,
        tenants=frozenset((record.tenant_id, *record.tenants)),
    )


def withdrawn_of_tenant(tenant: Tenant) -> Withdrawn:
    """Return what `tenant` leaves to requests that were let through before."""
    entries = tenant.enforced_allowlist
    is_enforced = entries and tenant.ip_allowlist_mode == "enforce"
    refusal = Reason.TENANT_SUSPENDED if tenant.is_suspended else None
    return Withdrawn(
        tenant_id=tenant.tenant_id,
        refusal=Reason.KEY_REVOKED if tenant.is_deleted else refusal,
        allowlist=Allowlist(entries) if is_enforced else None,
    )
