"""Keys and tenants for tests: whole, valid, and different from each other where they must be."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.domain.change import Actor, Order
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.scopes import Bundle, ScopeCatalogue
from gateway.domain.tenants import Tenant

ACTOR = Actor(kind="test", name="tester")
ORDER = Order(actor=ACTOR)

HIREPANDA = ScopeCatalogue(
    ("jobs:read", "candidates:read", "jobs:write", "candidates:write", "jobs:delete"),
    {
        "read": Bundle(add=("*:read",)),
        "write": Bundle(includes=("read",), add=("*:write",)),
        "admin": Bundle(includes=("write",), add=("*:delete",)),
    },
)


def an_order(reason: str = "", **values: Any) -> Order:
    return Order(actor=ACTOR, reason=reason, **values)


def a_tenant(tenant_id: str = "ten_a", **changes: Any) -> Tenant:
    values: dict[str, Any] = {"name": f"Tenant {tenant_id}", "created_at": 1_700_000_000.0}
    return Tenant(tenant_id=tenant_id, **(values | changes))


def a_key(key_id: str = "key_a", **changes: Any) -> KeyRecord:
    values: dict[str, Any] = {
        "lineage_id": f"lin_{key_id}",
        "tenant_id": "ten_a",
        "name": f"Key {key_id}",
        "format": "hirepanda",
        "environment": "live",
        "digest": sha256(key_id.encode()).digest(),
        "pepper_id": "p1",
        "display": "sk_live_ab12…wxyz",
        "created_at": 1_700_000_000.0,
    }
    return KeyRecord(key_id=key_id, **(values | changes))


def bound(record: KeyRecord, tenant: Tenant) -> BoundKey:
    return BoundKey(
        record=record,
        tenant=tenant,
        scopes=HIREPANDA.granted(record.scopes),
        allowlists=(),
        claims=(),
        identity=b"",
    )
