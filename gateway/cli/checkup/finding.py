"""What an examination looks at and what it says.

Knows the three levels: `ok`, `warn` (it works, and should be changed), `fail` (it does not work, or is not safe).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.config.model import Config
from gateway.config.places import anchored
from gateway.config.sources import Sources

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about `check`; `advice` says what to do unless all is well."""

    check: str
    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A configuration that can be used, on this host. `sources` are the files that it was read from, `is_running` tells
    whether somebody has its store open, `now` is epoch seconds.
    """

    path: Path
    config: Config
    sources: Sources
    is_running: bool
    now: float

    @property
    def store(self) -> Path:
        """The file of the key store."""
        return self.anchored(self.config.store.path)

    def anchored(self, value: str) -> Path:
        """Return the path that `value` means in the configuration."""
        return anchored(self.path, value)


Examination = Callable[[Patient], Iterator[Finding]]


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, level="ok", text=text)


def warn(check: str, text: str, advice: str) -> Finding:
    """Return a finding that something should be changed."""
    return Finding(check=check, level="warn", text=text, advice=advice)


def fail(check: str, text: str, advice: str) -> Finding:
    """Return a finding that something does not work, or is not safe."""
    return Finding(check=check, level="fail", text=text, advice=advice)
