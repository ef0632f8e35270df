"""For how long a snapshot of the key records may stand in for the store that it was taken of.

Knows the rules of age: a snapshot is as old as the last moment at which whoever wrote it was in contact with the store,
because until then it held every change; where gateways share the store it is worth what the lease is worth under which
it was written. It must not know how a snapshot is written or signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AHEAD_SECONDS_MAX: Final = 60.0
"""A clock that was set may be behind what was written by so much; beyond, no age can be told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks of a machine: `at` can be set (epoch seconds), `uptime` never stops and begins anew with
    each `boot`, whose id is empty where the system tells none.
    """

    at: float
    uptime: float
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What was true of a snapshot at `moment`: it held every change up to `revision`; the store was at `seen`.

    What lies between is what we changed ourselves, and what others did that had not reached us: it is noted before
    anybody is told that it did. `number` grows with each stamp. `length` and `chain` are the end of the journal beside
    it: its bytes, and the signature that covers all of them. `until` is the end of the lease (uptime), None where
    nobody else writes to the store.
    """

    number: int
    length: int
    chain: str
    revision: int
    moment: Moment
    until: float | None = None
    seen: int = 0


def elapsed(since: Moment, now: Moment) -> float:
    """Return the seconds between two moments. No clock that can be set takes part within one boot."""
    if now.boot and now.boot == since.boot:
        return now.uptime - since.uptime
    return now.at - since.at


def doubt(stamp: Stamp, now: Moment, age_max: float) -> str:
    """Say why the snapshot may not stand in for the store at `now`; empty when it may."""
    seconds = elapsed(stamp.moment, now)
    if seconds < -AHEAD_SECONDS_MAX:
        return f"it is {-seconds:.0f} s ahead of the clock, so nobody can tell how old it is"
    if stamp.until is not None:
        if not now.boot or now.boot != stamp.moment.boot:
            return "it was written under a lease before this machine was started, or on another one"
        if now.uptime >= stamp.until:
            return (
                f"the lease under which it was written ended {now.uptime - stamp.until:.1f} s ago"
            )
    if seconds >= age_max:
        return f"it is {max(0.0, seconds):.0f} s old, and may be {age_max:.0f} s (on_failure.keys)"
    return ""
