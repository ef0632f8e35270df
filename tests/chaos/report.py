"""The table of all scenes, in docs/figures/chaos.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from tests.chaos.clients import Kind
from tests.chaos.facts import Facts
from tests.chaos.scene import Scene

_HEAD: Final = """# Figures: what breaks, and what becomes of it

`make chaos` breaks each server and each process that a gateway needs, under load, one after the other; on this machine
it took {minutes:.0f} minutes. Real processes: one gateway on a SQLite file (*SQLite*, *Clock*), with two workers
(*Workers*), or two gateways that share a PostgreSQL (lease 3 s, 20 s where it says *within*) and a Redis (share 0.25).
At each gateway, eight clients ask 80 times a second, and an operator makes, suspends and revokes keys.
What each row means for operators is in the [failure matrix](../failure-matrix.md).

- *Known keys* are in memory, *others* have to be looked up or were just made, *limited* ones have a quota of 60 or a
  rate of 8 per second. `37 of 210 x 503` counts from the fault on; *no answer* is a connection that broke, or nothing
  within 12 s; the seconds are the longest that anybody waited.
- *Wrong* counts requests that were let in with a key that nobody made, or whose revocation was acknowledged.
- *Over the limit* is what the quota and the worst interval of the rate had too much, with the documented bound of each
  in brackets.
- *Lost* counts changes that were acknowledged and are not there, in the store or in the audit trail, which is verified
  after each scene; then answers that are missing in the access log, and log lines that are missing in the usage.
- *Healthy* is from the end of the fault until the last sign of it: the last request that was not answered as it should
  be, or the first change that was taken by each gateway.
"""

_KNOWN: Final = (Kind.KNOWN,)
_OTHERS: Final = (Kind.COLD, Kind.FRESH)
_LIMITED: Final = (Kind.QUOTA, Kind.RATE)
_STRANGERS: Final = (Kind.UNKNOWN, Kind.REVOKED)
_COLUMNS: Final = (
    "what happens",
    "known keys",
    "other keys",
    "limited keys",
    "changes",
    "wrong",
    "over the limit",
    "lost",
    "healthy",
    "memory",
)


class Played(NamedTuple):
    """A scene, what was seen, and which promises did not hold; `skipped` says why it was not played."""

    scene: Scene
    facts: Facts | None
    said: Sequence[str] = ()
    skipped: str = ""


def report(played: Iterable[Played], seconds: float) -> str:
    """Return the page."""
    lines = [_HEAD.format(minutes=max(1.0, seconds / 60))]
    group = ""
    for each in played:
        if each.scene.group != group:
            group = each.scene.group
            lines += [f"## {group}", "", _row(_COLUMNS), _row("---" for _ in _COLUMNS)]
        if each.facts is None:
            skipped = (each.scene.what, f"not tried: {each.skipped}")
            lines.append(_row([*skipped, *[""] * (len(_COLUMNS) - 2)]))
        else:
            lines.append(_row(cells(each.scene, each.facts)))
    machine = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}"
    lines += ["", f"{machine}, {system}."]
    return _spaced(lines)


def cells(scene: Scene, facts: Facts) -> list[str]:
    """Return the row of a scene."""
    bounds, healthy = scene.bounds, facts.healthy_after
    what = scene.what + (f" ({scene.remark})" if scene.remark else "")
    lost = f"{len(facts.lost)}; {facts.unlogged}; {facts.uncounted}"
    allowed = [each for each in (scene.may_lose, scene.may_miss) if each]
    return [
        what,
        seen(facts, _KNOWN),
        seen(facts, _OTHERS),
        seen(facts, _LIMITED),
        changes(facts),
        str(len(facts.wrong)),
        f"{facts.over_quota} ({bounds.quota}); {facts.over_rate} ({bounds.rate})",
        lost + (f" (may be: {', '.join(allowed)})" if allowed else ""),
        "never" if healthy is None else f"{healthy:.1f} s",
        f"{facts.growth_bytes / 2**20:+.0f} MiB",
    ]


def seen(facts: Facts, kinds: Collection[Kind]) -> str:
    """Say what clients got."""
    asks = facts.during(kinds)
    bad = Counter(ask.status for ask in asks if not ask.is_well)
    longest = max((ask.ended - ask.began for ask in asks), default=0.0)
    waited = f", up to {longest:.1f} s" if longest >= 0.1 else ""
    if not bad:
        return f"all {len(asks)} well{waited}"
    named = [f"{number} x {status or 'no answer'}" for status, number in sorted(bad.items())]
    return f"{', '.join(named)} of {len(asks)}{waited}"


def changes(facts: Facts) -> str:
    """Say what operators got."""
    asked = [each for each in facts.changes if each.ended >= facts.times.broken]
    other = Counter(each.status for each in asked if each.status not in (200, 201))
    named = [f"{number} x {status or 'no answer'}" for status, number in sorted(other.items())]
    return f"{', '.join(named)} of {len(asked)}" if named else f"all {len(asked)} taken"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spaced(lines: Sequence[str]) -> str:
    """Put an empty line before each heading that follows a table."""
    spaced: list[str] = []
    for line in lines:
        if line.startswith("## ") and spaced and spaced[-1].startswith("|"):
            spaced.append("")
        spaced.append(line)
    return "\n".join(spaced) + "\n"
