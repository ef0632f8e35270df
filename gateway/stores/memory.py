"""Keys in memory: for tests, and for a gateway whose keys all come from its config.

Knows the meaning of every `KeyStore` method in its plainest form; the other stores must not differ
from it. It forgets everything when the process ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Conflict

QUOTA_SECONDS_MAX: Final = 31 * 86_400  # a month: the longest period a counter can still belong to

_Record = TypeVar("_Record", KeyRecord, Tenant)


class MemoryStore:
    """Implements `ports.KeyStore`."""

    def __init__(self) -> None:
        self._keys: dict[str, KeyRecord] = {}
        self._tenants: dict[str, Tenant] = {}
        self._ids: dict[bytes, str] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._revision = 0

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        for digest in digests:
            key_id = self._ids.get(digest)
            if key_id is not None:
                record = self._keys[key_id]
                return record, self._tenants[record.tenant_id]
        return None

    async def get_key(self, key_id: str) -> KeyRecord | None:
        """Return the key, or None."""
        return self._keys.get(key_id)

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return those of the keys that exist."""
        return {each: self._keys[each] for each in key_ids if each in self._keys}

    async def list_keys(
        self, *, tenant_id: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return keys ordered by id."""
        return [
            self._keys[key_id]
            for key_id in sorted(self._keys)
            if key_id > after
            and tenant_id in ("", self._keys[key_id].tenant_id)
            and state in ("", self._keys[key_id].state)
        ][:limit]

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        return Counter((key.state.value, key.environment) for key in self._keys.values())

    async def save_key(
        self, record: KeyRecord, *, expected_revision: int | None = None
    ) -> KeyRecord:
        """Insert or replace a key."""
        present = self._keys.get(record.key_id)
        _check_revision(record.key_id, present, expected_revision)
        if record.tenant_id not in self._tenants:
            raise Conflict(f"key {record.key_id}: its tenant {record.tenant_id} does not exist")
        if self._ids.get(record.digest, record.key_id) != record.key_id:
            raise Conflict(f"key {record.key_id}: another key has the same digest")
        self._revision += 1
        used = _latest(record.last_used_at, present.last_used_at if present else None)
        written = replace(record, last_used_at=used, revision=self._revision)
        if present is not None:
            del self._ids[present.digest]
        self._keys[record.key_id] = written
        self._ids[record.digest] = record.key_id
        return written

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        return self._tenants.get(tenant_id)

    async def list_tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]:
        """Return tenants ordered by id."""
        ids = [tenant_id for tenant_id in sorted(self._tenants) if tenant_id > after]
        return [self._tenants[tenant_id] for tenant_id in ids[:limit]]

    async def save_tenant(self, tenant: Tenant, *, expected_revision: int | None = None) -> Tenant:
        """Insert or replace a tenant."""
        present = self._tenants.get(tenant.tenant_id)
        _check_revision(tenant.tenant_id, present, expected_revision)
        self._revision += 1
        written = replace(tenant, revision=self._revision)
        self._tenants[tenant.tenant_id] = written
        return written

    async def revision(self) -> int:
        """Return the number of the last write."""
        return self._revision

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids written after `revision`."""
        return self._revision, [
            *_written_after(revision, self._keys),
            *_written_after(revision, self._tenants),
        ]

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys were last used; ids that do not exist are passed over."""
        for key_id, used_at in last_used.items():
            record = self._keys.get(key_id)
            if record is not None:
                used = _latest(record.last_used_at, used_at)
                self._keys[key_id] = replace(record, last_used_at=used)

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        """Return the counters of periods that may still run, and forget the others."""
        self._counts = {
            bucket: count
            for bucket, count in self._counts.items()
            if count[0] + QUOTA_SECONDS_MAX > now
        }
        return dict(self._counts)

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Store counters; of two counts the later period wins, then the higher number."""
        for bucket, count in counts.items():
            self._counts[bucket] = max(count, self._counts.get(bucket, count))


def _check_revision(
    record_id: str, present: KeyRecord | Tenant | None, expected_revision: int | None
) -> None:
    if expected_revision is None:
        return
    if expected_revision == 0 and present is not None:
        raise Conflict(f"{record_id} exists already")
    if expected_revision != (present.revision if present else 0):
        raise Conflict(f"{record_id} was changed by someone else, or does not exist: read it again")


def _written_after(revision: int, records: Mapping[str, _Record]) -> Iterable[str]:
    return (each for each, record in records.items() if record.revision > revision)


def _latest(one: float | None, other: float | None) -> float | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
