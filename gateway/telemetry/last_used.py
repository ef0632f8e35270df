"""Remembers when each key was last used, until the store is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome

KEYS_MAX: Final = 100_000
"""Keys remembered between two drains; further ones are remembered after the next."""

_REFUSED_KEYS: Final = frozenset(
    {Reason.KEY_EXPIRED, Reason.KEY_SUSPENDED, Reason.KEY_REVOKED, Reason.TENANT_SUSPENDED}
)


class LastUsed:
    """Implements `Recorder`. A key that was refused as such (expired, revoked) was not used."""

    __slots__ = ("_keys_max", "_last_used")

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._last_used: dict[str, float] = {}

    def record(self, outcome: Outcome) -> None:
        """Note the time of the request for its key (`Recorder`)."""
        key = outcome.key
        if key is None or (outcome.reason is not None and outcome.reason in _REFUSED_KEYS):
            return
        self._note(key.record.key_id, outcome.started_at)

    def drain(self) -> dict[str, float]:
        """Return key id -> last use (epoch seconds) since the last drain, for `KeyStore.touch`."""
        drained, self._last_used = self._last_used, {}
        return drained

    def restore(self, last_used: Mapping[str, float]) -> None:
        """Take back what was drained but could not be stored."""
        for key_id, moment in last_used.items():
            self._note(key_id, moment)

    def _note(self, key_id: str, moment: float) -> None:
        # A long stream ends after requests that began later: the later beginning counts.
        known = self._last_used.get(key_id)
        if known is None and len(self._last_used) >= self._keys_max:
            return
        if known is None or moment > known:
            self._last_used[key_id] = moment
