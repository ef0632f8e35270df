"""What three gateways, one PostgreSQL and one Redis do under load: `python -m bench.cluster.figures`.

Limits over all of them, exact and leased; revocations at one, seen by callers of all; the leader killed; database and
Redis killed. Fails when a limit or a revocation does not hold, or when a caller of anybody else notices.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import uvloop

from bench.cluster import limits, servers
from bench.cluster.killing import Killed, killed
from bench.cluster.limits import BURST, QUOTA, RATE, Limited, limited
from bench.cluster.nodes import Settings
from bench.cluster.nodes import opened as gateways
from bench.cluster.outages import AWAY_SECONDS, Outage, outages
from bench.cluster.revocations import AT_ONCE, Revocations, revocations
from bench.facts import Facts
from bench.figures_section import replace_section
from bench.machine import Unusable

MODES: Final = ("exact", "leased")
PLANS: Final = f"{limits.PLANS}  rate-of-many: {{rate: {{per_second: 100000}}}}\n"

_T = TypeVar("_T")


class _Part(Protocol):
    @property
    def is_kept(self) -> bool: ...


@dataclass(slots=True)
class Results:
    """What was found, by part."""

    limited: list[Limited] = field(default_factory=list)
    revocations: list[Revocations] = field(default_factory=list)
    killed: list[Killed] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Tell whether everything is as it has to be."""
        parts: list[_Part] = [*self.limited, *self.revocations, *self.killed, *self.outages]
        return all(part.is_kept for part in parts)


def main() -> int:
    """Measure; return 0 when everything held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster.figures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each part (10)")
    parser.add_argument("--keys", type=int, default=1500, help="to be revoked (1500)")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write cluster.md there")
    options = parser.parse_args()
    before, results = os.getloadavg()[0], Results()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-cluster-") as folder:
            measure(Path(folder), results, options.seconds, options.keys)
    except Unusable as problem:
        print(f"cluster: {problem}", file=sys.stderr)
        return 1
    text = report(results, before)
    print(text)
    if options.write:
        replace_section(options.write / "cluster.md", "bench-cluster", text)
    return 0 if results.is_kept else 1


def measure(folder: Path, results: Results, seconds: float, keys: int) -> None:
    """Fill `results`. Raises `Unusable`."""
    with servers.opened(folder) as found:
        for mode in MODES:
            settings = Settings(mode=mode, prefix=mode, plans=PLANS)
            with gateways(folder / mode, found, settings) as cluster:
                results.limited.append(_run(partial(limited, cluster, mode, seconds)))
                if mode == MODES[0]:
                    results.revocations.append(_run(partial(revocations, cluster, keys, seconds)))
                results.killed.append(_run(partial(killed, cluster, mode)))
                if mode == MODES[0]:
                    results.outages += _run(partial(outages, cluster))


def _run(what: Callable[[], Awaitable[_T]]) -> _T:
    async def go() -> _T:
        return await what()

    return uvloop.run(go())


# ---- what is told of it


def report(results: Results, load_before: float) -> str:
    """Return the tables, and where they come from."""
    origin = f"{Facts.of_this_machine()}; load average before the run: {load_before:.1f}."
    parts = [
        _limits(results.limited),
        _revocations(results.revocations),
        _killed(results.killed),
        _outage_table(results.outages),
    ]
    if not results.is_kept:
        parts.insert(0, "**NOT KEPT: something below is not as it has to be.**")
    return "\n\n".join([*(part for part in parts if part), textwrap.fill(origin, 120)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _limits(found: Sequence[Limited]) -> str:
    head = ("limits", f"asked of {RATE}/s, burst {BURST}", "admitted", "worst window beyond `burst + rate * t`",
            "allowed", f"asked of a quota of {QUOTA:,}", "admitted", "failed")  # fmt: skip
    rows = [
        (each.mode, f"{each.asked:,} in {each.seconds:.1f} s", f"{each.admitted:,}", f"{each.excess:.1f}",
         f"{each.allowed:.0f}", f"{each.quota_asked:,}", f"{each.quota_admitted:,}", str(each.broken))
        for each in found
    ]  # fmt: skip
    return "### Limits\n\n" + _table(head, rows)


def _revocations(found: Sequence[Revocations]) -> str:
    head = ("revoked, at any of the three", "per second", "call p50", "p99", "longest", "answered 202",
            "requests with the keys", "begun after the call, refused", "let through", "failed")  # fmt: skip
    rows = [
        (f"{each.revoked:,}, {AT_ONCE} at a time", f"{each.per_second:.0f}", f"{each.p50:.1f} ms",
         f"{each.p99:.1f} ms", f"{each.longest:.1f} ms", str(each.partial), f"{each.asked:,}",
         f"{each.refused:,}", str(each.late), str(each.broken))
        for each in found
    ]  # fmt: skip
    return "### Revocation\n\n" + _table(head, rows)


def _killed(found: Sequence[Killed]) -> str:
    names = [f"limits {each.mode}" for each in found]
    lines: list[tuple[str, Callable[[Killed], str]]] = [
        ("requests at the two others", lambda each: f"{each.others_asked:,}"),
        ("of these failed", lambda each: str(each.others_failed)),
        ("of these the slowest", lambda each: f"{each.others_longest * 1e3:.0f} ms"),
        ("requests that the killed one had, without an answer", lambda each: str(each.own_cut)),
        ("nobody answered there for", lambda each: f"{each.away:.1f} s"),
        ("the first change, which waits for it, answered 202", lambda each: f"{each.first_call:.1f} s"),
        ("later ones wait no more; the longest", lambda each: f"{each.later_call * 1e3:.0f} ms"),
        ("changes named it for", lambda each: f"{each.named_until:.1f} s"),
        ("who leads now, and since", lambda each: f"{each.leader}, {each.leads_after:.1f} s"),
        ("started again, it is ready after", lambda each: f"{each.start:.1f} s"),
        ("the next revocation, acknowledged by", lambda each: each.acknowledged),
        (f"worst window of {RATE}/s, burst {BURST}, beyond its bound", lambda each: f"{each.excess:.1f}"),
    ]  # fmt: skip
    rows = [(title, *(read(each) for each in found)) for title, read in lines]
    return "### The leader is killed (SIGKILL)\n\n" + _table(("", *names), rows)


def _outage_table(found: Sequence[Outage]) -> str:
    head = (f"killed, and {AWAY_SECONDS:.0f} s later started again", "requests at all three, by status",
            "the slowest", "changes work again after")  # fmt: skip
    rows = [
        (each.what, _by_status(each.statuses),
         f"{each.longest * 1e3:.0f} ms", f"{each.changes_after * 1e3:.0f} ms")
        for each in found
    ]  # fmt: skip
    return "### Database and Redis\n\n" + _table(head, rows) if rows else ""


def _by_status(statuses: Mapping[int, int]) -> str:
    return ", ".join(
        f"{count:,} x {each or 'no answer'}" for each, count in sorted(statuses.items())
    )


if __name__ == "__main__":
    sys.exit(main())
