"""What the admin API reads and writes about tenants, as JSON.

Knows names, types and defaults on the wire, as `wire` does for keys. It must not judge values: the keyring does.
"""

from __future__ import annotations

from typing import Any, Literal, Self, cast

from pydantic import Field

from gateway.admin.shapes import Shape, View
from gateway.admin.wire import Mode, Name, Names, given, instant
from gateway.domain.tenants import Tenant
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
    state: Literal["active", "suspended"]
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
    revision: int

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        """Show `tenant`."""
        names = cls.model_fields.keys() - {"state", "created_at", "metadata", "alerts"}
        return cls(
            **{name: getattr(tenant, name) for name in names},
            state="suspended" if tenant.is_suspended else "active",
            metadata=dict(tenant.metadata),
            alerts=dict(tenant.alerts),
            created_at=instant(tenant.created_at),
        )
