"""Trace ids: 16 random bytes as 32 lower-case hexadecimal digits (W3C Trace Context, `trace-id`).

Knows that many made at a time cost a fraction of as many made one by one. It must not know what they are for.
"""

from __future__ import annotations

from random import Random
from typing import Final

_AT_ONCE: Final = 128
_DIGITS: Final = 32


class TraceIds:
    """Ids drawn from `random`, which need not be a secret source: ids have to differ, not to be unguessable."""

    __slots__ = ("_made", "_random")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._made: list[bytes] = []

    def take(self) -> bytes:
        """Return an id that nobody had."""
        made = self._made
        if not made:
            digits = self._random.randbytes(_AT_ONCE * _DIGITS // 2).hex().encode("ascii")
            made.extend([digits[n : n + _DIGITS] for n in range(0, len(digits), _DIGITS)])
        return made.pop()
