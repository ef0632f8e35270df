"""The journal beside the pages of a snapshot: every change since, and how things stood when it was stamped last.

Knows the file: a signed header, two places for stamps, which take turns so that one of them is always whole, and the
entries, each signed together with the one before it. Entries are forced to the disk before a stamp counts them, so a
stamp that counts more than there is means that something was cut off; what is half written behind the last stamp was
never acknowledged. It must not know what a record means.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Literal

from gateway.domain.key_snapshots import Moment, Stamp
from gateway.stores.snapshots.pages import (
    FILE_MODE,
    FORMAT,
    Row,
    digest_of,
    unpacked_key,
    without_digest,
)
from gateway.stores.snapshots.sealing import BLOCK_BYTES, Seal, Seals, Unusable

_HEADER: Final = b"journal"
_STAMP: Final = b"stamp"
_ENTRY: Final = b"entry"
_SLOTS: Final = 2
_START: Final = BLOCK_BYTES * (1 + _SLOTS)
_LENGTH_BYTES: Final = 4
_MAC_BYTES: Final = 32
_ENTRY_BYTES_MAX: Final = 2**24
"""No record is as large: a length beyond is damage."""

_READ_BYTES: Final = 2**20

Kind = Literal["key", "tenant", "key?", "tenant?"]
"""What an entry tells of; with a question mark: that nobody knows any more what became of it."""


def key_entry(row: Row) -> bytes:
    """Return the entry of a key as it is now."""
    key = json.dumps(without_digest(row))
    return json.dumps(["key", digest_of(row).hex(), key]).encode("ascii")


def tenant_entry(row: Row) -> bytes:
    """Return the entry of a tenant as it is now."""
    return json.dumps(["tenant", [*row]]).encode("ascii")


def doubtful_entry(record_id: str, *, is_key: bool) -> bytes:
    """Return the entry of a record that may or may not have changed."""
    return json.dumps(["key?" if is_key else "tenant?", record_id]).encode("ascii")


class Journal:
    """Appends to the journal at `path`. Everything blocks; raises `OSError`."""

    def __init__(
        self, path: Path, seal: Seal, snapshot_id: str, descriptor: int, stamp: Stamp
    ) -> None:
        self.path = path
        self._id = snapshot_id
        self.stamp = stamp
        self._seal = seal
        self._descriptor = descriptor

    @classmethod
    def begin(cls, path: Path, seal: Seal, snapshot_id: str, store: str, stamp: Stamp) -> Journal:
        """Make a journal without entries, under `stamp`, whose end of the journal is filled in."""
        header = seal.block(_HEADER, {"format": FORMAT, "id": snapshot_id, "store": store})
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, FILE_MODE)
        chain = _first(seal, header).hex()
        journal = cls(
            path, seal, snapshot_id, descriptor, replace(stamp, length=_START, chain=chain)
        )
        try:
            _write(descriptor, header.ljust(_START, b" "), 0)
            journal.confirm(journal.stamp, is_forced=True)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def resume(cls, reader: JournalReader, seal: Seal) -> Journal:
        """Go on behind what `reader` has read."""
        descriptor = os.open(reader.path, os.O_RDWR | os.O_CLOEXEC)
        end = replace(reader.stamp, length=reader.length, chain=reader.chain.hex())
        try:
            os.ftruncate(descriptor, reader.length)  # what is half written was never acknowledged
        except BaseException:
            os.close(descriptor)
            raise
        return cls(reader.path, seal, reader.snapshot_id, descriptor, end)

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries; they are on the disk when it returns."""
        chain, parts = bytes.fromhex(self.stamp.chain), []
        for entry in entries:
            chain = self._seal.mac(_ENTRY, chain + entry)
            parts += [len(entry).to_bytes(_LENGTH_BYTES, "big"), chain, entry]
        content = b"".join(parts)
        _write(self._descriptor, content, self.stamp.length)
        os.fdatasync(self._descriptor)
        end = self.stamp.length + len(content)
        self.confirm(replace(self.stamp, length=end, chain=chain.hex()))

    def confirm(self, stamp: Stamp, *, is_forced: bool = False) -> None:
        """Write the next stamp: what `stamp` says, at the end of the journal as it is in `self.stamp` or there."""
        stamp = replace(stamp, number=self.stamp.number + 1)
        slot = 1 + stamp.number % _SLOTS
        _write(
            self._descriptor,
            self._seal.block(_STAMP, {**asdict(stamp), "id": self._id}),
            slot * BLOCK_BYTES,
        )
        if is_forced:
            os.fdatasync(self._descriptor)
        self.stamp = stamp

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class JournalReader:
    """What a journal says, read again and again while somebody may append to it.

    `newest` is the latest revision of a record in it. `keys` are the keys that changed, by digest, `digests` the digest
    of each by its id (None: nobody knows any more); `tenants` the tenants that changed (None: the same). Everything
    blocks; raises `Unusable`.
    """

    def __init__(self, path: Path, seals: Seals, snapshot_id: str, store: str) -> None:
        self.path = path
        self.snapshot_id = snapshot_id
        self.keys: dict[bytes, list[Any]] = {}
        self.digests: dict[str, bytes | None] = {}
        self.tenants: dict[str, list[Any] | None] = {}
        self.entries = 0
        self.newest = 0
        self._seals = seals
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unusable(f"its journal {path.name} cannot be read: {error.strerror}") from error
        try:
            block = self._read(0, BLOCK_BYTES)
            self._seal = _seal_of(seals, block, snapshot_id, store)
            self.chain = _first(self._seal, block)
            self.length = _START
            self.stamp = self._stamped()
            self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Read the latest stamp and what was appended."""
        self.stamp = self._stamped()
        self._check_end()
        while self._take():
            pass
        if self.length < self.stamp.length:
            raise Unusable("its journal is cut off")

    def _take(self) -> bool:
        """Read some of what follows; tell whether there was a whole entry."""
        content = self._some(_READ_BYTES)
        place, border = 0, _LENGTH_BYTES + _MAC_BYTES
        while len(content) - place >= border:
            length = int.from_bytes(content[place : place + _LENGTH_BYTES], "big")
            if not place and border + length > len(content) and length <= _ENTRY_BYTES_MAX:
                content = self._some(border + length)
            end = place + border + length
            if end > len(content):
                break
            mac, entry = (
                content[place + _LENGTH_BYTES : place + border],
                content[place + border : end],
            )
            if not self._is_next(mac, entry):
                break
            self.length += end - place
            place = end
            self._learn(entry)
            self._check_end()
        return place > 0

    def _is_next(self, mac: bytes, entry: bytes) -> bool:
        """Tell whether it is what follows; behind the last stamp it may be half written."""
        if not hmac.compare_digest(self._seal.mac(_ENTRY, self.chain + entry), mac):
            if self.length < self.stamp.length:
                raise Unusable("its journal was changed, or is damaged")
            return False
        self.chain = mac
        return True

    def _learn(self, entry: bytes) -> None:
        self.entries += 1
        kind, *values = json.loads(entry)
        if kind == "key":
            digest = bytes.fromhex(values[0])
            row = unpacked_key(values[1].encode("ascii"), digest)
            if is_older(row, self._known(row[0])):
                return
            self._forget(row[0])
            self.newest = max(self.newest, row[-1])
            self.keys[digest], self.digests[row[0]] = row, digest
        elif kind == "key?":
            self._forget(values[0])
            self.digests[values[0]] = None
        elif kind == "tenant":
            if is_older(values[0], self.tenants.get(values[0][0])):
                return
            self.newest = max(self.newest, values[0][-1])
            self.tenants[values[0][0]] = values[0]
        else:
            self.tenants[values[0]] = None

    def _known(self, key_id: str) -> list[Any] | None:
        digest = self.digests.get(key_id)
        return None if digest is None else self.keys.get(digest)

    def _forget(self, key_id: str) -> None:
        before = self.digests.get(key_id)
        if before is not None:
            self.keys.pop(before, None)

    def _check_end(self) -> None:
        if self.length == self.stamp.length and self.chain.hex() != self.stamp.chain:
            raise Unusable("its journal is not what was stamped")

    def _stamped(self) -> Stamp:
        """Return the latest stamp that is whole, and of this journal."""
        found: list[Stamp] = []
        for slot in range(1, 1 + _SLOTS):
            block = self._read(slot * BLOCK_BYTES, BLOCK_BYTES)
            with suppress(Unusable):
                told = self._seals.opened(_STAMP, block)
                if told["id"] == self.snapshot_id:
                    found.append(_stamp_of(told))
        if not found:
            raise Unusable("its journal has no stamp of its own that is whole")
        return max(found, key=lambda each: each.number)

    def _some(self, length: int) -> bytes:
        return _pread(self._descriptor, length, self.length)

    def _read(self, place: int, length: int) -> bytes:
        content = _pread(self._descriptor, length, place)
        if len(content) != length:
            raise Unusable("its journal is cut off")
        return content

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def is_older(row: Row, other: Row | None) -> bool:
    """Tell whether a row is of an earlier revision than `other`: read before a change, and told of after it."""
    return other is not None and bool(row[-1] < other[-1])


def _seal_of(seals: Seals, block: bytes, snapshot_id: str, store: str) -> Seal:
    """Return under what the journal with this header is signed. Raises `Unusable`."""
    header = seals.opened(_HEADER, block)
    if (header["format"], header["id"], header["store"]) != (FORMAT, snapshot_id, store):
        raise Unusable("its journal belongs to another one")
    return seals.of(header)


def _first(seal: Seal, header: bytes) -> bytes:
    """Return what the first entry is signed together with."""
    return seal.mac(_HEADER, header)


def _stamp_of(told: Mapping[str, Any]) -> Stamp:
    values = {name: value for name, value in told.items() if name not in ("pepper", "id")}
    return Stamp(**(values | {"moment": Moment(**values["moment"])}))


def _pread(descriptor: int, length: int, place: int) -> bytes:
    try:
        return os.pread(descriptor, length, place)
    except OSError as error:
        raise Unusable(f"its journal cannot be read: {error.strerror}") from error


def _write(descriptor: int, content: bytes, place: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, place)
        rest, place = rest[written:], place + written
