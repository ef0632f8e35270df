"""Keeps a snapshot true: notes every change before it is acknowledged, and writes new pages beside requests.

Knows that a change which cannot be noted takes the snapshot with it, and that new pages are written in small parts with
long pauses, so that requests notice nothing. One thread does all that touches the disk, in order. It must not know when
the store was reached, nor what a gateway does without one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from gateway.domain.key_snapshots import Moment, Stamp
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.ports import KeyRows, Record
from gateway.stores.rows import KEY_COLUMNS, TENANT_COLUMNS, values_of
from gateway.stores.snapshots.counts import Counts
from gateway.stores.snapshots.files import Files
from gateway.stores.snapshots.journal import doubtful_entry, key_entry, tenant_entry
from gateway.stores.snapshots.pages import digest_of
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Unusable

PAGE: Final = 200
"""Records that are written together: about two milliseconds of work, in which the interpreter is shared."""

REST: Final = 4.0
"""A pause is so many times as long as the work before it: a fifth of a core at most."""

PAUSE_SECONDS_MAX: Final = 0.25
"""How long a pause is at most: whoever stops the gateway waits for it."""

ENTRIES_MAX: Final = 20_000
"""Changes after which new pages are written: whoever serves by the snapshot holds them in memory, about 1 KB each."""

ENTRIES_MOST: Final = 5 * ENTRIES_MAX
"""Changes after which a snapshot goes whose pages cannot be written anew."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Keeper:
    """Keeps the snapshot in `files` of what `rows` returns.

    `wants_pages` tells that new pages are to be written, `fault` what kept them, or a change, from being written;
    empty for nothing. `is_silent` tells that a snapshot which misses a change could not be removed.
    """

    def __init__(
        self, files: Files, rows: Callable[[], KeyRows], rest: float = REST, page: int = PAGE
    ) -> None:
        self._files = files
        self._rows = rows
        self.rest = rest
        self._page = page
        self._thread = ThreadPoolExecutor(1, "key snapshot")
        self.wants_pages = True
        self.fault = ""
        self.is_silent = False
        self.is_stopping = False
        self.size = 0

    @property
    def stamp(self) -> Stamp | None:
        """How things stood last, None while there is no snapshot."""
        return self._files.stamp

    async def _do(self, act: Callable[..., T], *values: Any) -> T:
        """Let the thread act. Whoever asked may go away: it is done all the same, and in order."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, partial(act, *values)))

    # ---- what goes on

    async def resume(self, snapshot: Snapshot) -> None:
        """Go on with a snapshot that was found; what changed since is to be noted next."""
        try:
            await self._do(self._resume, snapshot)
        except (OSError, Unusable) as error:
            await self.lose(str(error))

    def _resume(self, snapshot: Snapshot) -> None:
        snapshot.refresh()
        self._files.resume(snapshot)

    async def note(
        self,
        records: Iterable[Record],
        doubtful_keys: Collection[str] = (),
        doubtful_tenants: Collection[str] = (),
    ) -> None:
        """Note how records are now, and of which nobody knows; it is on the disk when this returns.

        Never raises: what cannot be noted takes the snapshot with it, and `is_silent` tells when it did not go.
        """
        if self.is_silent:
            await self.drop()
        try:
            await self._do(self._note, [*records], doubtful_keys, doubtful_tenants)
        except OSError as error:
            await self.lose(f"a change could not be written: {error}")
        if self._files.entries > ENTRIES_MAX or doubtful_keys or doubtful_tenants:
            self.wants_pages = True
        if self._files.entries > ENTRIES_MOST:
            await self.lose("there are too many changes since its pages could be written")

    def _note(
        self,
        records: Iterable[Record],
        doubtful_keys: Collection[str],
        doubtful_tenants: Collection[str],
    ) -> None:
        entries = [entry for each in records if (entry := _entry(each))]
        entries += [doubtful_entry(each, is_key=True) for each in doubtful_keys]
        entries += [doubtful_entry(each, is_key=False) for each in doubtful_tenants]
        if entries:
            self._files.note(entries)

    async def confirm(
        self,
        revision: int,
        moment: Moment,
        until: float | None = None,
        *,
        seen: int = 0,
        is_forced: bool = False,
    ) -> None:
        """Say that everything up to `revision` is noted at that moment, when the store is at `seen`. Never raises."""
        if self.is_silent:
            await self.drop()
        try:
            await self._do(self._confirm, revision, moment, until, seen, is_forced)
        except OSError as error:
            await self.lose(f"it could not be kept young: {error}")

    def _confirm(
        self, revision: int, moment: Moment, until: float | None, seen: int, is_forced: bool
    ) -> None:
        if self._files.stamp is not None and not self._files.path.exists():
            self._files.drop()  # somebody changed keys without us, and has removed it
            self.wants_pages = True
        self._files.confirm(revision, moment, until, seen=seen, is_forced=is_forced)

    async def count(self, counts: Counts) -> None:
        """Write down how quotas stand, in a thread of its own: no change waits for it. Raises `OSError`."""
        await asyncio.to_thread(self._files.count, counts)

    async def counts(self) -> dict[str, tuple[int, int]]:
        """Return how quotas stood; nothing when nobody can tell."""
        try:
            return await asyncio.to_thread(self._files.counts)
        except Unusable as error:
            _log.warning("quotas begin anew: %s", error)
            return {}

    # ---- new pages

    async def write_pages(self, revision: int, moment: Moment, until: float | None = None) -> None:
        """Write all that the store holds at `revision`, or later, as new pages. Raises `StoreUnavailable`.

        What goes wrong leaves the pages that there are.
        """
        self.wants_pages = False
        started = time.monotonic()
        try:
            await self._do(self._files.begin, revision, moment, until)
            keys = await self._write_keys()
            await self._write_tenants()
            self.size = await self._do(self._files.finish)
        except (OSError, Unusable) as error:
            await self._abandon()
            if not self.is_stopping:
                self._blame(f"it could not be written: {error}")
            return
        except BaseException:
            await self._abandon()
            raise
        if self.fault:
            _log.warning("the snapshot of the keys is written again: %s", self._files.path)
        self.fault = ""
        _log.info(
            "a snapshot of %d keys was written to %s: %d bytes in %.1f s",
            *(keys, self._files.path, self.size, time.monotonic() - started),
        )

    async def _pause(self, worked_seconds: float) -> None:
        # A store that was slow to answer has cost nobody here anything.
        await asyncio.sleep(min(worked_seconds * self.rest, PAUSE_SECONDS_MAX))

    def _require_time(self) -> None:
        if self.is_stopping:
            raise Unusable("the gateway is stopping")

    async def _abandon(self) -> None:
        self.wants_pages = True
        await self._do(self._files.abandon)

    async def _write_keys(self) -> int:
        after, count = b"", 0
        while True:
            started = time.monotonic()
            rows = await self._rows().key_rows(after, self._page)
            if not rows:
                return count
            self._require_time()
            after, count = digest_of(rows[-1]), count + len(rows)
            await self._do(self._files.add_keys, rows)
            await self._pause(time.monotonic() - started)

    async def _write_tenants(self) -> None:
        await self._do(self._files.begin_tenants)
        after = ""
        while True:
            started = time.monotonic()
            rows: Sequence[Sequence[Any]] = await self._rows().tenant_rows(after, self._page)
            if not rows:
                return
            self._require_time()
            after = rows[-1][0]
            await self._do(self._files.add_tenants, rows)
            await self._pause(time.monotonic() - started)

    # ---- the end

    async def lose(self, why: str) -> None:
        """Remove a snapshot that is not true any more."""
        self._blame(f"{why}; it is removed, so a restart serves nobody while the store is broken")
        await self.drop()

    async def drop(self) -> None:
        """Remove the snapshot, if there is one. Never raises: `is_silent` tells when it is still there."""
        self.wants_pages = True
        try:
            await self._do(self._files.drop)
        except OSError as error:
            if not self.is_silent:
                _log.critical(
                    "the snapshot of the keys %s misses a change and cannot be removed: %s. Remove it, or a restart"
                    " with a broken store serves by what was before",
                    *(self._files.path, error),
                )
            self.is_silent = True
        else:
            self.is_silent = False

    def _blame(self, why: str) -> None:
        if not self.fault:
            _log.error("the snapshot of the keys %s: %s", self._files.path, why)
        self.fault = why

    async def close(self) -> None:
        """Leave the snapshot as it is."""
        await self._do(self._files.close)
        self._thread.shutdown(wait=False)


def _entry(record: Record) -> bytes:
    """Return what is noted of a record; nothing of one by which nobody is served."""
    if isinstance(record, KeyRecord):
        values = values_of(record)
        return key_entry([values[name] for name in KEY_COLUMNS])
    if isinstance(record, Tenant):
        values = values_of(record)
        return tenant_entry([values[name] for name in TENANT_COLUMNS])
    return b""
