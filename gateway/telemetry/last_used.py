"""Remembers when each key was last used, until the store is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome
from gateway.ports import Clock

KEYS_MAX: Final = 100_000
"""Keys remembered between two drains; further ones are remembered after the next."""

# A tuple: the hash of an enum's member, which a set would ask for, is slow Python.
_REFUSED_KEYS: Final = (
    Reason.KEY_EXPIRED,
    Reason.KEY_SUSPENDED,
    Reason.KEY_REVOKED,
    Reason.TENANT_SUSPENDED,
    Reason.AUTH_THROTTLED,
)


class LastUsed:
    """Implements `Recorder`. A key that was refused as such (expired, revoked) was not used."""

    __slots__ = ("_clock", "_keys_max", "_last_used")

    def __init__(self, clock: Clock, keys_max: int = KEYS_MAX) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._last_used: dict[str, float] = {}  # monotonic seconds

    def record(self, outcome: Outcome) -> None:
        """Note the time of the request for its key (`Recorder`)."""
        key = outcome.key
        if key is None or (outcome.reason is not None and outcome.reason in _REFUSED_KEYS):
            return
        key_id, started = key.record.key_id, outcome.started
        last_used = self._last_used
        # A long stream ends after requests that began later: the later beginning counts.
        if key_id in last_used:
            if started > last_used[key_id]:
                last_used[key_id] = started
        elif len(last_used) < self._keys_max:
            last_used[key_id] = started

    def drain(self) -> dict[str, float]:
        """Return key id -> last use (epoch seconds) since the last drain, for `KeyStore.touch`."""
        drained, self._last_used = self._last_used, {}
        offset = self._offset()
        return {key_id: started + offset for key_id, started in drained.items()}

    def restore(self, last_used: Mapping[str, float]) -> None:
        """Take back what was drained but could not be stored."""
        known, offset = self._last_used, self._offset()
        for key_id, moment in last_used.items():
            if key_id in known:
                known[key_id] = max(known[key_id], moment - offset)
            elif len(known) < self._keys_max:
                known[key_id] = moment - offset

    def _offset(self) -> float:
        return self._clock.now() - self._clock.monotonic()
