"""What a peer is given to be prepared, and what it gives back to be started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.policy import Policy

ENDLESS: Final = 1_000_000_000
"""Requests on one connection: nobody may reconnect in the middle of a slice."""

EVERY_REFUSAL: Final = frozenset({401, 403, 404, 429})


@dataclass(frozen=True, slots=True)
class Site:
    """A folder for its files, the port to listen on, the upstream's port, and the policy to carry out."""

    folder: Path
    port: int
    upstream_port: int
    policy: Policy

    def write(self, name: str, text: str) -> Path:
        """Write a file of the peer and return its path."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start it: words, what to add to the environment, and where (the site's folder by default)."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A gateway to compare with: its name, what it refuses (nothing: it has no policy), and what it lacks of ours."""

    name: str
    prepare: Callable[[Site], Launch]
    refusals: frozenset[int] = EVERY_REFUSAL
    lacks: str = ""
