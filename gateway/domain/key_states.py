"""What may be done to a key in which state, and which state follows: one table.

Knows what time and rotation do to the answer. It must not know who asks or how a change is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.domain.keys import KeyRecord, KeyState


class Verb(StrEnum):
    """What may happen to a key, as in "cannot suspend this key"."""

    SUSPEND = "suspend"
    RESUME = "resume"
    ROTATE = "rotate"
    ABORT = "abort the rotation of"
    EXPIRE = "expire"
    EXTEND = "extend"
    REVOKE = "revoke"


_A, _S, _R, _E, _X = (
    KeyState.ACTIVE,
    KeyState.SUSPENDED,
    KeyState.ROTATING,
    KeyState.EXPIRED,
    KeyState.REVOKED,
)

MOVES: Final[Mapping[Verb, Mapping[KeyState, KeyState]]] = {
    Verb.SUSPEND: {_A: _S, _R: _S, _S: _S},
    Verb.RESUME: {_S: _A, _A: _A, _R: _R},
    Verb.ROTATE: {_A: _R},
    Verb.ABORT: {_R: _A, _S: _S, _E: _E},
    Verb.EXPIRE: {_A: _E, _R: _E, _S: _E, _E: _E},
    Verb.EXTEND: {_A: _A, _R: _R, _S: _S, _E: _A},
    Verb.REVOKE: {_A: _X, _S: _X, _R: _X, _E: _X, _X: _X},
}
"""Verb -> state that holds -> state that follows; what is missing is not allowed.

A row that leads to where it began is a repetition, which changes nothing. Revoked is final; expired ends by an explicit
extension only. `active` is written here for "in use": see `next_state`.
"""


def next_state(verb: Verb, record: KeyRecord, now: float) -> KeyState | None:
    """Return the state that `verb` leads to at `now` (epoch seconds), or None when it is not allowed.

    A key in use that has a successor is rotating, and one that was suspended before it expired is suspended still.
    """
    state = MOVES[verb].get(record.state_at(now))
    if state is not KeyState.ACTIVE:
        return state
    if verb is Verb.EXTEND and is_held_at(record, now):
        return KeyState.SUSPENDED
    is_retiring = record.retires_at is not None and verb is not Verb.ABORT
    return KeyState.ROTATING if is_retiring else KeyState.ACTIVE


def is_held_at(record: KeyRecord, now: float) -> bool:
    """Tell whether a key is suspended at `now`, or would be if it had not expired."""
    was_suspended = record.is_held or record.state is KeyState.SUSPENDED
    is_over = record.resume_at is not None and now >= record.resume_at
    return was_suspended and not is_over
