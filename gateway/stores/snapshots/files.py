"""The files of a snapshot as they are written: begun, kept up to date, replaced, and removed when they would lie.

Knows that what cannot be kept up to date must go: a snapshot that misses a revocation would let in what was revoked.
While new pages are written a change goes into both journals, so that either snapshot is whole. Everything blocks; one
thread at a time calls it. It must not know when any of it is due.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.domain.key_snapshots import Moment, Stamp
from gateway.stores.snapshots.counts import Counts, counts_path, read_counts, write_counts
from gateway.stores.snapshots.journal import Journal
from gateway.stores.snapshots.pages import FOLDER_MODE, Draft, Row, force_folder
from gateway.stores.snapshots.reading import Snapshot, journal_path
from gateway.stores.snapshots.sealing import Seals, Unusable

_ID_BYTES: Final = 16
_ID: Final = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")


class Files:
    """The snapshot of `store` at `path`; `fault` says what kept it from being written last, empty when nothing did."""

    def __init__(self, path: Path, seals: Callable[[], Seals], store: str) -> None:
        self.path = path
        self.entries = 0
        """What the journal holds."""
        self._seals = seals
        self._store = store
        self._id = ""
        self._journal: Journal | None = None
        self._draft: Draft | None = None
        self._next: tuple[str, Journal] | None = None

    @property
    def stamp(self) -> Stamp | None:
        """How things stood last, None while there is no snapshot."""
        return None if self._journal is None else self._journal.stamp

    def resume(self, found: Snapshot) -> None:
        """Go on with the snapshot that was `found`. Raises `OSError`."""
        pages, journal = found.pages, found.journal
        self._journal = Journal.resume(journal, pages.seal)
        self._id, self.entries = pages.id, journal.entries

    # ---- what goes on

    def note(self, entries: Sequence[bytes]) -> None:
        """Write down what changed; it is on the disk when this returns. Raises `OSError`."""
        if self._journal is not None:
            self._journal.append(entries)
            self.entries += len(entries)
        if self._next is not None:
            self._next[1].append(entries)

    def confirm(
        self, revision: int, moment: Moment, until: float | None, *, seen: int = 0, is_forced: bool
    ) -> None:
        """Write down that all up to `revision` is here at that moment, and the store at `seen`. Raises `OSError`."""
        for journal in self._journals:
            told = replace(journal.stamp, revision=revision, moment=moment, until=until, seen=seen)
            journal.confirm(told, is_forced=is_forced)

    @property
    def _journals(self) -> list[Journal]:
        found = [] if self._journal is None else [self._journal]
        return found if self._next is None else [*found, self._next[1]]

    def count(self, counts: Counts) -> None:
        """Write down how quotas stand. Raises `OSError`."""
        write_counts(counts_path(self.path), self._seals().current, self._store, counts)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return how quotas stood. Raises `Unusable`."""
        return read_counts(counts_path(self.path), self._seals(), self._store)

    # ---- new pages

    def begin(self, revision: int, moment: Moment, until: float | None) -> None:
        """Begin new pages: of all that the store holds at `revision`, or later. Raises `OSError`."""
        self.abandon()
        self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        seal, snapshot_id = self._seals().current, secrets.token_hex(_ID_BYTES)
        stamp = Stamp(number=0, length=0, chain="", revision=revision, moment=moment, until=until)
        place = journal_path(self.path, snapshot_id)
        self._next = snapshot_id, Journal.begin(place, seal, snapshot_id, self._store, stamp)
        self._draft = Draft(self.path, seal, snapshot_id, self._store, moment.at)

    def add_keys(self, rows: Sequence[Row]) -> None:
        """Add a part of the keys. Raises `OSError`."""
        self._drafted.add_keys(rows)

    def add_tenants(self, rows: Sequence[Row]) -> None:
        """Add a part of the tenants. Raises `OSError`."""
        self._drafted.add_tenants(rows)

    def begin_tenants(self) -> None:
        """Take note that there are no more keys."""
        self._drafted.begin_tenants()

    def finish(self) -> int:
        """Put the new pages in their place, and remove what they replace; return their size. Raises `OSError`."""
        if self._next is None:
            raise Unusable("it was dropped while it was written")
        force_folder(self.path.parent)  # its journal is there before it is
        size = self._drafted.finish()
        self._draft = None
        if self._journal is not None:
            self._journal.close()
        (self._id, self._journal), self._next = self._next, None
        self.entries = 0
        self._sweep()
        return size

    def abandon(self) -> None:
        """Let go of new pages that were begun."""
        draft, self._draft = self._draft, None
        begun, self._next = self._next, None
        if draft is not None:
            draft.discard()
        if begun is not None:
            begun[1].close()
            with suppress(OSError):
                begun[1].path.unlink(missing_ok=True)

    @property
    def _drafted(self) -> Draft:
        if self._draft is None:
            raise Unusable("it was dropped while it was written")
        return self._draft

    # ---- the end

    def drop(self) -> None:
        """Remove the snapshot: nobody may serve by it any more. Raises `OSError` when it is still there."""
        self.abandon()
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        self._id, self.entries = "", 0
        drop(self.path)
        self._sweep()

    def close(self) -> None:
        """Leave it as it is."""
        self.abandon()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _sweep(self) -> None:
        """Remove the journals of other snapshots."""
        for each in journals(self.path):
            if each != journal_path(self.path, self._id):
                with suppress(OSError):
                    each.unlink(missing_ok=True)


def drop(path: Path) -> bool:
    """Remove the snapshot at `path` for good; tell whether there was one. Raises `OSError` when it is still there.

    Its journal, which means nothing without it, is left to the gateway that may be writing the next one.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    force_folder(path.parent)
    return True


def journals(path: Path) -> list[Path]:
    """Return the journals that lie beside `path`."""
    found = path.parent.glob(f"{path.name}.*") if path.parent.is_dir() else ()
    return [each for each in found if _ID.fullmatch(each.name.removeprefix(f"{path.name}."))]
