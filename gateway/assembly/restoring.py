"""Restores a backup of the store: prepared beside the store, then put in its place in one step.

Knows what must be true before that step: nobody uses the store; the copy is whole, of a schema that this program knows,
and its audit trail is what was signed; what was revoked since is revoked in it; the trail tells of all that. It must
not know how a command asks for it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from gateway.assembly.errors import CannotStart
from gateway.assembly.keys import make_keyring, nobody
from gateway.assembly.records import audit_files
from gateway.assembly.snapshots import left_path, seals, store_name
from gateway.audit.files import AuditFiles, Unusable
from gateway.audit.keeper import Keeper, checkpoints, verify
from gateway.config import model
from gateway.config.places import anchored
from gateway.control.clock import SystemClock
from gateway.domain.change import Change, ChangeType, Order
from gateway.keyring.again import Again, Replaced, StoppedAgain, TakenOver
from gateway.keyring.door import Keyring
from gateway.ports import AuditTrail, Clock, KeyStore, StoreUnavailable
from gateway.stores import sqlite, sqlite_copies
from gateway.stores.snapshots.files import drop
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.records import SnapshotRecords
from gateway.stores.snapshots.sealing import Unusable as NoSnapshot
from gateway.stores.sqlite_copies import CannotCopy, Contents
from gateway.stores.sqlite_lock import alone

_STAMP: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came of it: what the backup held, what was stopped in it again (None: the store that it replaces could not
    be read, or there was none), what was taken over (None: nobody wanted that, or it could not), and where the replaced
    store is kept.
    """

    contents: Contents
    stopped: StoppedAgain | None
    taken_over: TakenOver | None
    kept: str
    is_by_snapshot: bool = False
    is_taken_by_snapshot: bool = False


async def restore(
    config: model.Config,
    config_path: Path,
    source: Path,
    order: Order,
    *,
    with_new_keys: bool = False,
) -> Restored:
    """Put the backup at `source` in the place of the store. Raises `CannotCopy`, `InUse`, `OSError`; then the store is
    as it was.

    `with_new_keys` takes over keys and tenants that were made since, and, from a store that is sound, rotations.
    """
    if config.store.url.get_secret_value():
        raise CannotCopy(
            "the keys are in the database of store.url: restore that one, with pg_restore"
        )
    store = anchored(config_path, config.store.path)
    with alone(store):
        restoring = _Restoring(config, config_path, store, order, with_new_keys=with_new_keys)
        return await restoring.restore(source)


