"""The scripts that run in Redis: their text, and the name under which Redis keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script. `digest` is what `EVALSHA` calls it by."""

    text: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripts:
    """All scripts; what each is told and answers stands at its beginning."""

    acquire: Script
    move: Script
    renew: Script


def load() -> Scripts:
    """Return the scripts, each behind the arithmetic that all of them use."""
    folder = files("gateway.limiters.redis")
    arithmetic = (folder / "buckets.lua").read_bytes()

    def script(name: str) -> Script:
        text = arithmetic + (folder / f"{name}.lua").read_bytes()
        # Redis calls a script by its SHA-1: an identity, and no proof of anything.
        digest = sha1(text, usedforsecurity=False).hexdigest()
        return Script(text, digest.encode())

    return Scripts(acquire=script("acquire"), move=script("move"), renew=script("renew"))
