"""What happened to a key or a tenant, as a value: who did it, why, and what it was before and
after.

Knows the event types that the audit will keep. No secret and no digest may enter a change. It must
not know where changes are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant


class ChangeType(StrEnum):
    """The stable name of an event."""

    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_SCOPES_CHANGED = "key.scopes_changed"
    KEY_IP_ALLOWLIST_CHANGED = "key.ip_allowlist_changed"
    KEY_EXPIRATION_CHANGED = "key.expiration_changed"
    KEY_LIMITS_CHANGED = "key.limits_changed"
    KEY_METADATA_CHANGED = "key.metadata_changed"
    KEY_SUSPENDED = "key.suspended"
    KEY_RESUMED = "key.resumed"
    KEY_REVOKED = "key.revoked"
    TENANT_CREATED = "tenant.created"
    TENANT_UPDATED = "tenant.updated"
    TENANT_IP_ALLOWLIST_CHANGED = "tenant.ip_allowlist_changed"
    TENANT_SUSPENDED = "tenant.suspended"
    TENANT_RESUMED = "tenant.resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who changes something: `kind` is the door (`admin`, `bootstrap`, `system`), `name` the person
    or token behind it.
    """

    kind: str
    name: str
    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One committed change. `before` and `after` hold only the fields it is about; `at` is epoch
    seconds (UTC).
    """

    type: ChangeType
    actor: Actor
    tenant_id: str
    key_id: str = ""
    reason: str = ""
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    at: float


KEY_FIELD_EVENTS: Final[Mapping[str, ChangeType]] = {
    "name": ChangeType.KEY_UPDATED,
    "tags": ChangeType.KEY_UPDATED,
    "scopes": ChangeType.KEY_SCOPES_CHANGED,
    "ip_allowlist": ChangeType.KEY_IP_ALLOWLIST_CHANGED,
    "expires_at": ChangeType.KEY_EXPIRATION_CHANGED,
    "plan": ChangeType.KEY_LIMITS_CHANGED,
    "metadata": ChangeType.KEY_METADATA_CHANGED,
}
TENANT_FIELD_EVENTS: Final[Mapping[str, ChangeType]] = {
    "name": ChangeType.TENANT_UPDATED,
    "plan": ChangeType.TENANT_UPDATED,
    "metadata": ChangeType.TENANT_UPDATED,
    "ip_allowlist": ChangeType.TENANT_IP_ALLOWLIST_CHANGED,
    "ip_allowlist_enabled": ChangeType.TENANT_IP_ALLOWLIST_CHANGED,
}
"""Which event tells about which field. A field that stands in neither table cannot be changed by an
update.
"""

_NOT_TOLD: Final = frozenset({"digest", "revision", "last_used_at"})


def described(record: KeyRecord | Tenant) -> dict[str, Any]:
    """Return the fields of `record` that an event may hold."""
    names = (each.name for each in fields(record) if each.name not in _NOT_TOLD)
    return {name: getattr(record, name) for name in names}


def differences(
    before: KeyRecord | Tenant, after: KeyRecord | Tenant, events: Mapping[str, ChangeType]
) -> dict[ChangeType, tuple[dict[str, Any], dict[str, Any]]]:
    """Return, per event type, the fields that changed as (before, after)."""
    told: dict[ChangeType, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, event in events.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            was, becomes = told.setdefault(event, ({}, {}))
            was[name], becomes[name] = old, new
    return told
