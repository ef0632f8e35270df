"""What one request costs in instructions of the processor: `python -m bench.instructions`.

Time on a shared machine moves by tens of percent within seconds; the number of instructions that a request takes does
not. Valgrind counts them (callgrind) for a whole gateway without a kernel (`bench.inprocess`): each case runs with few
and with many requests, and the difference is divided by the difference of the numbers. It sees no system calls and no
cache misses; `make bench` does.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import platform
import pstats
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from bench.inprocess import CASES, FLUSH_EVERY, Case, Loop, driver
from bench.machine import Unusable, program
from bench.subjects import ROOT

FEW: Final = FLUSH_EVERY
MANY: Final = 3 * FLUSH_EVERY
PROFILED: Final = 20_000
HISTORY: Final = ROOT / "docs" / "figures" / "instructions.md"

_MARK: Final = "getpriority"
"""A function of the C library that nothing else calls: valgrind writes down its counters whenever it is entered."""

_TOTAL: Final = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def main() -> int:
    """Measure; return 0, or 1 when the machine cannot."""
    options = _parser().parse_args()
    cases = [case for case in CASES if options.case == case.name] or [
        case for case in CASES if options.case in case.name
    ]
    if not cases:
        print(f"bench: no case is called {options.case!r}", file=sys.stderr)
        return 1
    if options.inside or options.top:
        told = _serve(cases) if options.inside else _profile(cases[0], options.top)
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(told)
        return 0
    try:
        figures = measure(cases, options.case)
    except Unusable as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    print(table(figures))
    if options.append:
        append(HISTORY, figures, options.append)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description="Count the instructions that one request costs, with valgrind.",
    )
    parser.add_argument(
        "--case", default="", help="only the case of this name, or those with it in their name"
    )
    parser.add_argument(
        "--append", metavar="BUILD", help=f"add a row called BUILD to {HISTORY.relative_to(ROOT)}"
    )
    parser.add_argument(
        "--top",
        nargs="?",
        const="tottime",
        metavar="ORDER",
        help="instead list the hottest Python functions of the first case (cProfile's orders)",
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


# ---- counting


def measure(cases: Sequence[Case], chosen: str = "") -> dict[str, int]:
    """Return the instructions per request of each case; `chosen` is what chose them, see `--case`."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-instructions-") as folder:
        out = Path(folder) / "callgrind"
        command = [program("valgrind", "valgrind"), "--tool=callgrind", "--quiet"]
        command += [f"--callgrind-out-file={out}", f"--dump-before={_MARK}"]
        command += [sys.executable, "-m", "bench.instructions", "--inside", "--case", chosen]
        # Hashes of text differ from run to run otherwise, and with them the collisions in dictionaries.
        environ = os.environ | {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"}
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unusable(f"valgrind failed:\n{(done.stdout + done.stderr)[-2000:]}")
        figures = {}
        for n, case in enumerate(cases):
            few, many = (_total(out.with_suffix(f".{3 * n + part}")) for part in (2, 3))
            figures[case.name] = round((many - few) / (MANY - FEW))
        return figures


def _total(dump: Path) -> int:
    found = _TOTAL.search(dump.read_text("ascii", "replace"))
    if found is None:
        raise Unusable(f"{dump} says nothing about totals; is valgrind older than 3.13?")
    return int(found[1])


def _mark() -> None:
    os.getpriority(os.PRIO_PROCESS, 0)


async def _serve(cases: Sequence[Case]) -> None:
    """Run under valgrind: three marks per case, few requests between the first two and many before the last."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-inside-") as folder:
        async with driver(Path(folder)) as driven:
            for case in cases:
                await driven.check(case)
                requests = driven.requests(case)
                for number in (FEW, MANY):
                    gc.collect()  # so that the same collections fall into every run
                    _mark()
                    await driven.run(requests, number)
                _mark()


async def _profile(case: Case, order: str) -> None:
    """Print the functions in which `case` spends its time."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-inside-") as folder:
        async with driver(Path(folder)) as driven:
            await driven.check(case)
            with cProfile.Profile() as profile:
                await driven.run(driven.requests(case), PROFILED)
    print(f"{case.name}: {PROFILED} requests")
    pstats.Stats(profile).sort_stats(order).print_stats(60)


# ---- telling


def table(figures: Mapping[str, int]) -> str:
    """Return the figures as a Markdown table."""
    whole = figures.get(CASES[0].name)
    lines = ["| request | instructions | of a forwarded GET |", "|---|---:|---:|"]
    for name, count in figures.items():
        share = f"{count / whole:.0%}" if whole else ""
        lines.append(f"| {name} | {count:,} | {share} |")
    return "\n".join(lines)


def append(history: Path, figures: Mapping[str, int], build: str) -> None:
    """Add a row to the table that ends `history`; a case that was not measured stays empty."""
    versions = f"{platform.python_version()}, uvloop {metadata.version('uvloop')}"
    today = datetime.now(UTC).date().isoformat()
    cells = [f"{figures[case.name]:,}" if case.name in figures else "" for case in CASES]
    row = " | ".join([today, build, versions, *cells])
    history.write_text(f"{history.read_text('utf-8').rstrip()}\n| {row} |\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
