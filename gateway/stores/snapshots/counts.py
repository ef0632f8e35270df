"""Quota counters beside a snapshot: what a gateway goes on counting from when it begins without its store.

Knows the file: a signed header with the SHA-256 of the rest, then the counters as JSON, some in each line. It must not
know what a counter counts. Everything blocks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.stores.snapshots.pages import FILE_MODE, FOLDER_MODE, FORMAT
from gateway.stores.snapshots.sealing import BLOCK_BYTES, Seal, Seals, Unusable

_PURPOSE: Final = b"counts"
_LINE: Final = 500
"""Counters that are made into text at once: a fraction of a millisecond, in which nobody else has the interpreter."""

Counts = Mapping[str, tuple[int, int]]
"""Bucket -> (period start in epoch seconds, count), as of `KeyStore.save_counts`."""


def counts_path(path: Path) -> Path:
    """Return where the counters beside the snapshot at `path` lie."""
    return path.with_name(f"{path.name}.counts")


def write_counts(path: Path, seal: Seal, store: str, counts: Counts) -> None:
    """Put the counters in the place of those from before, whole or not at all. Raises `OSError`."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    entries, lines = iter(counts.items()), []
    while some := dict(islice(entries, _LINE)):
        lines.append(json.dumps(some, separators=(",", ":")).encode("ascii") + b"\n")
    body = b"".join(lines)
    header = {"format": FORMAT, "store": store, "sha256": sha256(body).hexdigest()}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(beside, flags, FILE_MODE), "wb") as file:
        file.write(seal.block(_PURPOSE, header) + body)
    beside.replace(path)


def read_counts(path: Path, seals: Seals, store: str) -> dict[str, tuple[int, int]]:
    """Return the counters. Raises `Unusable`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error
    header, body = seals.opened(_PURPOSE, content[:BLOCK_BYTES]), content[BLOCK_BYTES:]
    told = (FORMAT, store, sha256(body).hexdigest())
    if (header["format"], header["store"], header["sha256"]) != told:
        raise Unusable(f"{path} is not what was signed, or of another store")
    found: dict[str, tuple[int, int]] = {}
    for line in body.splitlines():
        found.update((name, (start, count)) for name, (start, count) in json.loads(line).items())
    return found
