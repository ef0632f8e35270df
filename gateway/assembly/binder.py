"""Binds a stored key to everything that a request needs, once, when the key is loaded.

Knows how scopes, plans, allowlists and identity headers follow from a record, its tenant and the config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

from gateway.assembly import policy
from gateway.config import model
from gateway.domain.keys import BoundKey, KeyRecord
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
        granted, scopes_line = self._grant(record.scopes)
        return BoundKey(
            record=record,
            tenant=tenant,
            scopes=granted,
            allowlists=tuple(self._allowlists(record, tenant, ENFORCE)),
            claims=tuple(chain.from_iterable(self._claims(record, tenant, is_shadow=False))),
            identity=self._identity(record, scopes_line),
            generation=self._generation,
            shadow=shadow_rules(
                allowlists=tuple(self._allowlists(record, tenant, SHADOW)),
                plans=tuple(self._claims(record, tenant, is_shadow=True)),
            ),
        )

    def _allowlists(self, record: KeyRecord, tenant: Tenant, mode: str) -> Iterable[Allowlist]:
        """Yield the lists that are in `mode`; what is neither enforced nor tried is enforced."""
        if record.ip_allowlist and (record.ip_allowlist_mode == SHADOW) is (mode == SHADOW):
            yield self._allowlist("key", record.ip_allowlist)
        entries = tenant.enforced_allowlist
        if entries and (tenant.ip_allowlist_mode == SHADOW) is (mode == SHADOW):
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

    def _claims(
        self, record: KeyRecord, tenant: Tenant, *, is_shadow: bool
    ) -> Iterable[tuple[Claim, ...]]:
        """Yield what each request draws on: the key's plan for its lineage, and every plan for its tenant.

        Those of plans that are enforced, or of those in shadow mode.
        """
        names = policy.plan_names(self._config, record, tenant)
        plans = [self._plan(name, record.key_id) for name in names]
        for plan in plans[:1]:
            if plan.is_shadow is is_shadow:
                yield policy.claims(plan, "lineage", record.lineage_id)
        for plan in plans:
            if plan.is_shadow is is_shadow:
                yield policy.claims(plan, "tenant", tenant.tenant_id)

    def _plan(self, name: str, owner: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None or set(plan.owners) == {"route"}:
            # A plan that left the config must not turn a limited key into an unlimited one.
            raise LookupError(
                f"{owner} is on plan {name!r}, which the config does not declare for keys"
            )
        return plan

    def _identity(self, record: KeyRecord, scopes_line: str) -> bytes:
        """Return the lines that tell the upstream who the caller is."""
        names = self._config.identity_headers
        lines = {
            names.key_id: record.key_id,
            names.lineage: record.lineage_id,
            names.tenant: record.tenant_id,
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
