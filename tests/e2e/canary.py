"""Looks for secrets wherever a gateway could have left them, in every form in which they would still be secrets.

What is looked for is the middle of the random part: whoever has that has the secret, and whatever holds the whole
secret holds that, too.
"""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import requests

from tests.e2e.process import Running

CORE = slice(6, 37)
"""Of the 43 random characters; the first and last few are shown on purpose, so that people can tell keys apart."""


class Leak(NamedTuple):
    """A secret where it must not be: the number of the canary, the form, and the place."""

    canary: int
    form: str
    place: str


def core(secret: str) -> str:
    """Return what is looked for of a secret."""
    return secret.rsplit("_", 1)[1][CORE]


def forms(text: str) -> Mapping[str, bytes]:
    """Return everything that stands for `text` and can be turned back."""
    raw = text.encode()
    found = {
        "plain": raw,
        "other case": text.swapcase().encode(),
        "backwards": raw[::-1],
        "hexadecimal": raw.hex().encode(),
        "percent-encoded": "".join(f"%{each:02X}" for each in raw).encode(),
        "percent-encoded, lower case": "".join(f"%{each:02x}" for each in raw).encode(),
        "JSON-escaped": "".join(f"\\u{each:04x}" for each in raw).encode(),
        "UTF-16": text.encode("utf-16-le"),
    }
    for shift in range(3):
        # Base64 depends on what stands before; the first and last characters also stand for neighbours.
        encoded = base64.b64encode(b"\0" * shift + raw)
        found[f"base64, shifted by {shift}"] = encoded[4 if shift else 0 : -4]
    return found


@dataclass
class Canaries:
    """Secrets that were issued, and everything that was told to anybody who was not to get one."""

    secrets: list[str] = field(default_factory=list)
    told: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, *secrets: str) -> None:
        """Watch out for these."""
        assert all(len(each) > 40 for each in secrets), "that is no secret"
        self.secrets += secrets

    def tell(self, place: str, text: str | bytes) -> None:
        """Keep what somebody was told."""
        self.told.append((place, text.encode() if isinstance(text, str) else text))

    def leaks(self, sinks: Iterable[tuple[str, bytes]]) -> list[Leak]:
        """Return every secret that stands somewhere in `sinks`."""
        wanted = [
            (number, form, needle)
            for number, secret in enumerate(self.secrets)
            for form, needle in forms(core(secret)).items()
        ]
        return [
            Leak(number, form, place)
            for place, content in sinks
            for number, form, needle in wanted
            if needle in content
        ]


# ---- where to look


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below `folder`: database, write-ahead log, logs, segments, exports."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def rows(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what the tables hold, as text: a page of the file may hold a value in pieces."""
    for path in sorted(folder.rglob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            names = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in names:
                found = store.execute(f'SELECT * FROM "{name}"').fetchall()
                yield f"table {name}", repr(found).encode()
                yield (
                    f"table {name}, bytes",
                    b"".join(value for row in found for value in row if isinstance(value, bytes)),
                )


def processes(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield the arguments and the environment of a process and all of its children."""
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        folder = Path(f"/proc/{each}")
        try:
            for name in ("cmdline", "environ"):
                yield f"{name} of process {each}", (folder / name).read_bytes()
            for task in (folder / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended


def exposed(gateway: Running) -> Iterator[tuple[str, bytes]]:
    """Yield what a running gateway tells whoever asks."""
    yield "metrics", requests.get(f"http://{gateway.metrics}/metrics", timeout=10).content
    yield "readiness", requests.get(f"http://{gateway.metrics}/readyz", timeout=10).content
    yield from processes(gateway.process.pid)


def everything(folder: Path, told: Canaries) -> Iterator[tuple[str, bytes]]:
    """Yield what is left when the gateway has ended."""
    yield from files(folder)
    yield from rows(folder)
    yield from told.told
    yield "our own environment", repr(dict(os.environ)).encode()
