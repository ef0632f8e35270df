"""Binds a stored key to everything that a request needs, once, when the key is loaded.

Knows how scopes, plans, allowlists and identity headers follow from a record, its tenant and the config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

from gateway.assembly import policy
from gateway.config import model
from gateway.domain.keys import BoundKey, KeyKind, KeyRecord
from gateway.domain.limits import Claim, Plan
from gateway.domain.networks import Allowlist
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.shadow import ENFORCE, SHADOW, shadow_rules
from gateway.domain.tenants import Tenant

_SHARED_MAX: Final = 10_000
"""Different lists of scopes, and of networks, that keys share; beyond, sharing begins anew."""


class Binder:
    """Implements the `bind` that `CachedKeys` calls; one per configuration, whose number is `generation`."""

    def __init__(
        self,
        config: model.Config,
        plans: Mapping[str, Plan],
        scopes: ScopeCatalogue,
        generation: int = 0,
    ) -> None:
        self._generation = generation
        self._config = config
        self._plans = plans
        self._scopes = scopes
        self._granted: dict[tuple[str, ...], tuple[frozenset[str], str]] = {}
        self._allowed: dict[tuple[str, tuple[str, ...]], Allowlist] = {}

    def __call__(self, record: KeyRecord, tenant: Tenant) -> BoundKey:
        """Return `record` of `tenant`, ready for requests.

        Raises `LookupError` when the config no longer declares what the key is bound to, `ValueError` when the store
        holds what no door lets in: such a key is refused, never used with less than its limits.
        """
        return self._bound(record, tenant, tenant)

    def act(self, key: BoundKey, tenant: Tenant) -> BoundKey:
        """Return `key` as it acts for another tenant than its own: that only adds to what it has to satisfy.

        Raises like a call.
        """
        return self._bound(key.record, key.owner, tenant)

    def _bound(self, record: KeyRecord, owner: Tenant, tenant: Tenant) -> BoundKey:
        granted, scopes_line = self._grant(record.scopes)
        drawn = [*self._drawn(record, owner, tenant)]
        return BoundKey(
            record=record,
            tenant=tenant,
            owner=owner,
            scopes=granted,
            allowlists=tuple(self._allowlists(record, owner, tenant, ENFORCE)),
            claims=tuple(chain.from_iterable(c for plan, c in drawn if not plan.is_shadow)),
            identity=self._identity(record, tenant, scopes_line),
            generation=self._generation,
            is_billable=self._config.environments[record.environment].billable,
            shadow=shadow_rules(
                allowlists=tuple(self._allowlists(record, owner, tenant, SHADOW)),
                plans=tuple(claims for plan, claims in drawn if plan.is_shadow),
            ),
        )

    def _allowlists(
        self, record: KeyRecord, owner: Tenant, tenant: Tenant, mode: str
    ) -> Iterable[Allowlist]:
        """Yield the lists that are in `mode`; what is neither enforced nor tried is enforced."""
        if record.ip_allowlist and (record.ip_allowlist_mode == SHADOW) is (mode == SHADOW):
            yield self._allowlist("key", record.ip_allowlist)
        for each in (owner,) if tenant is owner else (owner, tenant):
            entries = each.enforced_allowlist
            if entries and (each.ip_allowlist_mode == SHADOW) is (mode == SHADOW):
                yield self._allowlist("tenant", entries)

    def _allowlist(self, owner: str, entries: tuple[str, ...]) -> Allowlist:
        known = self._allowed.get((owner, entries))
        if known is None:
            if len(self._allowed) >= _SHARED_MAX:
                self._allowed.clear()
            known = self._allowed[owner, entries] = Allowlist(entries, owner)
        return known

    def _grant(self, names: tuple[str, ...]) -> tuple[frozenset[str], str]:
        """Return the atoms that `names` grant, and what the upstream is told of them."""
        known = self._granted.get(names)
        if known is None:
            if len(self._granted) >= _SHARED_MAX:
                self._granted.clear()
            granted = self._scopes.granted(names)
            known = self._granted[names] = granted, " ".join(sorted(granted))
        return known

    def _drawn(
        self, record: KeyRecord, owner: Tenant, tenant: Tenant
    ) -> Iterable[tuple[Plan, tuple[Claim, ...]]]:
        """Yield what each request draws on, by plan: the key's plan for its lineage, in all and for the tenant that it
        acts for, every plan for its owner, and that tenant's own.
        """
        names = policy.plan_names(self._config, record, owner)
        plans = [self._plan(name, record.key_id) for name in names]
        pair = f"{record.lineage_id}@{tenant.tenant_id}"
        for plan in plans[:1]:
            yield plan, policy.claims(plan, "lineage", record.lineage_id)
            yield plan, policy.claims(plan, "lineage_tenant", pair)
        for plan in plans:
            yield plan, policy.claims(plan, "tenant", owner.tenant_id)
        if tenant is not owner:
            yield from self._drawn_for(record, tenant)

    def _drawn_for(
        self, record: KeyRecord, tenant: Tenant
    ) -> Iterable[tuple[Plan, tuple[Claim, ...]]]:
        """Yield what a request draws on besides, because it is for another tenant than the key's: that one's own."""
        name = self._config.environments[record.environment].plan or tenant.plan
        if name:
            plan = self._plan(name, tenant.tenant_id)
            yield plan, policy.claims(plan, "tenant", tenant.tenant_id)

    def _plan(self, name: str, owner: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None or set(plan.owners) == {"route"}:
            # A plan that left the config must not turn a limited key into an unlimited one.
            raise LookupError(
                f"{owner} is on plan {name!r}, which the config does not declare for keys"
            )
        return plan

    def _identity(self, record: KeyRecord, tenant: Tenant, scopes_line: str) -> bytes:
        """Return the lines that tell the upstream who the caller is."""
        names = self._config.identity_headers
        is_multi_tenant = record.kind is KeyKind.MULTI_TENANT
        lines = {
            names.key_id: record.key_id,
            names.lineage: record.lineage_id,
            names.tenant: tenant.tenant_id,
            **({names.key_tenant: record.tenant_id} if is_multi_tenant else {}),
            names.scopes: scopes_line,
            names.environment: record.environment,
            **self._config.environments[record.environment].forward,
        }
        return b"".join(_line(name, value) for name, value in lines.items() if name)


def _line(name: str, value: str) -> bytes:
    if not (value.isascii() and value.isprintable()):
        # Only a store that was written past the keyring can hold this: it would be a line of its own.
        raise ValueError(
            f"{name}: a value for the upstream holds characters that no header may have"
        )
    return b"%b: %b\r\n" % (name.encode("ascii"), value.encode("ascii"))
