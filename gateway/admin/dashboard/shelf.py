"""The files of the dashboard, as they are sent: read once, compressed once, named by what is in them.

Knows kinds of files. All of them stand under one name that changes when any of them does, so browsers may keep them for
ever, and modules find each other by relative paths.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

PREFIX: Final = "/dashboard/assets/"
_VERSION_LENGTH: Final = 16
_INDEX: Final = "index.html"
_PLACE: Final = "{assets}"
_KINDS: Final[Mapping[str, str]] = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file; `packed` is the same compressed with gzip."""

    body: bytes
    packed: bytes
    kind: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All files by their path, and the page that refers to them."""

    version: str
    index: Asset
    assets: Mapping[str, Asset]


def load() -> Shelf:
    """Read the files that are installed beside this one. Blocks for some milliseconds."""
    found = dict(_walk(files(__package__) / "static", ""))
    page = found.pop(_INDEX).decode()
    summed = hashlib.sha256()
    for path, body in sorted(found.items()):
        summed.update(f"{path}\0{len(body)}\0".encode() + body)
    version = summed.hexdigest()[:_VERSION_LENGTH]
    index = page.replace(_PLACE, f"{PREFIX}{version}").encode()
    assets = {path: _asset(path, body) for path, body in found.items()}
    return Shelf(version=version, index=_asset(_INDEX, index), assets=assets)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _KINDS:
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _asset(path: str, body: bytes) -> Asset:
    return Asset(
        body=body,
        packed=gzip.compress(body, mtime=0),
        kind=_KINDS[path.rpartition(".")[2]],
        tag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    )
