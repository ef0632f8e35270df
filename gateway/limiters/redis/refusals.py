"""Refusals that are still true: a request that comes again too early need not be asked about.

Knows that a rate or a quota which has no room gets some by time alone. It must not know Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

from gateway.domain.limits import NANOSECONDS, Claim, Grant, Rate
from gateway.limiters.redis import wire
from gateway.ports import Clock

_TRUE_SECONDS: Final = 1.0
"""How long a refusal is repeated at most: tokens that come back from elsewhere are noticed within this time."""

_KNOWN_MAX: Final = 4_096


class _Refusal(NamedTuple):
    """What was refused: how buckets stood at `at` (monotonic), and when each will have room (0: unknown, or it has)."""

    claims: Sequence[Claim]
    levels: Sequence[int]
    room_at: Sequence[float]
    at: float
    until: float


class Refusals:
    """The refusals of the last second, by what was asked."""

    def __init__(self) -> None:
        self._known: dict[int, _Refusal] = {}

    def note(
        self, claims: Sequence[Claim], reply: Sequence[int], levels: Sequence[int], now: float
    ) -> None:
        """Remember a refusal that `acquire.lua` told, if time alone can end it; `now` is monotonic."""
        room_at = [
            now + wait / wire.MICROSECONDS if wait else 0.0
            for claim, level, ends in zip(claims, levels, reply[3::2], strict=True)
            for wait in (wire.wait_microseconds(claim.rule, level, ends, reply[1]),)
        ]
        latest = max(room_at)
        if latest <= now:
            return
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        until = min(latest, now + _TRUE_SECONDS)
        # By identity: a key's claims are one object for as long as the key is known.
        self._known[id(claims)] = _Refusal(claims, levels, room_at, now, until)

    def find(self, claims: Sequence[Claim], clock: Clock) -> Grant | None:
        """Return the refusal of `claims` as it stands now, None when they have to be asked about."""
        if not self._known:
            return None
        known = self._known.get(id(claims))
        if known is None or known.claims is not claims:
            return None
        now = clock.monotonic()
        if now >= known.until:
            del self._known[id(claims)]
            return None
        passed = int((now - known.at) * NANOSECONDS)
        levels = [
            max(0, level - passed * claim.rule.refill) if isinstance(claim.rule, Rate) else level
            for claim, level in zip(known.claims, known.levels, strict=True)
        ]
        waits = [max(0, ceil(at - now)) for at in known.room_at]
        return Grant.refuse(claims, levels, waits, clock.now())
