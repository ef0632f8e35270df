"""The configurations that were taken into force, as texts beside the store: what a rollback can go back to, also after
a restart.

Knows the file (bounded, for the gateway only, replaced as a whole) and what is kept: the YAML as it was written, before
`${...}` is replaced. A text in which a secret itself stands is not kept. It must not know what a configuration means.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gateway.config.sources import Reading

KEPT_MAX: Final = 10
"""Configurations kept: a day of trying things out, and what was before it."""

BYTES_MAX: Final = 8 * 2**20
"""Room that they may take together: some 20,000 routes. The oldest leave first."""

_FORMAT: Final = "tollhouse-configurations"
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The YAML files of one configuration, by their names relative to the folder of the `main` one, and what each
    pattern of `include` matched. `secrets` are the paths of keys whose secret stands in the text itself.
    """

    main: str
    files: Mapping[str, str]
    patterns: Mapping[str, tuple[str, ...]]
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, main: Path, reading: Reading, secrets: tuple[str, ...]) -> Texts:
        """Return the texts that `reading` has met."""
        return cls(
            main=main.name,
            files={_name(path, main): text for path, text in reading.texts.items()},
            patterns={
                _name(pattern, main): tuple(_name(found, main) for found in matched)
                for pattern, matched in reading.patterns.items()
            },
            secrets=secrets,
        )

    @property
    def version(self) -> str:
        """SHA-256 of what the files hold: 64 hexadecimal digits. The order in which they were read does not count."""
        content = json.dumps([self.main, sorted(self.files.items())], separators=(",", ":"))
        return sha256(content.encode()).hexdigest()


class KeptReading(Reading):
    """Reads the texts that were kept, as if they stood where they stood; and from the disk whatever else they name."""

    def __init__(self, main: Path, texts: Texts) -> None:
        super().__init__()
        self._main = main
        self._kept = texts

    def text(self, path: Path, bytes_max: int) -> bytes:  # noqa: ARG002 - as large as it was
        """Return the text that was kept. Raises `OSError`."""
        text = self._kept.files.get(_name(path, self._main))
        if text is None:
            raise FileNotFoundError(2, "was not kept", str(path))
        self.texts[path] = text
        return text.encode()

    def matches(self, pattern: str) -> tuple[str, ...]:
        """Return what the pattern matched then."""
        names = self._kept.patterns.get(_name(pattern, self._main), ())
        self.patterns[pattern] = found = tuple(str(self._main.parent / name) for name in names)
        return found

    def is_same(self, path: Path, other: Path) -> bool:
        """Tell whether two names are those of one file."""
        return _name(path, self._main) == _name(other, self._main)


@dataclass(frozen=True, slots=True)
class Kept:
    """A configuration that was in force from `taken_at` (epoch seconds) on."""

    taken_at: float
    texts: Texts


class History:
    """The file at `path`. All of it blocks on the disk: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def kept(self) -> list[Kept]:
        """Return what is kept, the latest last. Raises `OSError`, and `ValueError` for a file that is none of ours."""
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return []
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"{self.path} holds no configurations")
        try:
            return [_kept(each) for each in content["kept"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path} cannot be understood") from error

    def note(self, texts: Texts, taken_at: float, replaced: str = "") -> None:
        """Keep `texts` as the latest; the version `replaced` meant the same, and leaves. Raises `OSError`."""
        try:
            before = self.kept()
        except ValueError:
            before = []  # whatever it was, nobody can go back to it
        gone = {texts.version, replaced}
        kept = [each for each in before if each.texts.version not in gone]
        entries = [_told(each) for each in (*kept, Kept(taken_at, texts))][-KEPT_MAX:]
        while len(content := _written(entries)) > BYTES_MAX and entries:
            del entries[0]
        self._replace(content)

    def _replace(self, content: bytes) -> None:
        self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, _FILE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)


def _written(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"format": _FORMAT, "kept": entries}, indent=1).encode()


def _told(kept: Kept) -> dict[str, Any]:
    texts = kept.texts
    return {
        "taken_at": kept.taken_at,
        "main": texts.main,
        "files": dict(texts.files),
        "patterns": {pattern: list(found) for pattern, found in texts.patterns.items()},
    }


def _kept(entry: Mapping[str, Any]) -> Kept:
    texts = Texts(
        main=entry["main"],
        files=dict(entry["files"]),
        patterns={pattern: tuple(found) for pattern, found in entry["patterns"].items()},
    )
    return Kept(float(entry["taken_at"]), texts)


def _name(path: Path | str, main: Path) -> str:
    return os.path.relpath(path, main.parent)
