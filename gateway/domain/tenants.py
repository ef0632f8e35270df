"""Tenants: who owns keys (a workspace, a company, an account)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

TENANT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What the id of a tenant may be: it stands in names of buckets and in headers."""


class TenantState(StrEnum):
    """What a tenant is."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant as the store holds it.

    `tenant_id` is `ten_` and 32 characters, or a name chosen in `bootstrap`. `ip_allowlist` counts
    only while `ip_allowlist_enabled` (the off switch of a dashboard keeps the list). `plan` names
    the plan that limits the tenant as a whole and is the default of its keys. `parent_id` is the
    tenant that it belongs to (a partner's customer), empty for one that stands by itself.
    `ip_allowlist_mode` `shadow` counts what the list would refuse and refuses nothing. New keys
    are made from `default_template` when nothing else is said; `export_name` is the variable that
    customers keep a key in. `alerts` are the tenant's own alert settings. A deleted tenant stays as a mark that its id
    was in use: see `deleted`.
    """

    tenant_id: str
    name: str
    is_suspended: bool = False
    state_reason: str = ""
    ip_allowlist: tuple[str, ...] = ()
    ip_allowlist_enabled: bool = False
    plan: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str = ""
    ip_allowlist_mode: str = "enforce"
    default_template: str = ""
    export_name: str = ""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    deleted_at: float | None = None
    revision: int = 0

    @property
    def is_deleted(self) -> bool:
        """Tell whether nothing but the name of the tenant is left."""
        return self.deleted_at is not None

    @property
    def state(self) -> TenantState:
        """Return what the tenant is."""
        if self.is_deleted:
            return TenantState.DELETED
        return TenantState.SUSPENDED if self.is_suspended else TenantState.ACTIVE

    @property
    def enforced_allowlist(self) -> tuple[str, ...]:
        """Return the entries that a client address must satisfy; empty allows every address."""
        return self.ip_allowlist if self.ip_allowlist_enabled else ()


def deleted(tenant: Tenant, at: float, reason: str) -> Tenant:
    """Return what is left of a tenant that is deleted at `at`: id, name, parent, and when and why.

    It is suspended besides: a gateway of an earlier version, which knows nothing of deletion, refuses it as well.
    """
    bare = Tenant(tenant_id=tenant.tenant_id, name=tenant.name, parent_id=tenant.parent_id)
    return replace(
        bare,
        is_suspended=True,
        state_reason=reason,
        created_at=tenant.created_at,
        deleted_at=at,
        revision=tenant.revision,
    )


def is_within(tenant: Tenant, root_id: str) -> bool:
    """Say whether `tenant` is the one called `root_id` or a child of it: who is bound to that one may see it."""
    return root_id in (tenant.tenant_id, tenant.parent_id)
