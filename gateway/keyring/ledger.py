"""How a change of keys and tenants is committed: the store and its audit trail first, together, then everybody who
serves by what was before.

Knows lost races (read again, decide again), the order above, and what a change takes from requests under way. It must
not know which change is allowed: the other modules here decide that, and only they write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gateway.domain.change import Change, ChangeType, Order, described, differences
from gateway.domain.deliveries import Delivery
from gateway.domain.enforcement import Enforced
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import Sort, Wanted
from gateway.domain.streams import Condemn
from gateway.domain.tenants import Tenant
from gateway.domain.withdrawal import Withdrawals, withdrawn_of_key, withdrawn_of_tenant
from gateway.keyring.cursors import cursor_behind, place_of, record_id
from gateway.ports import Clock, Conflict, Enforce, KeyStore, R, Record, Write

_TRIES_MAX: Final = 5  # each lost race means that another change of the same record was committed

_KEY_RIGHTS: Final = (
    *("state", "scopes", "ip_allowlist", "ip_allowlist_mode", "expires_at", "retires_at"),
    *("resume_at", "tenants"),
)
_TENANT_RIGHTS: Final = (
    *("is_suspended", "ip_allowlist", "ip_allowlist_enabled", "ip_allowlist_mode", "deleted_at"),
)
"""The fields with which requests under way are let through or not."""


class NotFound(Exception):
    """There is no record like that; the text may be shown to whoever asked."""


class Stale(Conflict):
    """The record is not, or no longer, as whoever orders the change saw it."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list. `cursor` is where the next page of the same order begins (`after`); empty when this is the last
    one.
    """

    records: list[T]
    cursor: str


@dataclass(frozen=True, slots=True)
class Changed(Generic[R]):
    """A record after a change, and how far the change has reached: None when nothing was changed, or would only be."""

    record: R
    enforced: Enforced | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What changes together: each record before (None: a new one) and after, and what tells of it."""

    moves: list[tuple[Record | None, Record]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Enacted:
    """The records of an act as they are now, by id, and how far it has reached: None when nothing was changed."""

    records: Mapping[str, Record]
    enforced: Enforced | None = None

    def the(self, kind: type[R], record_id: str) -> R:
        """Return the record of this kind with this id."""
        record = self.records[record_id]
        assert isinstance(record, kind)
        return record

    @property
    def delivery(self) -> Delivery | None:
        """The delivery among the records, if there is one."""
        return next((each for each in self.records.values() if isinstance(each, Delivery)), None)


class Ledger:
    """Writes records.

    `granted` returns the atoms that scopes stand for. Whoever serves forgets a changed key even when its write fails:
    after `StoreUnavailable` it may have happened all the same.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        enforce: Enforce,
        granted: Callable[[tuple[str, ...]], frozenset[str]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._enforce = enforce
        self._granted = granted

    async def read(self, kind: type[R], record_id: str) -> R:
        """Return the record. Raises `NotFound`."""
        record = await self._store.get(kind, record_id)
        if record is None:
            raise missing(kind, record_id)
        return record

    async def tenant_in_use(self, tenant_id: str) -> Tenant | None:
        """Return the tenant that something new shall belong to; None when there is none, or none any more."""
        tenant = await self._store.get_tenant(tenant_id)
        return None if tenant is None or tenant.is_deleted else tenant

    async def page(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Wanted],
        after: str,
        limit: int,
        sort: Sort | None = None,
    ) -> Page[R]:
        """Return one page of records; of the conditions in `where`, an empty text and None ask for nothing."""
        wanted = {name: value for name, value in where.items() if value is not None and value != ""}
        place, order = place_of(after, sort)
        rows = await self._store.page(kind, where=wanted, after=place, limit=limit + 1, sort=order)
        return Page(rows[:limit], cursor_behind(rows[limit - 1], sort) if len(rows) > limit else "")

    async def commit(
        self, writes: Sequence[Write], changes: Sequence[Change], condemn: Condemn | None = None
    ) -> tuple[list[Record], Enforced]:
        """Store records and tell of them, all or nothing; return them as written, and how far that has reached.

        `condemn` ends requests under way, once nobody lets a new one through.
        """
        ids = [record_id(each.record) for each in writes if isinstance(each.record, _SERVED_BY)]
        try:
            written = await self._store.commit(writes, changes)
        except BaseException:
            await self._enforce(ids, None)
            raise
        return written, await self._enforce(ids, condemn)

    async def insert(self, record: R, event: ChangeType, order: Order) -> Changed[R]:
        """Store a new record. Raises `Conflict` when its id or digest is taken."""
        if order.is_dry_run:
            if await self._store.get(type(record), record_id(record)) is not None:
                raise Conflict(f"{record_id(record)} exists already")
            return Changed(record)
        change = self.change(record, event, order, after=described(record))
        [written], enforced = await self.commit([Write(record, 0)], [change])
        assert isinstance(written, type(record))
        return Changed(written, enforced)

    async def edit(
        self,
        kind: type[R],
        record_id: str,
        edit: Callable[[R], R],
        order: Order,
        events: Mapping[str, ChangeType],
    ) -> Changed[R]:
        """Replace a record by what `edit` makes of it. `edit` may run more than once, and may refuse by raising.

        `events` says which event tells about which field. Raises `NotFound`, `Stale`, `Conflict`.
        """
        for _ in range(_TRIES_MAX):
            before = await self.read(kind, record_id)
            require_as_seen(before, order)
            after = edit(before)
            if order.is_dry_run:
                return Changed(after)
            if after == before:
                await self._enforce((record_id,), None)  # an earlier try may have ended in doubt
                return Changed(before)
            try:
                [written], enforced = await self.commit(
                    [Write(after, before.revision)],
                    self.changes(before, after, events, order),
                    self.condemnation([(before, after)]),
                )
            except Conflict as lost:
                conflict = lost
                continue
            assert isinstance(written, kind)
            return Changed(written, enforced)
        raise conflict

    async def enact(self, plan: Callable[[], Awaitable[Act]], order: Order) -> Enacted:
        """Commit what `plan` makes of the records that it reads: all of it, or nothing.

        `plan` may run more than once, and may refuse by raising. A record that stays as it is belongs to an act as
        well: whoever serves by it forgets it.
        """
        for _ in range(_TRIES_MAX):
            act = await plan()
            writes = [
                Write(after, 0 if before is None else before.revision)
                for before, after in act.moves
                if before != after
            ]
            if order.is_dry_run:
                return Enacted({record_id(after): after for _, after in act.moves})
            if not writes:
                ids = [record_id(each) for _, each in act.moves if isinstance(each, _SERVED_BY)]
                await self._enforce(ids, None)  # an earlier try may have ended in doubt
                return Enacted({record_id(after): after for _, after in act.moves})
            known = [(before, after) for before, after in act.moves if before is not None]
            try:
                written, enforced = await self.commit(writes, act.changes, self.condemnation(known))
            except Conflict as lost:
                conflict = lost
                continue
            records = [*(after for _, after in act.moves), *written]
            return Enacted({record_id(each): each for each in records}, enforced)
        raise conflict

    async def tell(self, changes: Sequence[Change]) -> None:
        """Let the audit trail say what changed no record."""
        await self._store.commit([], changes)

    async def write_key(self, record: KeyRecord, expected_revision: int) -> None:
        """Store a key without telling anyone but those who serve by it."""
        await self.commit([Write(record, expected_revision)], [])

    # ---- what a change says and takes

    def change(
        self,
        record: Record,
        event: ChangeType,
        order: Order,
        *,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
        subject_id: str = "",
    ) -> Change:
        """Return what tells of a change of `record`."""
        return Change(
            type=event,
            actor=order.actor,
            tenant_id=getattr(record, "tenant_id", ""),
            key_id=getattr(record, "key_id", ""),
            subject_id=subject_id or ("" if isinstance(record, _SERVED_BY) else record_id(record)),
            reason=order.reason,
            before=before or {},
            after=after or {},
            at=self._clock.now(),
        )

    def changes(
        self, before: R, after: R, events: Mapping[str, ChangeType], order: Order
    ) -> list[Change]:
        """Return what tells of the fields that differ."""
        return [
            self.change(after, event, order, before=was, after=becomes)
            for event, (was, becomes) in differences(before, after, events).items()
        ]

    def condemnation(self, pairs: Sequence[tuple[Record, Record]]) -> Condemn | None:
        """Return what the changes from one record to the other take from requests under way; None for nothing."""
        now = self._clock.now()
        parts = []
        for before, after in pairs:
            if isinstance(after, KeyRecord) and _differ(before, after, _KEY_RIGHTS):
                parts.append(withdrawn_of_key(after, self._granted(after.scopes), now))
            elif isinstance(after, Tenant) and _differ(before, after, _TENANT_RIGHTS):
                parts.append(withdrawn_of_tenant(after))
        return Withdrawals(tuple(parts)) if parts else None


def require_as_seen(record: Record, order: Order) -> None:
    """Raise `Stale` unless `record` is in the revision that whoever ordered a change has seen, if that matters."""
    if order.expected_revision is not None and record.revision != order.expected_revision:
        raise Stale(
            f"{record_id(record)} is in revision {record.revision}, not {order.expected_revision}: read it again"
        )


def missing(kind: type[R], record_id: str) -> NotFound:
    """Return what is raised for a record that does not exist, or not for whoever asks."""
    return NotFound(f"there is no {_NOUNS[kind.__name__]} '{record_id}'")


def among(tenant_id: str, tenant_ids: tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """Return what the tenant of a record must be: that one (empty: any), among those that may be seen (None: all)."""
    if not tenant_id:
        return tenant_ids
    return tenant_id if tenant_ids is None or tenant_id in tenant_ids else ()


def _differ(before: Record, after: Record, names: Sequence[str]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in names)


_SERVED_BY: Final = (KeyRecord, Tenant)
"""The records by which requests are served."""

_NOUNS: Final = {
    "KeyRecord": "key",
    "Tenant": "tenant",
    "Rotation": "rotation",
    "Incident": "incident",
    "Delivery": "delivery",
    "AdminToken": "admin token",
}
