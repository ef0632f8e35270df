"""Signatures over a snapshot: HMAC-SHA256 under a key that is made from a pepper, so that no further secret is kept.

Knows the blocks of fixed size that headers and stamps are written in. It must not know what they say.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.digest import Peppers

BLOCK_BYTES: Final = 512
"""What a disk writes at once."""

_LABEL: Final = b"tollhouse: the key that signs snapshots of the key records (1)"
"""No token has a space in it, so this is the digest of none."""


class Unusable(Exception):
    """The snapshot cannot be used; the text says why, for the operator."""


class Seal:
    """Signs and checks under the key of one pepper. `purpose` keeps one kind of content from standing for another."""

    __slots__ = ("_key", "pepper_id")

    def __init__(self, pepper_id: str, key: bytes) -> None:
        self.pepper_id = pepper_id
        self._key = key

    def mac(self, purpose: bytes, content: bytes) -> bytes:
        """Return the signature of `content`, 32 bytes."""
        return hmac.digest(self._key, purpose + b"\0" + content, "sha256")

    def block(self, purpose: bytes, content: Mapping[str, Any]) -> bytes:
        """Return `content` as a signed block."""
        named = {**content, "pepper": self.pepper_id}
        text = json.dumps(named, separators=(",", ":"), sort_keys=True).encode("ascii")
        line = self.mac(purpose, text).hex().encode("ascii") + b" " + text
        if len(line) >= BLOCK_BYTES:
            raise ValueError(f"{len(line)} bytes are too many for a block")
        return line.ljust(BLOCK_BYTES - 1) + b"\n"


class Seals:
    """The seals of all active peppers; what is written is signed under the current one."""

    def __init__(self, peppers: Peppers) -> None:
        self._seals = {name: Seal(name, key) for name, key in peppers.digests(_LABEL)}
        self.current = self._seals[peppers.current]

    def opened(self, purpose: bytes, block: bytes) -> dict[str, Any]:
        """Return the content of a signed block. Raises `Unusable`."""
        mac, _, text = block.rstrip().partition(b" ")
        try:
            content = json.loads(text)
            seal = self._seals.get(content["pepper"])
        except (ValueError, TypeError, KeyError) as error:
            raise Unusable("it is damaged: a part of it is no text of ours") from error
        if seal is None:
            raise Unusable(f"it was signed under pepper '{content['pepper']}', which is not active")
        if not hmac.compare_digest(seal.mac(purpose, text).hex().encode("ascii"), mac):
            raise Unusable("its signature is wrong: it was changed, or written under other peppers")
        assert isinstance(content, dict)
        return content

    def of(self, content: Mapping[str, Any]) -> Seal:
        """Return the seal under which `content`, which was opened before, was signed."""
        return self._seals[content["pepper"]]
