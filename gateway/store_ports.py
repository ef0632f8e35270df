"""The seams to the system of record: keys, tenants, what happens to them, and the audit trail.

Every adapter passes the contract suites in `tests/contracts/`. Errors of drivers never cross a port; an adapter raises
only what stands here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.audit import AuditRecord, Checkpoint, Head
from gateway.domain.change import Change
from gateway.domain.deliveries import Delivery
from gateway.domain.incidents import Incident
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import (
    ANY_AUDIT,
    ANY_KEY,
    NOTHING,
    AuditQuery,
    KeyQuery,
    Place,
    RequestQuery,
    Sort,
    Wanted,
)
from gateway.domain.rotations import Rotation
from gateway.domain.tenants import Tenant


class StoreUnavailable(Exception):
    """The key store could not answer; the text is for the log and holds no secret."""


class Conflict(Exception):
    """A write met a state that does not allow it (duplicate name or digest, stale revision, unknown id)."""


Record = KeyRecord | Tenant | Rotation | Incident | Delivery | AdminToken
"""What a store keeps one by one, each under an id of its own and with a revision."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Write:
    """One record to store. `expected_revision` 0 means insert; another number must match; None takes what is there."""

    record: Record
    expected_revision: int | None = None


class KeyFinder(Protocol):
    """The part of a key store that requests wait for."""

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` (one per active pepper) and its tenant, or None."""

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""


class KeyRows(Protocol):
    """All keys and tenants as rows, for a copy of them; in the order and form of `stores.rows`."""

    async def key_rows(self, after: bytes, limit: int) -> Sequence[Sequence[Any]]:
        """Return keys in the order of their digests, those behind the digest `after`, at most `limit`."""
        ...

    async def tenant_rows(self, after: str, limit: int) -> Sequence[Sequence[Any]]:
        """Return tenants in the order of the bytes of their ids, those behind the id `after`, at most `limit`."""
        ...


class KeyStore(KeyFinder, Protocol):
    """The system of record for keys, tenants and what happens to them.

    Every write increases the store's revision by one and returns the record as written, with that revision. Every
    method raises `StoreUnavailable` within five seconds when the store does not answer.
    """

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        """Store all records, in this order, and append `changes` to the audit trail: all of it, or nothing.

        Returns the records as written. Raises `Conflict` when one of them cannot be.
        """
        ...

    async def save_key(
        self, record: KeyRecord, *, expected_revision: int | None = None
    ) -> KeyRecord:
        """Store one key that no change tells of; see `Write`."""
        ...

    async def save_tenant(self, tenant: Tenant, *, expected_revision: int | None = None) -> Tenant:
        """Store one tenant that no change tells of; see `Write`."""
        ...

    async def get(self, kind: type[R], record_id: str) -> R | None:
        """Return the record of this kind with this id, or None."""
        ...

    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted] = NOTHING,
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> list[R]:
        """Return records ordered by `sort`, else by id, those behind the one with the id `after`, at most `limit`.

        `where` names fields and the values that they must have.
        """
        ...

    async def get_key(self, key_id: str) -> KeyRecord | None: ...

    async def get_keys(self, key_ids: Collection[str]) -> Mapping[str, KeyRecord]: ...

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        """Return the keys that `query` asks for, in the order that it wants, those behind `after`, at most `limit`."""
        ...

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        """Return the place of a key that is `ahead` keys behind `after` in the order of a list; None: there are fewer.

        Of all keys, or of those of one tenant, hidden ones included. Where a list has keys with a value and keys
        without one, it may be up to twice as many ahead. Costs little, however far it is.
        """
        ...

    async def keys_due(self, until: float, limit: int = 1000) -> list[KeyRecord]:
        """Return keys to which time did something by `until` (epoch seconds) that their stored state does not say yet.

        They have expired, or are suspended until a time that is over, or their rotation has ended.
        """
        ...

    async def count_keys(self) -> Mapping[tuple[str, str], int]:
        """Return how many keys there are per (stored state, environment)."""
        ...

    async def count_expiring(self, after: float, moments: Sequence[float]) -> list[int]:
        """Return for each of `moments` how many keys that are in use by what is stored expire behind `after`, and not
        behind it (epoch seconds).
        """
        ...

    async def count_peppers(self) -> Mapping[str, int]:
        """Return how many keys, but for revoked ones, there are per pepper."""
        ...

    async def list_tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]: ...

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        """Keep what was made for an `Idempotency-Key`, unless it is known; return what is kept.

        That is a fingerprint of what was asked for, and the id of the result. What is older than a day is forgotten.
        """
        ...

    async def settle(self, idempotency_key: str, result_id: str) -> None:
        """Replace the result that is kept for an `Idempotency-Key`; an empty one forgets the key."""
        ...

    async def revision(self) -> int:
        """Return the number of the last committed write."""
        ...

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        """Return the current revision and the ids (keys and tenants) that were written after `revision`."""
        ...

    async def touch(self, last_used: Mapping[str, float]) -> None:
        """Record when keys and admin tokens were last used (epoch seconds), by id.

        Never increases the revision, never goes back in time.
        """
        ...

    async def load_counts(self, now: float) -> dict[str, tuple[int, int]]:
        """Return the stored quota counters: bucket -> (period start, count).

        Those of ended periods may be among them: a store does not know how long a period is.
        """
        ...

    async def save_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Store quota counters: bucket -> (period start in epoch seconds, count). Never lowers a count of one
        period."""
        ...


class AuditReading(Protocol):
    """The part of an audit trail that only reads: enough to verify it."""

    async def audit_head(self) -> Head:
        """Return the end of the chain."""
        ...

    async def audit_records(
        self, query: AuditQuery = ANY_AUDIT, *, after: int = 0, limit: int = 100
    ) -> list[AuditRecord]:
        """Return the records that `query` asks for with a `seq` beyond `after`, the oldest first, at most `limit`.

        With `query.is_newest_first` those before `after` (0: from the end), the newest first.
        """
        ...

    async def checkpoints(self, *, after: int = 0, limit: int = 1000) -> list[Checkpoint]:
        """Return the signed checkpoints with a `seq` beyond `after`, the oldest first."""
        ...


class AuditTrail(AuditReading, Protocol):
    """The chain of sealed records. Records of changes are appended by `KeyStore.commit`, with the change itself."""

    async def append(self, changes: Sequence[Change]) -> None:
        """Seal and store records of what changes nothing in the store (a refused login, an export)."""
        ...

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; one for the same record replaces it."""
        ...

    async def prune_audit(self, before_seq: int) -> int:
        """Remove the records below `before_seq` and the checkpoints below the one before it; return how many records.

        The checkpoint of record `before_seq - 1` must exist: the rest of the chain hangs on it. Raises `Conflict`.
        """
        ...


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Part of the request log, the newest first. `cursor` is where the next part begins; empty at the end."""

    rows: list[Mapping[str, Any]]
    cursor: str


class RequestLog(Protocol):
    """Every request, as its line of the access log says it, for as long as `request_log.retention`."""

    async def search(
        self, query: RequestQuery, *, limit: int = 100, cursor: str = ""
    ) -> RequestPage:
        """Return the requests that `query` asks for, the newest first, beginning at `cursor`.

        Never blocks the event loop for long; raises `StoreUnavailable` when the log cannot be read.
        """
        ...

    async def clients(
        self, key_id: str, since: float, tenant_ids: tuple[str, ...] | None = None
    ) -> list[Mapping[str, Any]]:
        """Return who used a key since then: `client_address`, `user_agent`, `requests`, `first_at`, `last_at`
        (epoch seconds), the one that used it last first; at most 1,000. With `tenant_ids` as in a `RequestQuery`.
        """
        ...
