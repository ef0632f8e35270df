"""Keys at rest: looked up once, not in use at the moment, and small enough to be kept by the hundred thousand.

Knows how a record is packed and unpacked, and which packed keys are overtaken by a change. A bound key takes about
1.6 KB, one at rest 0.4 to 0.6 KB; waking it costs a few microseconds and no look-up. It must not know what a bound key
is made of.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeVar

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant

CHANGES_MAX: Final = 10_000
"""Ids of changed keys and tenants that are remembered; beyond, waking nobody is cheaper than asking about each."""

_PARTS_MAX: Final = 65_536
"""Tenants, and combinations of scopes, plan, environment, ..., that keys share; beyond, sharing begins anew."""

_KIND_FIELDS: Final = (
    *("tenant_id", "format", "environment", "pepper_id", "state", "state_reason", "scopes"),
    *("ip_allowlist", "ip_allowlist_mode", "plan", "tags", "template", "kind", "tenants"),
    "is_hidden",
)
"""What many keys have in common: kept once for all of them."""

_OWN_FIELDS: Final = tuple(
    each.name
    for each in fields(KeyRecord)
    if each.name not in {*_KIND_FIELDS, "digest", "lineage_id", "metadata"}
)
_TENANT_FIELDS: Final = tuple(
    each.name for each in fields(Tenant) if each.name not in {"metadata", "alerts"}
)
"""What a tenant is packed as: one that has objects of its own is kept as it is."""

_kind_of: Final = attrgetter(*_KIND_FIELDS)
_own_of: Final = attrgetter(*_OWN_FIELDS)
_tenant_of: Final = attrgetter(*_TENANT_FIELDS)

_Kind = tuple[Any, ...]
"""The values of `_KIND_FIELDS`."""

_Part = TypeVar("_Part", _Kind, bytes)
Parts = dict[Any, Any]
"""Each part by itself."""

_Packed = tuple[bytes, Tenant | bytes, _Kind]


class Resting:
    """Packed keys by their current digest, dropped as a whole when they are too many.

    There is no index by id: what changed is written down, and asked about when a key wakes. Whatever was put here
    before the change is then overtaken.
    """

    __slots__ = ("_changed", "_keys", "_parts")

    def __init__(self, parts: Parts) -> None:
        """Share `parts` with whoever packs the same keys."""
        self._keys: dict[bytes, _Packed] = {}
        self._changed: set[str] = set()
        self._parts = parts

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, digest: bytes, record: KeyRecord, tenant: Tenant) -> None:
        """Keep a key of `tenant` that is true at this moment."""
        if record.key_id in self._changed or tenant.tenant_id in self._changed:
            return  # nobody could tell it from what was put here before the change: it is read again
        has_objects = tenant.metadata or tenant.alerts
        kept = tenant if has_objects else self._shared(marshal.dumps(_tenant_of(tenant)))
        self._keys[digest] = (_own_part(digest, record), kept, self._shared(_kind_of(record)))

    def wake(self, digest: bytes) -> tuple[KeyRecord, Tenant] | None:
        """Return the key and its tenant; None when it is not here or changed since."""
        packed = self._keys.get(digest)
        if packed is None:
            return None
        own, kept, kind = packed
        tenant = kept if isinstance(kept, Tenant) else _tenant(kept)
        record = _record(digest, own, kind)
        if record.key_id in self._changed or record.tenant_id in self._changed:
            return None
        return record, tenant

    def drop(self, digest: bytes) -> None:
        """Keep a key no longer: it is kept elsewhere."""
        self._keys.pop(digest, None)

    def forget(self, ids: Iterable[str]) -> None:
        """Wake none of the keys, nor of the keys of the tenants, with these ids."""
        if not self._keys:
            return
        self._changed.update(ids)
        if len(self._changed) > CHANGES_MAX:
            self._keys = {}
            self._changed = set()

    def _shared(self, part: _Part) -> _Part:
        if len(self._parts) >= _PARTS_MAX:
            self._parts.clear()
        known: _Part = self._parts.setdefault(part, part)
        return known


def _own_part(digest: bytes, record: KeyRecord) -> bytes:
    """Return what no other key has. `marshal` reads only what this process wrote, and is by far the fastest."""
    return marshal.dumps(
        (
            None if record.digest == digest else record.digest,  # under an earlier pepper
            None if record.lineage_id == record.key_id else record.lineage_id,
            dict(record.metadata) or None,
            *_own_of(record),
        )
    )


def _tenant(packed: bytes) -> Tenant:
    return Tenant(**dict(zip(_TENANT_FIELDS, marshal.loads(packed), strict=True)))  # noqa: S302 - see `_own_part`


def _record(digest: bytes, own: bytes, kind: _Kind) -> KeyRecord:
    other, lineage_id, metadata, *values = marshal.loads(own)  # noqa: S302 - see `_own_part`
    fields_of_its_own = dict(zip(_OWN_FIELDS, values, strict=True))
    return KeyRecord(
        digest=other or digest,
        lineage_id=lineage_id or fields_of_its_own["key_id"],
        metadata=metadata or {},
        **fields_of_its_own,
        **dict(zip(_KIND_FIELDS, kind, strict=True)),
    )
