"""The scripts that run in Redis: their text, and the name under which Redis keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script; `by_digest` and `by_text` are the first two parts of a call of it, as they are sent."""

    text: bytes
    by_digest: bytes
    by_text: bytes

    @classmethod
    def of(cls, text: bytes) -> Script:
        """Return the script with this text."""
        # Redis calls a script by its SHA-1: an identity, and no proof of anything.
        digest = sha1(text, usedforsecurity=False).hexdigest().encode()
        return cls(
            text,
            b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % digest,
            b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(text), text),
        )


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
        return Script.of(arithmetic + (folder / f"{name}.lua").read_bytes())

    return Scripts(acquire=script("acquire"), move=script("move"), renew=script("renew"))