class _Restoring:
    """One restoration of `store`, which nobody uses meanwhile."""

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        store: Path,
        order: Order,
        *,
        with_new_keys: bool,
    ) -> None:
        self._config = config
        self._with_new_keys = with_new_keys
        self._taken_over: TakenOver | None = None
        self._is_sound = False  # every page of the store that is replaced is what was written
        self._store = store
        self._config_path = config_path
        self._snapshot = left_path(config, config_path)
        self.is_by_snapshot = False
        self._order = order
        self._clock: Clock = SystemClock()
        self._staged = store.with_name(f"{store.name}.restoring")
        self._files = audit_files(config, config_path)
        self._staged_head = self._staged.with_suffix(".head")

    async def restore(self, source: Path) -> Restored:
        try:
            contents = await asyncio.to_thread(sqlite_copies.stage, source, self._staged)
            stopped = await self._bring_up(contents)
            kept = await asyncio.to_thread(self._swap)
        except (StoreUnavailable, CannotStart, Unusable) as error:
            raise CannotCopy(str(error)) from error
        finally:
            sqlite_copies.discard(self._staged)
            self._staged_head.unlink(missing_ok=True)
        return Restored(
            contents=contents,
            stopped=stopped,
            taken_over=self._taken_over,
            kept=kept,
            is_by_snapshot=self.is_by_snapshot,
            is_taken_by_snapshot=self._taken_over is not None and not self._is_sound,
        )

    # ---- the copy

    async def _bring_up(self, contents: Contents) -> StoppedAgain | None:
        """Check the trail of the copy, stop in it what was stopped since, and tell of it."""
        async with sqlite.opened(self._staged) as restored:
            keeper = await self._keeper(restored.audit)
            keyring = make_keyring(self._config, restored, self._clock, nobody(self._clock))
            stopped = await self._stop_again(keyring, restored)
            await restored.audit.append([self._told(contents, stopped)])
            await keeper.close()
            if keeper.fault is None:
                report = await verify(restored.audit, keeper.files)
                fault = report.fault
            else:
                fault = keeper.fault
            if fault is not None:
                raise CannotCopy(
                    f"the audit trail of the backup is not what was signed: {fault.text}. If it was signed elsewhere,"
                    f" copy audit.key and audit.pub from there beside the store first"
                )
        return stopped

    async def _stop_again(self, keyring: Keyring, restored: KeyStore) -> StoppedAgain | None:
        """Stop what is stopped in the store that is replaced; where that cannot be read, in its snapshot."""
        if self._with_new_keys:
            await self._take_over(keyring, restored)
        actor = self._order.actor
        with suppress(StoreUnavailable):  # it may be the reason for all this
            async with sqlite.opened_to_read(self._store) as replaces:
                again = Again(keyring, restored, replaces, actor)
                stopped = await again.stop()
                if self._taken_over is not None and self._is_sound:
                    await again.take_over_rotations(self._taken_over)
                return stopped
        with suppress(NoSnapshot):
            async with self._by_snapshot() as records:
                stopped = await Again(keyring, restored, records, actor).stop()
                self.is_by_snapshot = True
                return stopped
        return None

    async def _take_over(self, keyring: Keyring, restored: KeyStore) -> None:
        """Take over what was made since: from the store that is replaced if it is whole, else from its snapshot.

        A damaged file may be read, and say what nobody has written; the snapshot is signed.
        """
        actor = self._order.actor
        with suppress(CannotCopy, StoreUnavailable):
            await asyncio.to_thread(sqlite_copies.require_sound, self._store)
            async with sqlite.opened_to_read(self._store) as replaces:
                self._taken_over = await Again(keyring, restored, replaces, actor).take_over()
                self._is_sound = True
                return
        with suppress(NoSnapshot):
            async with self._by_snapshot() as records:
                self._taken_over = await Again(keyring, restored, records, actor).take_over()

    @asynccontextmanager
    async def _by_snapshot(self) -> AsyncIterator[Replaced]:
        """Open the snapshot of the store that is replaced. Raises `NoSnapshot`."""
        name = store_name(self._config, self._config_path)
        with closing(Snapshot(self._snapshot, lambda: seals(self._config), name)) as snapshot:
            await asyncio.to_thread(snapshot.refresh)
            yield await asyncio.to_thread(SnapshotRecords, snapshot)

    async def _keeper(self, trail: AuditTrail) -> Keeper:
        """Return who looks after the trail of the copy, from its own last signature on."""
        files = AuditFiles(self._files.key_path, self._staged_head)
        signer = files.signer()
        latest = None
        async for each in checkpoints(trail):
            latest = each
        if latest is not None:
            files.write_head(latest)
        return Keeper(trail, files, signer, self._clock)

    def _told(self, contents: Contents, stopped: StoppedAgain | None) -> Change:
        after: dict[str, Any] = {"audit_seq": contents.audit_seq, "keys": contents.keys}
        if stopped is not None:
            after["stopped_again"] = asdict(stopped)
        if self._taken_over is not None:
            after["taken_over"] = asdict(self._taken_over)
        return Change(
            type=ChangeType.STORE_RESTORED,
            actor=self._order.actor,
            tenant_id="",
            reason=self._order.reason,
            before=self._replaced_head(),
            after=after,
            at=self._clock.now(),
        )

    def _replaced_head(self) -> dict[str, Any]:
        """Return the end of the trail that is replaced, as it was signed: whoever keeps it can prove what was there."""
        try:
            head = self._files.head()
        except Unusable:
            return {}
        return {} if head is None else {"audit_seq": head.seq, "audit_hash": head.hash.hex()}

    # ---- the step

    def _kept_as(self, head: Path) -> tuple[Path, Path]:
        """Return names that nothing has yet for the store that is replaced, and the end of its trail."""
        stamp = time.strftime(_STAMP, time.gmtime(self._clock.now()))
        for number in count(1):
            suffix = f".replaced-{stamp}" + (f"-{number}" if number > 1 else "")
            store, end = (each.with_name(each.name + suffix) for each in (self._store, head))
            taken = (end, *(Path(f"{store}{each}") for each in ("", *sqlite_copies.SIDECARS)))
            if not any(map(os.path.lexists, taken)):
                break
        return store, end

    def _swap(self) -> str:
        head = self._files.head_path
        kept, kept_head = self._kept_as(head)
        was_there = sqlite_copies.replace(self._staged, self._store, kept)
        if was_there:
            with suppress(OSError):  # it only helps whoever looks at what was replaced
                os.link(head, kept_head)
        self._staged_head.replace(head)
        # It is of the store that was replaced: keys that the backup does not know would go on working by it.
        try:
            drop(self._snapshot)
        except OSError as error:
            raise CannotCopy(
                f"the backup is in its place, but the snapshot {self._snapshot} of the store before could not be"
                f" removed: remove it before a gateway starts ({error.strerror})"
            ) from error
        return str(kept) if was_there else ""
