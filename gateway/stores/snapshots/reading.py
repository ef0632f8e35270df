"""A snapshot as it is now: its pages, and the journal of what changed since.

Knows what of the pages is overtaken, and that pages which were replaced are read anew. A record that it does not have
may exist all the same: whoever asks is told that nobody knows. It must not know how long it may be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.domain.key_snapshots import Stamp
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.rows import TENANT_COLUMNS, SharedRows
from gateway.stores.snapshots.journal import JournalReader, is_older
from gateway.stores.snapshots.pages import Pages, digest_of, identity_of
from gateway.stores.snapshots.sealing import Seals, Unusable

_TENANT_OF_KEY: Final = 2
"""Where a row of `KEY_COLUMNS` says whose the key is."""

assert TENANT_COLUMNS[0] == "tenant_id"


def journal_path(path: Path, snapshot_id: str) -> Path:
    """Return where the journal of the snapshot at `path` lies."""
    return path.with_name(f"{path.name}.{snapshot_id}")


class Snapshot:
    """The snapshot at `path`, which was taken of `store`. `seals` is asked each time that files are opened.

    Everything blocks, and raises `Unusable`. Used by one thread at a time.
    """

    def __init__(self, path: Path, seals: Callable[[], Seals], store: str) -> None:
        self.path = path
        self._seals = seals
        self._store = store
        self._rows = SharedRows()
        self._pages: Pages | None = None
        self._journal: JournalReader | None = None

    def refresh(self) -> Stamp:
        """Take note of what was written since; return how things stood last."""
        pages, journal = self._pages, self._journal
        if pages is None or journal is None or pages.identity != self._identity():
            self.close()
            pages, journal = self._opened()
        else:
            journal.refresh()
        return journal.stamp

    def _identity(self) -> tuple[int, int, int]:
        try:
            return identity_of(self.path.stat())
        except FileNotFoundError as error:
            raise Unusable("there is none") from error
        except OSError as error:
            raise Unusable(f"it cannot be read: {error.strerror}") from error

    def _opened(self) -> tuple[Pages, JournalReader]:
        seals = self._seals()
        pages = Pages(self.path, seals, self._store)
        try:
            place = journal_path(self.path, pages.id)
            journal = JournalReader(place, seals, pages.id, self._store)
        except BaseException:
            pages.close()
            raise
        self._pages, self._journal = pages, journal
        return pages, journal

    def key(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant; None when they are not known here."""
        row = self._key_row(digests)
        tenant = None if row is None else self._tenant_row(row[_TENANT_OF_KEY])
        if row is None or tenant is None:
            return None
        return self._rows.key_of(row), self._rows.tenant_of(tenant)

    def record(self, digest: bytes) -> KeyRecord | None:
        """Return the key with `digest`, also when nobody knows what became of its tenant; None when it is not known."""
        row = self._key_row([digest])
        return None if row is None else self._rows.key_of(row)

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant; None when it is not known here."""
        row = self._tenant_row(tenant_id)
        return None if row is None else self._rows.tenant_of(row)

    def digests(self) -> dict[str, bytes]:
        """Return the digest of every key that is known here, by its id."""
        pages, journal = self._parts
        found = {row[0]: digest for digest, row in pages.every_key()}
        for key_id, digest in journal.digests.items():
            found.pop(key_id, None)
            if digest is not None:
                found[key_id] = digest
        return found

    def tenant_ids(self) -> set[str]:
        """Return the id of every tenant that is known here."""
        pages, journal = self._parts
        found = {row[0] for row in pages.every_tenant()} - journal.tenants.keys()
        return found | {each for each, row in journal.tenants.items() if row is not None}

    def _key_row(self, digests: Sequence[bytes]) -> list[Any] | None:
        pages, journal = self._parts
        for digest in digests:
            row, written = journal.keys.get(digest), pages.key(digest)
            if row is not None:
                return written if written is not None and is_older(row, written) else row
            if written is not None and written[0] not in journal.digests:
                assert digest_of(written) == digest
                return written
        return None

    def _tenant_row(self, tenant_id: str) -> list[Any] | None:
        pages, journal = self._parts
        written = pages.tenant(tenant_id)
        if tenant_id not in journal.tenants:
            return written
        row = journal.tenants[tenant_id]
        return (
            written if row is not None and written is not None and is_older(row, written) else row
        )

    @property
    def _parts(self) -> tuple[Pages, JournalReader]:
        if self._pages is None or self._journal is None:
            raise Unusable("it was not opened")
        return self._pages, self._journal

    @property
    def pages(self) -> Pages:
        """The pages, after `refresh`."""
        return self._parts[0]

    @property
    def journal(self) -> JournalReader:
        """The journal, after `refresh`."""
        return self._parts[1]

    def close(self) -> None:
        """Let go of the files."""
        pages, journal, self._pages, self._journal = self._pages, self._journal, None, None
        if journal is not None:
            journal.close()
        if pages is not None:
            pages.close()


@contextmanager
def opened(path: Path, seals: Seals, store: str) -> Iterator[tuple[Snapshot, Stamp]]:
    """Hold the snapshot at `path` and its stamp. Raises `Unusable`."""
    with closing(Snapshot(path, lambda: seals, store)) as snapshot:
        yield snapshot, snapshot.refresh()
