"""Is anybody turned away by an upgrade? `python -m bench.upgrade`.

A gateway under load is replaced by a copy of itself with a newer number and a newer schema: by socket activation, with
one process and with workers; beside the old one on the same socket; one of three after the other behind HAProxy. Fails
when a request does, when a stream is cut that would have ended in time, or when a change did not hold everywhere while
two versions ran.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import uvloop

from bench.cluster import servers
from bench.facts import Facts
from bench.figures_section import replace_section
from bench.machine import Absent, Unusable
from bench.upgrade.scenes import Upgraded, in_turn, overlapping, rolling


def main() -> int:
    """Measure; return 0 when nobody noticed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.upgrade", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write upgrade.md there")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-upgrade-") as folder:
            found = list(measured(Path(folder)))
    except Unusable as problem:
        print(f"upgrade: {problem}", file=sys.stderr)
        return 1
    text = report(found, before)
    print(text)
    if options.write:
        replace_section(options.write / "upgrade.md", "bench-upgrade", text)
    return 0 if all(each.is_kept for each in found) else 1


def measured(folder: Path) -> Iterator[Upgraded]:
    """Play every scene. Raises `Unusable`."""
    alone = (
        partial(in_turn, folder / "1", "restart, one process"),
        partial(in_turn, folder / "2", "restart, two workers", workers=2),
        partial(in_turn, folder / "3", "restart, one process, streams open", short=4, endless=2),
    )
    yield from map(_run, alone)
    together: list[tuple[str, Callable[..., Awaitable[Upgraded]]]] = [
        ("new beside old on one socket, streams open", overlapping),
        ("one of three after the other, streams open", rolling),
    ]
    for number, (how, scene) in enumerate(together):
        home = folder / f"together-{number}"
        home.mkdir()
        with servers.opened(home) as found:
            try:
                yield _run(partial(scene, home / "scene", found, how, short=4, endless=2))
            except Absent as missing:
                print(f"upgrade: {how}: left out: {missing}", file=sys.stderr)


def _run(scene: Callable[[], Awaitable[Upgraded]]) -> Upgraded:
    async def go() -> Upgraded:
        return await scene()

    return uvloop.run(go())


def report(found: Sequence[Upgraded], load_before: float) -> str:
    """Return the table, and where it comes from."""
    head = ("", "requests", "failed", "slowest answer", "took", "streams that end in time: whole",
            "endless ones: cut", "changes between two versions: held at all")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for each in found:
        cells = (
            each.how,
            f"{each.asked:,}",
            str(each.failed),
            f"{each.longest:.2f} s",
            f"{each.seconds:.1f} s",
            f"{each.whole} of {each.short}" if each.short else "",
            f"{each.cut} of {each.endless}" if each.endless else "",
            f"{each.kept} of {each.changes}" if each.changes else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    why = [f"{each.how}: {reason}" for each in found for reason in each.why]
    origin = f"{Facts.of_this_machine()}; load average before the run: {load_before:.1f}."
    return "\n".join([*lines, "", *why, *([""] if why else []), textwrap.fill(origin, 120)])


if __name__ == "__main__":
    sys.exit(main())
