"""Keys at rest: looked up once, not in use at the moment, and small enough to be kept by the hundred thousand.

Knows how a record is packed and unpacked, and which packed keys are overtaken by a change. A bound key takes about
1.6 KB, one at rest 0.4 to 0.6 KB; waking it costs a few microseconds and no look-up. It must not know what a bound key
is made of.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.tenants import Tenant

CHANGES_MAX: Final = 10_000
"""Ids of changed keys and tenants that are remembered; beyond, waking nobody is cheaper than asking about each."""

_PARTS_MAX: Final = 65_536
"""Tenants, and combinations of scopes, plan, environment, ..., that keys share; beyond, sharing begins anew."""

_Kind = tuple[str, str, str, KeyState, str, tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]
"""What many keys have in common: format, environment, pepper_id, state, state_reason, scopes, ip_allowlist, plan,
tags."""

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
        kept = tenant if tenant.metadata else self._shared(_packed_tenant(tenant))
        self._keys[digest] = (_own_part(digest, record), kept, self._shared(_kind(record)))

    def wake(self, digest: bytes) -> tuple[KeyRecord, Tenant] | None:
        """Return the key and its tenant; None when it is not here or changed since."""
        packed = self._keys.get(digest)
        if packed is None:
            return None
        own, kept, kind = packed
        tenant = kept if isinstance(kept, Tenant) else _tenant(kept)
        record = _record(digest, own, tenant.tenant_id, kind)
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


def _kind(record: KeyRecord) -> _Kind:
    return (
        *(record.format, record.environment, record.pepper_id, record.state),
        *(record.state_reason, record.scopes, record.ip_allowlist, record.plan, record.tags),
    )


def _own_part(digest: bytes, record: KeyRecord) -> bytes:
    """Return what no other key has. `marshal` reads only what this process wrote, and is by far the fastest."""
    return marshal.dumps(
        (
            record.key_id,
            None if record.lineage_id == record.key_id else record.lineage_id,
            record.name,
            record.display,
            None if record.digest == digest else record.digest,  # under an earlier pepper
            dict(record.metadata) or None,
            (record.created_at, record.expires_at, record.revoked_at, record.last_used_at),
            record.revision,
        )
    )


def _packed_tenant(tenant: Tenant) -> bytes:
    return marshal.dumps(
        (
            tenant.tenant_id,
            tenant.name,
            tenant.is_suspended,
            tenant.state_reason,
            tenant.ip_allowlist,
            tenant.ip_allowlist_enabled,
            tenant.plan,
            tenant.created_at,
            tenant.revision,
        )
    )


def _tenant(packed: bytes) -> Tenant:
    values = marshal.loads(packed)  # noqa: S302 - see `_own_part`
    return Tenant(
        tenant_id=values[0],
        name=values[1],
        is_suspended=values[2],
        state_reason=values[3],
        ip_allowlist=values[4],
        ip_allowlist_enabled=values[5],
        plan=values[6],
        created_at=values[7],
        revision=values[8],
    )


def _record(digest: bytes, own: bytes, tenant_id: str, kind: _Kind) -> KeyRecord:
    key_id, lineage_id, name, display, other_digest, metadata, times, revision = marshal.loads(own)  # noqa: S302 - see `_own_part`
    return KeyRecord(
        key_id=key_id,
        lineage_id=lineage_id or key_id,
        tenant_id=tenant_id,
        name=name,
        display=display,
        digest=other_digest or digest,
        metadata=metadata or {},
        created_at=times[0],
        expires_at=times[1],
        revoked_at=times[2],
        last_used_at=times[3],
        revision=revision,
        format=kind[0],
        environment=kind[1],
        pepper_id=kind[2],
        state=kind[3],
        state_reason=kind[4],
        scopes=kind[5],
        ip_allowlist=kind[6],
        plan=kind[7],
        tags=kind[8],
    )
