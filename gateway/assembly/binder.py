"""Binds a stored key to everything that a request needs, once, when the key is loaded.

Knows how scopes, plans, allowlists and identity headers follow from a record, its tenant and the config.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from gateway.assembly import policy
from gateway.config import model
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim, Plan
from gateway.domain.networks import Allowlist
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.tenants import Tenant

_log = logging.getLogger(__name__)


class Binder:
    """Implements the `bind` that `CachedKeys` calls; one per configuration."""

    def __init__(
        self, config: model.Config, plans: Mapping[str, Plan], scopes: ScopeCatalogue
    ) -> None:
        self._plans = plans
        self._scopes = scopes
        self._identity = config.identity_headers
        self._environments = config.environments

    def __call__(self, record: KeyRecord, tenant: Tenant) -> BoundKey:
        """Return `record` of `tenant`, ready for requests."""
        granted = self._scopes.granted(record.scopes)
        return BoundKey(
            record=record,
            tenant=tenant,
            scopes=granted,
            allowlists=tuple(self._allowlists(record, tenant)),
            claims=self._claims(record, tenant),
            identity=self._identity_block(record, granted),
        )

    def _allowlists(self, record: KeyRecord, tenant: Tenant) -> Iterable[Allowlist]:
        if record.ip_allowlist:
            yield Allowlist(record.ip_allowlist)
        if tenant.ip_allowlist_enabled and tenant.ip_allowlist:
            yield Allowlist(tenant.ip_allowlist)

    def _claims(self, record: KeyRecord, tenant: Tenant) -> tuple[Claim, ...]:
        """Return the claims of the key's plan (environment before key before tenant) and of the tenant's own."""
        environment = self._environments.get(record.environment)
        name = (environment.plan if environment is not None else "") or record.plan or tenant.plan
        of_tenant = self._plan(tenant.plan, tenant.tenant_id)
        return policy.claims(
            self._plan(name, record.key_id), "lineage", record.lineage_id
        ) + policy.claims(of_tenant, "tenant", tenant.tenant_id)

    def _plan(self, name: str, owner: str) -> Plan | None:
        if not name:
            return None
        plan = self._plans.get(name)
        if plan is None:
            # A plan that left the config must not turn a limited key into an unlimited one.
            raise LookupError(f"{owner} is on plan {name!r}, which the config does not declare")
        return plan

    def _identity_block(self, record: KeyRecord, granted: frozenset[str]) -> bytes:
        names = self._identity
        lines = {
            names.key_id: record.key_id,
            names.lineage: record.lineage_id,
            names.tenant: record.tenant_id,
            names.scopes: " ".join(sorted(granted)),
            names.environment: record.environment,
        }
        environment = self._environments.get(record.environment)
        if environment is not None:
            lines.update(environment.forward)
        return b"".join(
            b"%b: %b\r\n" % (name.encode("ascii"), value.encode("utf-8"))
            for name, value in lines.items()
            if name
        )
