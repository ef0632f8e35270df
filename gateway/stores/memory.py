"""Keys in memory: for tests, and for a gateway whose keys all come from its config.

Knows the meaning of every method of `KeyStore` in its plainest form; the other stores must not differ from it. It
forgets everything when the process ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import Change
from gateway.domain.deliveries import Delivery
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import ANY_KEY, NOTHING, KeyQuery, Place, Sort, Wanted
from gateway.domain.tenants import Tenant
from gateway.ports import Conflict, R, Record, Write
from gateway.stores.memory_audit import MemoryAudit
from gateway.stores.memory_lists import in_order, is_asked_for, is_wanted
from gateway.stores.memory_usage import MemoryUsage
from gateway.stores.records import (
    IDEMPOTENCY_SECONDS_MAX,
    QUOTA_SECONDS_MAX,
    Records,
    id_of,
    unwritten,
)
from gateway.stores.rows import values_of


class MemoryStore(Records):
    """Implements `ports.KeyStore`; `audit` is its trail, `usage` what was counted."""

    def __init__(self) -> None:
        self._records: dict[type[Any], dict[str, Any]] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._remembered: dict[str, tuple[str, str, float]] = {}
        self._revision = 0
        self.audit = MemoryAudit()
        self.usage = MemoryUsage()

    # ---- records

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        """Store all records and tell the audit trail: all of it, or nothing."""
        before = {kind: dict(records) for kind, records in self._records.items()}, self._revision
        try:
            written = [self._save(write) for write in writes]
        except Conflict:
            self._records, self._revision = before
            raise
        await self.audit.append(changes)
        return written

    def _save(self, write: Write) -> Record:
        record = write.record
        records = self._kept(type(record))
        record_id = id_of(record)
        present = records.get(record_id)
        if write.expected_revision not in (None, present.revision if present else 0):
            raise unwritten(record, write.expected_revision)
        self._check_rules(record, record_id)
        self._check_tenant(record)
        self._revision += 1
        written: Record = replace(record, revision=self._revision)
        if isinstance(written, KeyRecord | AdminToken):
            used = _latest(written.last_used_at, present.last_used_at if present else None)
            written = replace(written, last_used_at=used)
        records[record_id] = written
        return written

    def _check_rules(self, record: Record, record_id: str) -> None:
        """Refuse what a schema would: a reference to nothing, a digest that is taken."""
        if isinstance(record, KeyRecord) and record.tenant_id not in self._of(Tenant):
            raise Conflict(f"{record_id}: what it refers to does not exist")
        for name in ("key_id", "old_key_id", "new_key_id"):
            refers = getattr(record, name, "")
            if refers and refers != record_id and refers not in self._of(KeyRecord):
                raise Conflict(f"{record_id}: what it refers to does not exist")
        if isinstance(record, KeyRecord | AdminToken | Delivery):
            for other_id, other in self._of(type(record)).items():
                if other_id != record_id and other.digest == record.digest:
                    raise Conflict(f"{record_id}: another record has the same digest")

    def _check_tenant(self, record: Record) -> None:
        """Refuse what would let a deleted tenant own something that works."""
        tenants = self._of(Tenant)
        if isinstance(record, Tenant):
            known = tenants.get(record.tenant_id)
            if known is not None and known.is_deleted and not record.is_deleted:
                raise Conflict(f"{record.tenant_id}: is deleted for ever")
            if record.is_deleted and self._owns_something(record.tenant_id):
                raise Conflict(f"{record.tenant_id}: has something that still works")
        owner = tenants.get(record.parent_id if isinstance(record, Tenant) else record.tenant_id)
        if owner is not None and owner.is_deleted and _works(record):
            raise Conflict(f"{id_of(record)}: its tenant is deleted")

    def _owns_something(self, tenant_id: str) -> bool:
        children = self._of(Tenant).values()
        return any(each.parent_id == tenant_id and _works(each) for each in children) or any(
            each.tenant_id == tenant_id and _works(each)
            for kind in (KeyRecord, AdminToken)
            for each in self._kept(kind).values()
        )

    def _of(self, kind: type[R]) -> dict[str, R]:
        return self._kept(kind)

    def _kept(self, kind: type[Any]) -> dict[str, Any]:
        return self._records.setdefault(kind, {})

    async def get(self, kind: type[R], record_id: str) -> R | None:
        """Return the record of this kind with this id, or None."""
        return self._of(kind).get(record_id)

    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted] = NOTHING,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> list[R]:
        """Return records in order."""
        return [
            record
            for record in in_order(self._of(kind), after, sort)
            if all(is_wanted(getattr(record, name), value) for name, value in where.items())
        ][:limit]

    # ---- keys

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        for record in self._of(KeyRecord).values():
            if record.digest in digests:
                return record, self._of(Tenant)[record.tenant_id]
        return None

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return those of the keys that exist."""
        keys = self._of(KeyRecord)
        return {each: keys[each] for each in key_ids if each in keys}

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return keys in order."""
        keys = in_order(self._of(KeyRecord), after, query.sort, query.until)
        return [record for record in keys if is_asked_for(record, query)][:limit]

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        """Return the place of the key that is so many ahead."""
        keys = [
            key
            for key in in_order(self._of(KeyRecord), after, sort)
            if tenant_id in ("", key.tenant_id)
        ]
        if len(keys) < ahead:
            return None
        there = keys[ahead - 1]
        return Place(None if sort is None else getattr(there, sort.field), there.key_id)

    async def keys_due(self, until: float, limit: int = 1000) -> list[KeyRecord]:
        """Return keys to which time did something that their state does not say yet."""
        keys = sorted(self._of(KeyRecord).items())
        return [record for _, record in keys if _is_due(record, until)][:limit]

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        keys = self._of(KeyRecord).values()
        return Counter((key.state.value, key.environment) for key in keys)

    async def count_expiring(self, after: float, moments: Sequence[float]) -> list[int]:
        """Return how many keys in use expire behind `after`, by each of `moments`."""
        ends = [
            key.expires_at
            for key in self._of(KeyRecord).values()
            if key.expires_at is not None and key.state not in (KeyState.EXPIRED, KeyState.REVOKED)
        ]
        return [sum(after < end <= moment for end in ends) for moment in moments]

    async def count_peppers(self) -> Mapping[str, int]:
        """Return how many keys, but for revoked ones, there are per pepper."""
        keys = self._of(KeyRecord).values()
        return Counter(key.pepper_id for key in keys if key.state is not KeyState.REVOKED)

    # ---- tenants

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        return self._of(Tenant).get(tenant_id)

    # ---- revisions, last use, counters

    async def revision(self) -> int:
        """Return the number of the last write."""
        return self._revision

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids written after `revision`."""
        kinds: tuple[type[Record], ...] = (KeyRecord, Tenant)
        return self._revision, [
            record_id
            for kind in kinds
            for record_id, record in self._of(kind).items()
            if record.revision > revision
        ]

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys and admin tokens were last used; ids that do not exist are passed over."""
        for records in (self._kept(KeyRecord), self._kept(AdminToken)):
            for used_id in last_used.keys() & records.keys():
                record = records[used_id]
                used = _latest(record.last_used_at, last_used[used_id])
                records[used_id] = replace(record, last_used_at=used)

    async def key_rows(self, after: bytes, limit: int) -> Sequence[Sequence[Any]]:
        """Return keys as rows, in the order of their digests."""
        keys = sorted(self._of(KeyRecord).values(), key=lambda key: key.digest)
        found = [[*values_of(key).values()] for key in keys if key.digest > after]
        return found[:limit]

    async def tenant_rows(self, after: str, limit: int) -> Sequence[Sequence[Any]]:
        """Return tenants as rows, in the order of their ids."""
        tenants = sorted(self._of(Tenant).values(), key=lambda tenant: tenant.tenant_id)
        found = [[*values_of(tenant).values()] for tenant in tenants if tenant.tenant_id > after]
        return found[:limit]

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

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        """Keep what was made for an `Idempotency-Key`, unless it is known; return what is kept."""
        border = now - IDEMPOTENCY_SECONDS_MAX
        self._remembered = {k: kept for k, kept in self._remembered.items() if kept[2] > border}
        kept = self._remembered.setdefault(idempotency_key, (fingerprint, result_id, now))
        return kept[0], kept[1]

    async def settle(self, idempotency_key: str, result_id: str) -> None:
        """Replace the result that is kept, or forget the key."""
        kept = self._remembered.pop(idempotency_key, None)
        if kept is not None and result_id:
            self._remembered[idempotency_key] = (kept[0], result_id, kept[2])


def _works(record: Record) -> bool:
    """Tell whether a record does something, or could again; what is the history of a key does nothing."""
    match record:
        case KeyRecord():
            return record.state is not KeyState.REVOKED
        case AdminToken():
            return record.revoked_at is None
        case Tenant():
            return not record.is_deleted
    return False


def _is_due(record: KeyRecord, until: float) -> bool:
    is_over = [
        moment is not None and moment <= until
        for moment in (record.expires_at, record.resume_at, record.retires_at)
    ]
    has_expired, _, has_retired = is_over
    match record.state:
        case KeyState.REVOKED:
            return False
        case KeyState.EXPIRED:
            return has_retired
        case KeyState.SUSPENDED:
            return any(is_over)
    return has_expired or has_retired


def _latest(one: float | None, other: float | None) -> float | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
