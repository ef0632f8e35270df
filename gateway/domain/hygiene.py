"""What is wrong with a key that works: idle, eternal, unlimited, overdue, shared, shown to browsers, hashed as of old.

Knows each flaw and what it is judged by. It must not know where keys and usage are kept, nor which plan limits whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.keys import KeyRecord, KeyState

IN_USE: Final = frozenset({KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.ROTATING})
"""States of keys that work, or may work again without anybody's doing."""


class Flaw(StrEnum):
    """One kind of flaw."""

    IDLE = "idle"
    NEVER_EXPIRES = "never_expires"
    UNLIMITED = "unlimited"
    ROTATION_OVERDUE = "rotation_overdue"
    MANY_NETWORKS = "many_networks"
    CLIENT_SIDE_USE = "client_side_use"
    OLD_PEPPER = "old_pepper"


OF_RECORDS: Final = frozenset(Flaw) - {Flaw.MANY_NETWORKS, Flaw.CLIENT_SIDE_USE}
"""Flaws that are found without knowing what keys were used for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on something is a flaw: a key that was not used for `idle_seconds`, or from more than `networks_max`
    networks.
    """

    idle_seconds: float = 30 * 86_400.0
    networks_max: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """How a key was used lately: from how many networks, and how many of its requests only browsers send."""

    networks: int = 0
    from_browser: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a key is judged by that is not in its record.

    `moment` is now (epoch seconds). `rotation_due_at` is None where no policy wants a rotation; `use` where nobody
    counts.
    """

    moment: float
    is_limited: bool
    rotation_due_at: float | None
    current_pepper: str
    use: KeyUse | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One flaw of one key: `since` when (epoch seconds) and `count` how much of it, where that means something."""

    flaw: Flaw
    since: float | None = None
    count: int | None = None


def findings(key: KeyRecord, around: Around, thresholds: Thresholds) -> tuple[Finding, ...]:
    """Return the flaws of `key`, in the order of `Flaw`; none for a key that does not work any more."""
    if key.state_at(around.moment) not in IN_USE:
        return ()
    return tuple(_found(key, around, thresholds))


def _found(key: KeyRecord, around: Around, thresholds: Thresholds) -> Iterator[Finding]:
    used_at = key.created_at if key.last_used_at is None else key.last_used_at
    if around.moment - used_at >= thresholds.idle_seconds:
        yield Finding(flaw=Flaw.IDLE, since=used_at)
    if key.expires_at is None and key.retires_at is None:
        yield Finding(flaw=Flaw.NEVER_EXPIRES)
    if not around.is_limited:
        yield Finding(flaw=Flaw.UNLIMITED)
    if around.rotation_due_at is not None and around.rotation_due_at <= around.moment:
        yield Finding(flaw=Flaw.ROTATION_OVERDUE, since=around.rotation_due_at)
    if around.use is not None:
        if around.use.networks > thresholds.networks_max:
            yield Finding(flaw=Flaw.MANY_NETWORKS, count=around.use.networks)
        if around.use.from_browser:
            yield Finding(flaw=Flaw.CLIENT_SIDE_USE, count=around.use.from_browser)
    if key.pepper_id != around.current_pepper:
        yield Finding(flaw=Flaw.OLD_PEPPER)
