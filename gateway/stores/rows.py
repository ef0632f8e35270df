"""Records as rows: which field stands in which column, for every SQL store.

Knows the tables, the order of their columns, and that lists and objects are JSON text. It must not know SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Generic

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.domain.deliveries import Delivery
from gateway.domain.incidents import Incident
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.rotations import Rotation, RotationState
from gateway.domain.tenants import Tenant
from gateway.ports import R, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[R]):
    """How records of one class lie in a table: one column per field, `key` being the first.

    `columns` are named after the fields and stand in their order; `revision` is the last. Those that are `optional`
    may hold nothing.
    """

    record: type[R]
    name: str
    lists: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    readers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    columns: tuple[str, ...] = field(init=False)
    optional: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(each.name for each in fields(self.record)))
        optional = frozenset(each.name for each in fields(self.record) if each.default is None)
        object.__setattr__(self, "optional", optional)

    @property
    def key(self) -> str:
        """The column of the record's id."""
        return self.columns[0]

    def read(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return the fields in a row of `columns`."""
        values = dict(zip(self.columns, row, strict=True))
        for name in self.lists:
            text = values[name]
            values[name] = () if text == "[]" else tuple(json.loads(text))
        for name in self.objects:
            text = values[name]
            values[name] = {} if text == "{}" else json.loads(text)
        for name, reader in self.readers.items():
            values[name] = reader(values[name])
        return values

    def record_of(self, row: Sequence[Any]) -> R:
        """Return the record in a row of `columns`."""
        return self.record(**self.read(row))


KEYS: Final = Table(
    record=KeyRecord,
    name="keys",
    lists=frozenset({"scopes", "ip_allowlist", "tags", "tenants"}),
    objects=frozenset({"metadata"}),
    readers={"state": KeyState, "kind": KeyKind, "is_hidden": bool, "is_held": bool},
)
TENANTS: Final = Table(
    record=Tenant,
    name="tenants",
    lists=frozenset({"ip_allowlist"}),
    objects=frozenset({"metadata", "alerts"}),
    readers={"is_suspended": bool, "ip_allowlist_enabled": bool},
)
TABLES: Final[Mapping[type[Any], Table[Any]]] = {
    KeyRecord: KEYS,
    Tenant: TENANTS,
    Rotation: Table(record=Rotation, name="rotations", readers={"state": RotationState}),
    Incident: Table(record=Incident, name="incidents"),
    Delivery: Table(record=Delivery, name="deliveries"),
    AdminToken: Table(record=AdminToken, name="admin_tokens", readers={"role": Role}),
}
"""The table of each kind of record."""

KEY_COLUMNS: Final = KEYS.columns
TENANT_COLUMNS: Final = TENANTS.columns

_SHARED: Final = KEYS.lists | {
    *("tenant_id", "format", "environment", "pepper_id", "state_reason", "plan", "template"),
    "ip_allowlist_mode",
}
"""Columns in which many keys hold the same."""

_PARTS_MAX: Final = 10_000


class SharedRows:
    """Reads rows into records that share what is equal: a million keys have few plans, lists and tenants.

    Bounded: when there are too many different ones, it begins anew.
    """

    def __init__(self, parts_max: int = _PARTS_MAX) -> None:
        self._parts_max = parts_max
        self._parts: dict[Any, Any] = {}
        self._tenants: dict[str, Tenant] = {}

    def __len__(self) -> int:
        return len(self._parts) + len(self._tenants)

    def key_of(self, row: Sequence[Any]) -> KeyRecord:
        """Return the key in a row of `KEY_COLUMNS`."""
        values = KEYS.read(row)
        for name in _SHARED:
            values[name] = self._same(values[name])
        if values["lineage_id"] == values["key_id"]:
            values["lineage_id"] = values["key_id"]
        return KeyRecord(**values)

    def tenant_of(self, row: Sequence[Any]) -> Tenant:
        """Return the tenant in a row of `TENANT_COLUMNS`."""
        tenant = TENANTS.record_of(row)
        known = self._tenants.get(tenant.tenant_id)
        if known == tenant:
            return known
        if len(self._tenants) >= self._parts_max:
            self._tenants.clear()
        self._tenants[tenant.tenant_id] = tenant
        return tenant

    def _same(self, part: str | tuple[str, ...]) -> Any:
        if len(self._parts) >= self._parts_max:
            self._parts.clear()
        return self._parts.setdefault(part, part)


def values_of(record: Record) -> dict[str, Any]:
    """Return the column values of a record by column name."""
    table = TABLES[type(record)]
    values = {name: getattr(record, name) for name in table.columns}
    for name in table.lists:
        values[name] = _written(list(values[name]))
    for name in table.objects:
        values[name] = _written(dict(values[name]))
    for name, reader in table.readers.items():
        values[name] = int(values[name]) if reader is bool else str(values[name])
    return values


def _written(value: list[Any] | dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
