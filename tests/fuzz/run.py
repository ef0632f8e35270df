"""The loop: makes a stream, sends it through a whole data plane, lets the oracle judge, shrinks what it finds."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from random import Random

import uvloop

from tests.conformance.case import ECHO, Case, Dropped
from tests.conformance.driver import Subject, run
from tests.conformance.subjects import tollhouse_plane
from tests.fuzz.grammar import cuts, seeds, stream
from tests.fuzz.oracle import Finding, judge
from tests.harness import Plane

_PATIENCE_SECONDS = 0.02
"""Everything runs in one process on loopback: silence that long means that the gateway waits for more."""

_SETTLED_SECONDS = 3.0
_TURNS = 30
_ANY = (Dropped(),)


@dataclass
class Report:
    """What a run came to."""

    streams: int = 0
    forwarded: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def main() -> None:
    """Fuzz as the command line asks; the exit status tells whether anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--from", dest="first", type=int, default=0, help="number of the first stream"
    )
    parser.add_argument("--streams", type=int, default=1 << 60, help="how many at most")
    options = parser.parse_args()
    report = uvloop.run(
        fuzz(options.seed, seconds=options.seconds, first=options.first, streams=options.streams)
    )
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(report.statuses.items()))
    print(f"{report.streams} streams, {report.forwarded} requests forwarded, answers: {statuses}")
    print("\n\n".join(report.findings) or "nothing found")
    sys.exit(bool(report.findings))


async def fuzz(
    seed: int, *, seconds: float, first: int = 0, streams: int = 1 << 60, findings_max: int = 5
) -> Report:
    """Send streams until the time is up, `streams` were sent or `findings_max` things were found."""
    report, known = Report(), seeds()
    ends = time.monotonic() + seconds
    async with tollhouse_plane(_PATIENCE_SECONDS, _PATIENCE_SECONDS) as (subject, plane):
        for number in range(first, first + streams):
            if time.monotonic() > ends or len(report.findings) >= findings_max:
                break
            random = Random(f"{seed}:{number}")
            raw = stream(random, known)
            places = cuts(random, len(raw))
            found = await _try(raw, places, subject, plane, report)
            report.streams += 1
            if found:
                small = await _shrink(raw, subject, plane)
                report.findings.append(
                    f"stream {number} of seed {seed}: {found}\n  {small!r}\n  whole: {raw!r} {places}"
                )
    return report


async def _try(
    raw: bytes, places: tuple[int, ...], subject: Subject, plane: Plane, report: Report | None
) -> str:
    """Send one stream; return what is wrong, or nothing."""
    plane.recorded.outcomes.clear()
    plane.complaints.texts.clear()
    case = Case(id="", why="", sends=(raw,), accepts=(_ANY,), backend=(ECHO,), probe=False)
    seen = await run(
        case, subject, cuts=places if len(places) > 1 or places[0] < len(raw) else None
    )
    try:
        async with asyncio.timeout(_SETTLED_SECONDS):
            await _told(plane)
    except TimeoutError:
        return "a connection was left open"
    if report is not None:
        report.forwarded += len(seen.requests)
        for outcome in plane.recorded.outcomes:
            report.statuses[outcome.status] = report.statuses.get(outcome.status, 0) + 1
    complaints = list(plane.complaints.texts)
    plane.complaints.texts.clear()
    try:
        judge(raw, seen, plane.recorded.outcomes, complaints)
    except Finding as finding:
        return str(finding)
    return ""


async def _told(plane: Plane) -> None:
    """Wait until every story is told to its end: it goes on for some turns of the loop after its client left."""
    count = -1
    while count != len(plane.recorded.outcomes):
        count = len(plane.recorded.outcomes)
        await plane.settled()
        for _ in range(_TURNS):
            await asyncio.sleep(0)


async def _shrink(raw: bytes, subject: Subject, plane: Plane) -> bytes:
    """Return the smallest part of `raw` that is still a finding, by leaving away pieces."""
    size = len(raw) // 2
    while size:
        place = 0
        while place < len(raw):
            smaller = raw[:place] + raw[place + size :]
            if smaller and await _try(smaller, (len(smaller),), subject, plane, None):
                raw = smaller
            else:
                place += size
        size //= 2
    return raw
