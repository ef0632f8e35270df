"""Keys at rest: looked up once, not in use at the moment, and small enough to be kept by the hundred thousand.

Knows how a record is packed and unpacked, and which packed keys are overtaken by a change. A bound key takes about
1.6 KB, one at rest 0.3 to 0.4 KB; waking it costs a few microseconds and no look-up. It must not know what a bound key
is made of.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from struct import Struct
from typing import Any, Final

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant

CHANGES_MAX: Final = 10_000
"""Ids of changed keys and tenants that are remembered; beyond, waking nobody is cheaper than asking about each."""

PARTS_MAX: Final = 65_536
"""Tenants, and combinations of scopes, plan, environment, ..., that keys share; beyond, sharing begins anew."""

_KIND_FIELDS: Final = (
    *("format", "environment", "pepper_id", "state", "state_reason", "scopes", "ip_allowlist"),
    *("ip_allowlist_mode", "plan", "template", "kind", "tenants", "is_hidden"),
)
"""What many keys of many tenants have in common: kept once for all of them."""

_OWN_FIELDS: Final = tuple(
    each.name
    for each in fields(KeyRecord)
    if each.name not in {*_KIND_FIELDS, "digest", "lineage_id", "tenant_id", "metadata"}
)
_TENANT_FIELDS: Final = tuple(
    each.name for each in fields(Tenant) if each.name not in {"metadata", "alerts"}
)
"""What a tenant is packed as: one that has objects of its own is kept as it is."""

_kind_of: Final = attrgetter(*_KIND_FIELDS)
_own_of: Final = attrgetter(*_OWN_FIELDS)
_tenant_of: Final = attrgetter(*_TENANT_FIELDS)

_NUMBERS: Final = Struct("<II")
"""What stands before the part of a key that no other has: the numbers of its kind and of its tenant."""

_Kind = tuple[Any, ...]
"""The values of `_KIND_FIELDS`."""


class Parts:
    """What keys at rest have in common, each by a number."""

    __slots__ = ("_numbers", "known")

    def __init__(self) -> None:
        self.known: list[Any] = []
        self._numbers: dict[Any, int] = {}

    @property
    def is_full(self) -> bool:
        """Tell whether whoever begins to share should begin with new parts."""
        return len(self.known) >= PARTS_MAX

    def number_of_kind(self, record: KeyRecord) -> int:
        """Return the number of what a key is."""
        kind = _kind_of(record)
        return self._number_of(kind, kind)

    def number_of_tenant(self, tenant: Tenant) -> int:
        """Return the number of a tenant as it is now."""
        if tenant.metadata or tenant.alerts:
            return self._number_of(id(tenant), tenant)  # it stays here, so its id stays its own
        packed = marshal.dumps(_tenant_of(tenant))
        return self._number_of(packed, packed)

    def _number_of(self, name: _Kind | bytes | int, part: _Kind | bytes | Tenant) -> int:
        number = self._numbers.setdefault(name, len(self.known))
        if number == len(self.known):
            self.known.append(part)
        return number


class Resting:
    """Packed keys by their current digest, dropped as a whole when they are too many.

    There is no index by id: what changed is written down, and asked about when a key wakes. Whatever was put here
    before the change is then overtaken. A key is one object of bytes: objects that the garbage collector looks at
    would hold up requests once there are hundreds of thousands.
    """

    __slots__ = ("_changed", "_keys", "parts")

    def __init__(self, parts: Parts) -> None:
        """Share `parts` with whoever packs the same keys."""
        self._keys: dict[bytes, bytes] = {}
        self._changed: set[str] = set()
        self.parts = parts

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, digest: bytes, record: KeyRecord, tenant: Tenant) -> None:
        """Keep a key of `tenant` that is true at this moment."""
        if record.key_id in self._changed or tenant.tenant_id in self._changed:
            return  # nobody could tell it from what was put here before the change: it is read again
        numbers = self.parts.number_of_kind(record), self.parts.number_of_tenant(tenant)
        self._keys[digest] = _NUMBERS.pack(*numbers) + _own_part(digest, record, tenant)

    def wake(self, digest: bytes) -> tuple[KeyRecord, Tenant] | None:
        """Return the key and its tenant; None when it is not here or changed since."""
        packed = self._keys.get(digest)
        if packed is None:
            return None
        kind, kept = map(self.parts.known.__getitem__, _NUMBERS.unpack_from(packed))
        tenant = kept if isinstance(kept, Tenant) else _tenant(kept)
        record = _record(digest, packed, kind, tenant)
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


def _own_part(digest: bytes, record: KeyRecord, tenant: Tenant) -> bytes:
    """Return what no other key has. `marshal` reads only what this process wrote, and is by far the fastest."""
    return marshal.dumps(
        (
            None if record.digest == digest else record.digest,  # under an earlier pepper
            None if record.lineage_id == record.key_id else record.lineage_id,
            None if record.tenant_id == tenant.tenant_id else record.tenant_id,
            dict(record.metadata) or None,
            *_own_of(record),
        )
    )


def _tenant(packed: bytes) -> Tenant:
    return Tenant(**dict(zip(_TENANT_FIELDS, marshal.loads(packed), strict=True)))  # noqa: S302 - see `_own_part`


def _record(digest: bytes, packed: bytes, kind: _Kind, tenant: Tenant) -> KeyRecord:
    own = memoryview(packed)[_NUMBERS.size :]
    other, lineage_id, tenant_id, metadata, *values = marshal.loads(own)  # noqa: S302 - see `_own_part`
    fields_of_its_own = dict(zip(_OWN_FIELDS, values, strict=True))
    return KeyRecord(
        digest=other or digest,
        lineage_id=lineage_id or fields_of_its_own["key_id"],
        tenant_id=tenant_id or tenant.tenant_id,
        metadata=metadata or {},
        **fields_of_its_own,
        **dict(zip(_KIND_FIELDS, kind, strict=True)),
    )
