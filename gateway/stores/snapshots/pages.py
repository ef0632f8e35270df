"""The pages of a snapshot: every key and tenant at one time, to be found on the disk without reading the rest.

Knows the file: a signed header; the records, each with its length before it; the digests of the keys in order, with the
place of each record; the places of the tenants in the order of their ids; a signed end with the SHA-256 of all that is
before it. It is written beside its place and put there in one step, and it is checked as a whole before anything in it
is believed. It must not know what changed since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import orjson

from gateway.stores.rows import KEY_COLUMNS
from gateway.stores.snapshots.sealing import BLOCK_BYTES, Seal, Seals, Unusable

FORMAT: Final = 2
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_HEADER: Final = b"snapshot"
_END: Final = b"end of snapshot"
_LENGTH_BYTES: Final = 4
_PLACE_BYTES: Final = 8
_DIGEST_BYTES: Final = 32
_ENTRY_BYTES: Final = _DIGEST_BYTES + _PLACE_BYTES
_READ_BYTES: Final = 2**20
_DIGEST: Final = KEY_COLUMNS.index("digest")

Row = Sequence[Any]
"""The values of `rows.KEY_COLUMNS` or `TENANT_COLUMNS`, as a store has them."""


def without_digest(row: Row) -> list[Any]:
    """Return a key but for its digest, by which it is found: values that JSON knows."""
    return [*row[:_DIGEST], None, *row[_DIGEST + 1 :]]


def unpacked_key(text: bytes, digest: bytes) -> list[Any]:
    """Return the key of which `text` is `without_digest` as JSON."""
    row: list[Any] = json.loads(text)
    row[_DIGEST] = digest
    return row


def digest_of(row: Row) -> bytes:
    """Return the digest of a key."""
    digest: bytes = row[_DIGEST]
    return digest


class Draft:
    """Pages that are being written: keys in the order of their digests, then tenants in that of their ids.

    The index of the keys, 40 MB for a million of them, grows in a file without a name beside it. Everything blocks and
    may raise `OSError`.
    """

    def __init__(self, path: Path, seal: Seal, snapshot_id: str, store: str, at: float) -> None:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._keys = TemporaryFile(  # noqa: SIM115 - it is closed by `finish` or `discard`
            buffering=_READ_BYTES, dir=path.parent
        )
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}")
        self._seal = seal
        self._id = snapshot_id
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self._beside, flags, FILE_MODE), "wb", _READ_BYTES)
        self._hash = sha256()
        self._place = 0
        self._tenants = bytearray()
        self._last: Any = b""
        header = {"format": FORMAT, "id": snapshot_id, "store": store, "at": at}
        self._write(seal.block(_HEADER, header))

    def add_keys(self, rows: Sequence[Row]) -> None:
        """Add keys behind those that were added before."""
        entries, records = bytearray(), bytearray()
        for row in rows:
            digest = digest_of(row)
            self._require_order(digest)
            place = self._place + len(records)
            entries += digest + place.to_bytes(_PLACE_BYTES, "big")
            # A quarter of what `json` would take of all that a key costs here.
            records += _framed(orjson.dumps(without_digest(row)))
        self._keys.write(entries)
        self._write(records)

    def begin_tenants(self) -> None:
        """Take note that there are no more keys."""
        self._last = ""

    def add_tenants(self, rows: Sequence[Row]) -> None:
        """Add tenants behind those that were added before."""
        for row in rows:
            self._require_order(row[0])
            self._tenants += self._place.to_bytes(_PLACE_BYTES, "big")
            self._write(_framed(json.dumps([*row]).encode("ascii")))

    def finish(self) -> int:
        """Put the pages in their place, also for after a power failure; return their size."""
        key_index = self._place
        keys = self._keys.tell() // _ENTRY_BYTES
        self._keys.seek(0)
        while part := self._keys.read(_READ_BYTES):
            self._write(part)
        self._keys.close()
        tenant_index = self._place
        self._write(bytes(self._tenants))
        end = {
            "id": self._id,
            "keys": keys,
            "tenants": len(self._tenants) // _PLACE_BYTES,
            "key_index": key_index,
            "tenant_index": tenant_index,
            "sha256": self._hash.hexdigest(),
        }
        self._write(self._seal.block(_END, end))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._beside.replace(self._path)
        force_folder(self._path.parent)
        return self._place

    def discard(self) -> None:
        """Let go of what was written."""
        for each in (self._file, self._keys):
            with suppress(OSError):
                each.close()
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)

    def _require_order(self, name: bytes | str) -> None:
        if name <= self._last:
            raise Unusable("the store does not return its records in order")
        self._last = name

    def _write(self, content: bytes | bytearray) -> None:
        self._file.write(content)
        self._hash.update(content)
        self._place += len(content)


def _framed(text: bytes) -> bytes:
    return len(text).to_bytes(_LENGTH_BYTES, "big") + text


class Pages:
    """Pages that were checked. Everything blocks for as long as a disk takes; raises `Unusable`, also at the start."""

    def __init__(self, path: Path, seals: Seals, store: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Unusable("there is none") from error
        except OSError as error:
            raise Unusable(f"it cannot be read: {error.strerror}") from error
        try:
            found = os.fstat(self._descriptor)
            self.identity = identity_of(found)
            self._check(seals, store, found.st_size)
        except BaseException:
            self.close()
            raise

    def _check(self, seals: Seals, store: str, size: int) -> None:
        border = size - BLOCK_BYTES
        if border < BLOCK_BYTES:
            raise Unusable("it is cut off")
        header = seals.opened(_HEADER, self._read(0, BLOCK_BYTES))
        end = seals.opened(_END, self._read(border, BLOCK_BYTES))
        if header["format"] != FORMAT:
            raise Unusable(f"it has format {header['format']}, this program knows {FORMAT}")
        if header["store"] != store:
            raise Unusable("it is of another store")
        if end["id"] != header["id"] or end["sha256"] != self._hashed(border):
            raise Unusable("it is not what was signed")
        self.id: str = header["id"]
        self.seal = seals.of(header)
        self.written_at: float = header["at"]
        self.size = size
        self.keys: int = end["keys"]
        self.tenants: int = end["tenants"]
        self._key_index: int = end["key_index"]
        self._tenant_index: int = end["tenant_index"]

    def _hashed(self, border: int) -> str:
        hashed = sha256()
        for place in range(0, border, _READ_BYTES):
            hashed.update(self._read(place, min(_READ_BYTES, border - place)))
        return hashed.hexdigest()

    def key(self, digest: bytes) -> list[Any] | None:
        """Return the row of the key with `digest`, None when there was none."""
        low, high = 0, self.keys
        while low < high:
            middle = (low + high) // 2
            entry = self._read(self._key_index + middle * _ENTRY_BYTES, _ENTRY_BYTES)
            found = entry[:_DIGEST_BYTES]
            if found == digest:
                return unpacked_key(self._record(entry[_DIGEST_BYTES:]), digest)
            if found < digest:
                low = middle + 1
            else:
                high = middle
        return None

    def tenant(self, tenant_id: str) -> list[Any] | None:
        """Return the row of the tenant, None when there was none."""
        low, high = 0, self.tenants
        while low < high:
            middle = (low + high) // 2
            place = self._read(self._tenant_index + middle * _PLACE_BYTES, _PLACE_BYTES)
            row: list[Any] = json.loads(self._record(place))
            if row[0] == tenant_id:
                return row
            if row[0] < tenant_id:
                low = middle + 1
            else:
                high = middle
        return None

    def every_key(self) -> Iterator[tuple[bytes, list[Any]]]:
        """Yield the digest and the row of each key, in the order of the digests."""
        for number in range(self.keys):
            entry = self._read(self._key_index + number * _ENTRY_BYTES, _ENTRY_BYTES)
            digest = entry[:_DIGEST_BYTES]
            yield digest, unpacked_key(self._record(entry[_DIGEST_BYTES:]), digest)

    def every_tenant(self) -> Iterator[list[Any]]:
        """Yield the row of each tenant, in the order of the ids."""
        for number in range(self.tenants):
            place = self._read(self._tenant_index + number * _PLACE_BYTES, _PLACE_BYTES)
            yield json.loads(self._record(place))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _record(self, place: bytes) -> bytes:
        start = int.from_bytes(place, "big")
        length = int.from_bytes(self._read(start, _LENGTH_BYTES), "big")
        return self._read(start + _LENGTH_BYTES, length)

    def _read(self, place: int, length: int) -> bytes:
        # No mapped memory: a file that somebody cuts off meanwhile would end the process.
        try:
            content = os.pread(self._descriptor, length, place)
        except OSError as error:
            raise Unusable(f"it cannot be read: {error.strerror}") from error
        if len(content) != length:
            raise Unusable("it is cut off")
        return content


def identity_of(found: os.stat_result) -> tuple[int, int, int]:
    """Return what tells a file from the one that replaces it."""
    return found.st_dev, found.st_ino, found.st_mtime_ns


def force_folder(folder: Path) -> None:
    """Let the names in `folder` survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
