"""Records as rows: which field stands in which column, for every SQL store.

Knows the order of the columns and that lists and objects are JSON text. It must not know SQL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.tenants import Tenant

KEY_COLUMNS: Final = tuple(each.name for each in fields(KeyRecord))
TENANT_COLUMNS: Final = tuple(each.name for each in fields(Tenant))
"""The columns are named after the fields and stand in their order; `revision` is the last."""

_LISTS: Final = frozenset({"scopes", "ip_allowlist", "tags"})
_SHARED: Final = _LISTS | {
    *("tenant_id", "format", "environment", "pepper_id", "state_reason", "plan")
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
        values = _key_values(row)
        for name in _SHARED:
            values[name] = self._same(values[name])
        if values["lineage_id"] == values["key_id"]:
            values["lineage_id"] = values["key_id"]
        return KeyRecord(**values)

    def tenant_of(self, row: Sequence[Any]) -> Tenant:
        """Return the tenant in a row of `TENANT_COLUMNS`."""
        tenant = tenant_of(row)
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


def key_of(row: Sequence[Any]) -> KeyRecord:
    """Return the key in a row of `KEY_COLUMNS`."""
    return KeyRecord(**_key_values(row))


def tenant_of(row: Sequence[Any]) -> Tenant:
    """Return the tenant in a row of `TENANT_COLUMNS`."""
    values = dict(zip(TENANT_COLUMNS, row, strict=True))
    _read_json(values)
    values["is_suspended"] = bool(values["is_suspended"])
    values["ip_allowlist_enabled"] = bool(values["ip_allowlist_enabled"])
    return Tenant(**values)


def values_of(record: KeyRecord | Tenant) -> dict[str, Any]:
    """Return the column values of a record by column name."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    for name in _LISTS & values.keys():
        values[name] = _written(list(values[name]))
    values["metadata"] = _written(dict(values["metadata"]))
    if "state" in values:
        values["state"] = str(values["state"])
    return values


def _key_values(row: Sequence[Any]) -> dict[str, Any]:
    values = dict(zip(KEY_COLUMNS, row, strict=True))
    _read_json(values)
    values["state"] = KeyState(values["state"])
    return values


def _read_json(values: dict[str, Any]) -> None:
    for name in _LISTS & values.keys():
        text = values[name]
        values[name] = () if text == "[]" else tuple(json.loads(text))
    text = values["metadata"]
    values["metadata"] = {} if text == "{}" else json.loads(text)


def _written(value: list[Any] | dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
