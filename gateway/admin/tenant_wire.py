"""What the admin API reads and writes about tenants, as JSON.

Knows names, types and defaults on the wire, as `wire` does for keys. It must not judge values: the keyring does.
"""

from __future__ import annotations

from typing import Any, Self, cast

from pydantic import Field

from gateway.admin.shapes import Shape, View
from gateway.admin.wire import Act, Mode, Name, Names, given, instant
from gateway.domain.tenants import Tenant, TenantState
from gateway.keyring.tenant_deletion import TenantDeleted
from gateway.keyring.tenants import TenantChanges


class TenantCreate(Shape):
    """The body of `POST /tenants`."""

    tenant_id: str | None = None
    name: Name
    parent_id: str = ""
    ip_allowlist: Names = ()
    ip_allowlist_enabled: bool = False
    ip_allowlist_mode: Mode = "enforce"
    plan: str = ""
    default_template: str = ""
    export_name: str = ""
    alerts: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)

    def tenant(self) -> Tenant:
        """Return the tenant that is asked for."""
        return Tenant(**(self.model_dump() | {"tenant_id": self.tenant_id or ""}))


class TenantUpdate(Shape):
    """The body of `PATCH /tenants/{tenant_id}`: a JSON merge patch (RFC 7396), so null removes."""

    name: str = ""
    ip_allowlist: Names | None = None
    ip_allowlist_enabled: bool = False
    ip_allowlist_mode: Mode = "enforce"
    plan: str | None = None
    default_template: str | None = None
    export_name: str | None = None
    alerts: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    def changes(self) -> TenantChanges:
        """Return the fields that the body names."""
        return cast("TenantChanges", given(self))


class TenantView(View):
    """A tenant as everyone with access may see it."""

    tenant_id: str
    name: str
    parent_id: str
    state: TenantState
    state_reason: str
    ip_allowlist: Names
    ip_allowlist_enabled: bool
    ip_allowlist_mode: Mode
    plan: str
    default_template: str
    export_name: str
    alerts: dict[str, Any]
    metadata: dict[str, Any]
    created_at: str | None
    deleted_at: str | None
    revision: int

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        """Show `tenant`."""
        return cls(**_shown(tenant))


class TenantDelete(Act):
    """The body of `DELETE /tenants/{tenant_id}`: why, and what may go with it.

    A tenant with keys that have not ended, or with children, is deleted only with `revoke_keys` or `delete_children`.
    """

    revoke_keys: bool = False
    delete_children: bool = False


class TenantGone(TenantView):
    """A deleted tenant, and how much went with it, children and what they owned included."""

    keys_revoked: int
    children_deleted: int
    admin_tokens_revoked: int

    @classmethod
    def of_deleted(cls, gone: TenantDeleted) -> Self:
        """Show what is left of a tenant."""
        return cls(
            **_shown(gone.tenant),
            keys_revoked=gone.keys,
            children_deleted=gone.children,
            admin_tokens_revoked=gone.admin_tokens,
        )


def _shown(tenant: Tenant) -> dict[str, Any]:
    """Return the fields of a view."""
    special = {"created_at", "deleted_at", "metadata", "alerts"}
    return {
        **{name: getattr(tenant, name) for name in TenantView.model_fields.keys() - special},
        "metadata": dict(tenant.metadata),
        "alerts": dict(tenant.alerts),
        "created_at": instant(tenant.created_at),
        "deleted_at": instant(tenant.deleted_at),
    }
