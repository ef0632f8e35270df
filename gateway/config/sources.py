"""What a configuration was read from, so that somebody can tell later whether it is still the same.

Knows files and patterns, by the digest of their content: a time stamp may lie, and content that is a secret is not
kept. It must not know YAML or what a file is for.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

_BYTES_MAX: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """One file: the digest of its first `bytes_max` bytes, None when it could not be read."""

    bytes_max: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that were read, and what each pattern matched. Equal sources hold equal content."""

    files: Mapping[Path, Seen]
    patterns: Mapping[str, tuple[str, ...]]

    def now(self) -> Sources:
        """Look at the same files and patterns again. Blocks on the disk: call it in a thread."""
        return Sources(
            {path: look(path, seen.bytes_max) for path, seen in self.files.items()},
            {pattern: matches(pattern) for pattern in self.patterns},
        )

    def also(self, paths: Iterable[Path]) -> Sources:
        """Return the sources with further files, as they are now."""
        return replace(self, files={**{path: look(path) for path in paths}, **self.files})


class Reading:
    """Collects sources while a configuration is being read."""

    def __init__(self) -> None:
        self._files: dict[Path, Seen] = {}
        self.patterns: dict[str, tuple[str, ...]] = {}
        self.texts: dict[Path, str] = {}

    def read(self, path: Path, bytes_max: int) -> bytes:
        """Return the content of a file, at most `bytes_max` bytes of it, and take note. Raises `OSError`."""
        self._files[path] = Seen(bytes_max, None)
        with path.open("rb") as file:
            content = file.read(bytes_max)
        self._files[path] = Seen(bytes_max, sha256(content).digest())
        return content

    def text(self, path: Path, bytes_max: int) -> bytes:
        """Return the content of a file of the configuration itself, as `read` does, and keep its text."""
        content = self.read(path, bytes_max)
        self.texts[path] = content.decode("utf-8", "replace")
        return content

    def matches(self, pattern: str) -> tuple[str, ...]:
        """Return the files that `pattern` matches, in a stable order, and take note."""
        self.patterns[pattern] = found = matches(pattern)
        return found

    def is_same(self, path: Path, other: Path) -> bool:
        """Tell whether two names are those of one file."""
        return path.samefile(other)

    def sources(self) -> Sources:
        """Return what was read."""
        return Sources(self._files, self.patterns)


def look(path: Path, bytes_max: int = _BYTES_MAX) -> Seen:
    """Return what stands in a file now."""
    try:
        with path.open("rb") as file:
            return Seen(bytes_max, sha256(file.read(bytes_max)).digest())
    except OSError:
        return Seen(bytes_max, None)


def matches(pattern: str) -> tuple[str, ...]:
    """Return the paths that a pattern matches, sorted."""
    return tuple(sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 - Path.glob refuses absolute patterns
