"""What happened to a key or a tenant, as a value: who did it, why, and what it was before and
after.

Knows the event types that the audit will keep. No secret and no digest may enter a change. It must
not know where changes are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from gateway.domain.redaction import without_secret


class ChangeType(StrEnum):
    """The stable name of an event."""

    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_SCOPES_CHANGED = "key.scopes_changed"
    KEY_IP_ALLOWLIST_CHANGED = "key.ip_allowlist_changed"
    KEY_EXPIRATION_CHANGED = "key.expiration_changed"
    KEY_LIMITS_CHANGED = "key.limits_changed"
    KEY_METADATA_CHANGED = "key.metadata_changed"
    KEY_TENANTS_CHANGED = "key.tenants_changed"
    KEY_ROTATION_STARTED = "key.rotation_started"
    KEY_ROTATION_COMPLETED = "key.rotation_completed"
    KEY_ROTATION_ABORTED = "key.rotation_aborted"
    KEY_SUSPENDED = "key.suspended"
    KEY_RESUMED = "key.resumed"
    KEY_REVOKED = "key.revoked"
    KEY_DELETED = "key.deleted"
    KEY_EXPIRED = "key.expired"
    KEY_COMPROMISED = "key.compromised"
    KEY_LEAK_REPORTED = "key.leak_reported"
    KEY_EXPIRY_NOTIFIED = "key.expiry_notified"
    KEY_DELIVERED = "key.delivered"
    KEY_LOOKED_UP = "key.looked_up"
    TENANT_CREATED = "tenant.created"
    TENANT_UPDATED = "tenant.updated"
    TENANT_IP_ALLOWLIST_CHANGED = "tenant.ip_allowlist_changed"
    TENANT_SUSPENDED = "tenant.suspended"
    TENANT_RESUMED = "tenant.resumed"
    TENANT_DELETED = "tenant.deleted"
    ADMIN_LOGIN_SUCCEEDED = "admin.login_succeeded"
    ADMIN_LOGIN_FAILED = "admin.login_failed"
    ADMIN_TOKEN_CREATED = "admin.token_created"  # noqa: S105 - the name of an event
    ADMIN_TOKEN_REVOKED = "admin.token_revoked"  # noqa: S105 - the name of an event
    ALERT_FIRED = "alert.fired"
    ALERT_RESOLVED = "alert.resolved"
    ALERT_ACKNOWLEDGED = "alert.acknowledged"
    CONFIG_RELOADED = "config.reloaded"
    CONFIG_RELOAD_REJECTED = "config.reload_rejected"
    CONFIG_ROLLED_BACK = "config.rolled_back"
    STORE_RESTORED = "store.restored"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_PRUNED = "audit.pruned"
    AUDIT_RESTARTED = "audit.restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who changes something: `kind` is the door (`admin`, `bootstrap`, `system`), `name` the person or token behind it.

    `request_id` is the request with which it was asked for, empty without one.
    """

    kind: str
    name: str
    address: str = ""
    user_agent: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who wants a change, why, and under which condition.

    A secret in the reason ("leaked: ...") is not kept: it would stand in the audit trail for ever.
    `expected_revision` is that of the record as whoever orders has seen it; None takes what is there. A dry run goes
    as far as it can without changing anything.
    """

    actor: Actor
    reason: str = ""
    expected_revision: int | None = None
    is_dry_run: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", without_secret(self.reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One committed change. `before` and `after` hold only the fields it is about; `at` is epoch
    seconds (UTC). `subject_id` is what else it is about: a rotation, an incident, an admin token.
    """

    type: ChangeType
    actor: Actor
    tenant_id: str
    key_id: str = ""
    subject_id: str = ""
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    at: float

    @property
    def request_id(self) -> str:
        """The request that asked for it."""
        return self.actor.request_id


KEY_FIELD_EVENTS: Final[Mapping[str, ChangeType]] = {
    "name": ChangeType.KEY_UPDATED,
    "tags": ChangeType.KEY_UPDATED,
    "scopes": ChangeType.KEY_SCOPES_CHANGED,
    "ip_allowlist": ChangeType.KEY_IP_ALLOWLIST_CHANGED,
    "ip_allowlist_mode": ChangeType.KEY_IP_ALLOWLIST_CHANGED,
    "tenants": ChangeType.KEY_TENANTS_CHANGED,
    "expires_at": ChangeType.KEY_EXPIRATION_CHANGED,
    "plan": ChangeType.KEY_LIMITS_CHANGED,
    "metadata": ChangeType.KEY_METADATA_CHANGED,
}
TENANT_FIELD_EVENTS: Final[Mapping[str, ChangeType]] = {
    "name": ChangeType.TENANT_UPDATED,
    "plan": ChangeType.TENANT_UPDATED,
    "metadata": ChangeType.TENANT_UPDATED,
    "default_template": ChangeType.TENANT_UPDATED,
    "export_name": ChangeType.TENANT_UPDATED,
    "alerts": ChangeType.TENANT_UPDATED,
    "ip_allowlist_mode": ChangeType.TENANT_IP_ALLOWLIST_CHANGED,
    "ip_allowlist": ChangeType.TENANT_IP_ALLOWLIST_CHANGED,
    "ip_allowlist_enabled": ChangeType.TENANT_IP_ALLOWLIST_CHANGED,
}
"""Which event tells about which field. A field that stands in neither table cannot be changed by an
update.
"""

_NOT_TOLD: Final = frozenset({"digest", "revision", "last_used_at"})


def described(record: Any) -> dict[str, Any]:
    """Return the fields of `record` that an event may hold."""
    names = (each.name for each in fields(record) if each.name not in _NOT_TOLD)
    return {name: getattr(record, name) for name in names}


def differences(
    before: object, after: object, events: Mapping[str, ChangeType]
) -> dict[ChangeType, tuple[dict[str, Any], dict[str, Any]]]:
    """Return, per event type, the fields that changed as (before, after)."""
    told: dict[ChangeType, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, event in events.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            was, becomes = told.setdefault(event, ({}, {}))
            was[name], becomes[name] = old, new
    return told
