"""What a gateway serves by while its store does not answer: how it is kept, and when it is not believed any more.

Knows when the store was reached last, and that what is in memory is believed for as long as the snapshot would be
(`on_failure.keys`). Where gateways share the store the lease bounds both; its rule is in `domain.nodes`. It must not
know how the snapshot is written, nor how a gateway that began without its store goes back to it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from gateway.assembly import snapshots
from gateway.config import model
from gateway.control.clock import Moments
from gateway.control.periodic import Periodic
from gateway.domain.key_snapshots import Moment, Stamp, elapsed
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import Clock, KeyRows, KeyStore, Record, StoreUnavailable
from gateway.stores.snapshots.counts import Counts
from gateway.stores.snapshots.files import Files, drop
from gateway.stores.snapshots.keeper import ENTRIES_MAX, Keeper
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Seals, Unusable

TEND_SECONDS: Final = 1.0
"""How often it is looked whether the store answers."""

_STAMP_SECONDS: Final = 5.0
"""How often the snapshot of a file is confirmed: by so much it may seem older than it is. Under a lease each look
counts."""

_AGAIN_SECONDS: Final = 30.0
"""How soon new pages are tried again that could not be written: a disk that is full stays so for a while."""

_COUNT_SECONDS: Final = 10.0
"""How often quotas are written beside it: what a gateway that dies and begins without its store lets in once more."""

_COUNT_REST: Final = 50.0
"""Less often, if that is not so many times as long as it takes: half a million counters take half a second."""

_PERIOD_SECONDS_MAX: Final = 31 * 86_400.0
"""A month: the longest period that a counter can still belong to."""

_BATCH: Final = 500
_REMEMBERED_MAX: Final = 10_000

_log = logging.getLogger(__name__)


class Reserve:
    """The snapshot of the gateway whose store has these `rows`; nothing where none is kept.

    `revision` returns up to where the gateway knows what was changed elsewhere; `until` the end of its lease, None
    where nobody else writes to the store; `forget` lets everybody who serves forget all keys.
    """

    def __init__(self, config: model.Config, path: Path, clock: Clock, rows: KeyRows) -> None:
        self._config = config
        self._config_path = path
        self._clock = clock
        self.moment = Moments(clock)
        self.path = snapshots.snapshot_path(config, path)
        self.keeper: Keeper | None = None
        self._name = snapshots.store_name(config, path)
        self.known = snapshots.known_keys(lambda: self._config, path, self.moment)
        if self.path is not None:
            self.keeper = Keeper(Files(self.path, self._seals, self._name), lambda: rows)
        self.revision: Callable[[], int] = lambda: 0
        self.until: Callable[[], float | None] = lambda: None
        self.forget: Callable[[], Awaitable[object]] = _nobody
        self.since: Moment = self.moment()
        self.fault = ""
        """Why the store does not answer; empty while it does."""
        self.inherited_until = 0.0
        """The end of the lease under which the process before has written it."""
        self._is_believed = True
        self._noted: dict[str, int] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._has_counted = False
        self._stamped_at = -math.inf
        self._pages_at = -math.inf
        self._counts_at = -math.inf
        self._is_stopping = False

    def _seals(self) -> Seals:
        return snapshots.seals(self._config)

    def follow(self, config: model.Config) -> None:
        """Go by another configuration from now on."""
        before, self._config = self._config, config
        if self.keeper is not None and before.peppers != config.peppers:
            self.keeper.wants_pages = True  # signed under a pepper that may leave the next time

    # ---- the beginning

    def found(self) -> tuple[Snapshot, Stamp]:
        """Return the snapshot that is there, and its stamp; whoever gets it closes it. Raises `Unusable`. Blocks."""
        if self.path is None:
            raise Unusable("none is kept")
        snapshot = Snapshot(self.path, self._seals, self._name)
        try:
            return snapshot, snapshot.refresh()
        except BaseException:
            snapshot.close()
            raise

    async def begin(self, store: KeyStore) -> None:
        """Go on with the snapshot that is there, brought up to date from the store, or without one."""
        if self.keeper is None:
            await self._remove_left()
            return
        try:
            snapshot, stamp = await asyncio.to_thread(self.found)
        except Unusable as error:
            if self.path is not None and self.path.exists():
                _log.warning("the snapshot of the keys %s is not gone by: %s", self.path, error)
            await self.keeper.drop()
            return
        try:
            await self._go_on(snapshot, stamp, store)
        finally:
            await asyncio.to_thread(snapshot.close)

    async def _go_on(self, snapshot: Snapshot, stamp: Stamp, store: KeyStore) -> None:
        assert self.keeper is not None
        revision, ids = await store.changes_since(stamp.revision)
        newest = max(stamp.revision, stamp.seen, snapshot.journal.newest)
        if revision < newest:
            _log.warning(
                "the store is at revision %d, and was at %d when the snapshot %s was written: an older one is in its"
                " place. What was revoked in between works again, unless `tollhouse db restore` did it",
                *(revision, newest, self.path),
            )
            await self.keeper.drop()
            return
        await self.keeper.resume(snapshot)
        await self.note_ids(ids, store)

    async def begin_without(self, snapshot: Snapshot, stamp: Stamp) -> None:
        """Go on with `snapshot` as it is: the store does not answer."""
        assert self.keeper is not None
        await self.keeper.resume(snapshot)
        self.since = stamp.moment
        self.inherited_until = stamp.until or 0.0
        self.revision = lambda: stamp.revision

    async def _remove_left(self) -> None:
        """Remove what an earlier configuration has left: nobody keeps it true any more."""
        left = snapshots.left_path(self._config, self._config_path)
        try:
            if await asyncio.to_thread(drop, left):
                _log.info("the snapshot of the keys %s is not kept any more, and was removed", left)
        except OSError as error:
            _log.error(
                "the snapshot of the keys %s is not kept any more: remove it: %s", left, error
            )

    # ---- changes

    async def note(
        self,
        records: Iterable[Record],
        doubtful_keys: Collection[str] = (),
        doubtful_tenants: Collection[str] = (),
    ) -> None:
        """Note what was changed here (`stores.noted.Notes`)."""
        if self.keeper is None:
            return
        records = [*records]
        await self.keeper.note(records, doubtful_keys, doubtful_tenants)
        if len(self._noted) > _REMEMBERED_MAX:
            self._noted.clear()
        self._noted.update(
            (_id_of(each), each.revision)
            for each in records
            if isinstance(each, KeyRecord | Tenant)
        )

    async def note_ids(self, ids: Sequence[str], store: KeyStore) -> None:
        """Note how the records with these ids are now: somebody changed them elsewhere. Raises `StoreUnavailable`."""
        if self.keeper is None or (self.keeper.stamp is None and not self.keeper.is_silent):
            return
        if len(ids) > ENTRIES_MAX:
            await self.renew()
            return
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            keys = await store.get_keys(batch)
            records: list[KeyRecord | Tenant] = [*keys.values()]
            gone = []
            for each in batch:
                tenant = None if each in keys else await store.get(Tenant, each)
                if tenant is not None:
                    records.append(tenant)
                elif each not in keys:
                    gone.append(each)
            new = [each for each in records if self._noted.get(_id_of(each)) != each.revision]
            if new or gone:
                await self.keeper.note(new, gone, gone)

    async def renew(self) -> None:
        """Let go of the snapshot, and write another: what is known may not be true of this store."""
        if self.keeper is not None:
            await self.keeper.drop()

    @property
    def silent(self) -> tuple[str, ...]:
        """Name the snapshot when it misses a change and could not be removed."""
        if self.keeper is None or not self.keeper.is_silent:
            return ()
        return (f"the snapshot of the keys {self.path}",)

    # ---- quotas

    def count(self, counts: Counts) -> None:
        """Take note of how quotas stand: counters that changed."""
        if self.keeper is not None and counts:
            self._counts.update(counts)
            self._has_counted = True

    @property
    def counted(self) -> Counts:
        """How quotas stand, as far as they were counted or known here."""
        return self._counts.copy()

    async def write_counts(self) -> None:
        """Write down how quotas stand, unless that was long in writing just now. Raises `OSError`."""
        started = self._clock.monotonic()
        is_due = started >= self._counts_at or self._is_stopping
        if self.keeper is None or not self._has_counted or not is_due:
            return
        border = self._clock.now() - _PERIOD_SECONDS_MAX
        self._counts = {name: each for name, each in self._counts.items() if each[0] > border}
        self._has_counted = False
        await self.keeper.count(self._counts.copy())  # others are counted meanwhile
        took = self._clock.monotonic() - started
        self._counts_at = started + _COUNT_REST * took

    async def counts(self) -> dict[str, tuple[int, int]]:
        """Return how quotas stood, for who begins without the store."""
        return {} if self.keeper is None else await self.keeper.counts()

    # ---- again and again

    def work(self, store: KeyStore) -> list[Periodic]:
        """Return what is done again and again."""
        return [
            Periodic("looking for the store", lambda: TEND_SECONDS, lambda: self.tend(store)),
            Periodic("writing the snapshot of the keys", lambda: TEND_SECONDS, self.write),
            Periodic("writing quotas beside it", lambda: _COUNT_SECONDS, self.write_counts),
        ]

    async def tend(self, store: KeyStore) -> None:
        """Take note whether the store answers, and of what follows from it."""
        moment, until = self.moment(), self.until()
        try:
            seen = await store.revision()
        except StoreUnavailable as error:
            await self._miss(str(error))
            return
        if self.fault:
            _log.warning(
                "the key store answers again, after %.1f s", elapsed(self.since, self.moment())
            )
        self.fault, self.since, self._is_believed = "", moment, True
        now = self._clock.monotonic()
        is_due = until is not None or now - self._stamped_at >= _STAMP_SECONDS
        keeper = self.keeper
        if keeper is not None and (is_due or keeper.is_silent or self._is_stopping):
            self._stamped_at = now
            # Under a lease it is worth nothing after a power failure: nothing is forced to the disk for it.
            await keeper.confirm(self.revision(), moment, until, seen=seen, is_forced=until is None)

    async def _miss(self, why: str) -> None:
        seconds = elapsed(self.since, self.moment())
        left = snapshots.age_max(self._config) - seconds
        if not self.fault:
            _log.error(
                "the key store does not answer: %s; %s",
                why,
                f"known keys go on working for {left:.0f} s (on_failure.keys), unknown ones get 503"
                if left > 0
                else "every key gets 503 (on_failure.keys)",
            )
        self.fault = why
        if left <= 0:
            if self._is_believed:
                _log.error("no key is believed any more: the store was reached %.0f s ago", seconds)
            self._is_believed = False
            await self.forget()

    async def write(self) -> None:
        """Write new pages, if they are wanted and the store answers. Raises `StoreUnavailable`."""
        keeper, now = self.keeper, self._clock.monotonic()
        if keeper is None or self.fault or self._is_stopping or not keeper.wants_pages:
            return
        if keeper.fault and now < self._pages_at:
            return
        self._pages_at = now + _AGAIN_SECONDS
        await keeper.write_pages(self.revision(), self.since, self.until())

    # ---- what is told

    def age(self) -> float:
        """Return how old the snapshot is in seconds; infinite when there is none, 0 where none is kept."""
        if self.keeper is None:
            return 0.0
        stamp = self.keeper.stamp
        return math.inf if stamp is None else max(0.0, elapsed(stamp.moment, self.moment()))

    def seconds_left(self) -> float:
        """Return for how long known keys go on working from now, if the store does not answer."""
        return max(0.0, snapshots.age_max(self._config) - elapsed(self.since, self.moment()))

    # ---- the end

    def stop(self) -> None:
        """Begin no more pages, and leave those that are being written."""
        self._is_stopping = True
        if self.keeper is not None:
            self.keeper.is_stopping = True

    async def close(self, *, leaves: bool) -> None:
        """Leave the snapshot as it is; remove it when we are about to leave the others, who then wait for us no
        more.
        """
        if self.known is not None:
            await self.known.close()
        if self.keeper is not None:
            try:
                await self.write_counts()
            except OSError as error:
                _log.error("quotas are not written beside the snapshot: %s", error)
            if leaves:
                await self.keeper.confirm(self.revision(), self.since, 0.0)
                await self.keeper.drop()
            await self.keeper.close()


def _id_of(record: KeyRecord | Tenant) -> str:
    return record.key_id if isinstance(record, KeyRecord) else record.tenant_id


async def _nobody() -> None:
    """Nobody serves yet."""
