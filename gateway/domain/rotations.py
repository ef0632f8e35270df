"""Rotations: the replacement of a key by another that shares its lineage, as an object with a life of its own.

Knows the states and what ends a rotation. It must not know how keys are minted or when somebody looks at the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RotationState(StrEnum):
    """Both keys work while a rotation is `pending` (the new one was never used) or `overlapping`."""

    PENDING = "pending"
    OVERLAPPING = "overlapping"
    COMPLETED = "completed"
    ABORTED = "aborted"


class RotationEnd(StrEnum):
    """What ended a rotation."""

    OPERATOR = "operator"
    IDLE = "idle"  # the old key was not used for long enough
    DEADLINE = "deadline"
    REVOKED = "revoked"  # one of its keys was revoked


OPEN: frozenset[RotationState] = frozenset({RotationState.PENDING, RotationState.OVERLAPPING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation. Times are epoch seconds (UTC).

    `deadline` is when the old key stops, whatever happens. `idle_seconds` completes the rotation earlier: once the new
    key has been used and the old one was not for so long; None waits for the deadline. `ended_by` is empty while it is
    open. `revision` is the store revision of the last change.
    """

    rotation_id: str
    lineage_id: str
    tenant_id: str
    old_key_id: str
    new_key_id: str
    state: RotationState = RotationState.PENDING
    started_at: float
    deadline: float
    idle_seconds: float | None = None
    reason: str = ""
    ended_at: float | None = None
    ended_by: str = ""
    revision: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether both keys still work."""
        return self.state in OPEN
