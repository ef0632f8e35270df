"""Runs every case against every subject and writes the table in docs/conformance.md.

python -m tests.conformance                  everything, and write the table
python -m tests.conformance --only 'chunk*'  print what becomes of the matching cases, write nothing
python -m tests.conformance --splits         Tollhouse only: every case cut in two at every byte
"""

from __future__ import annotations

import argparse
import fnmatch
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import uvloop

from tests.conformance import subjects
from tests.conformance.case import Case, Group, Pause
from tests.conformance.corpus import GROUPS
from tests.conformance.driver import Subject, run
from tests.conformance.judge import judge

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
PEERS = ("nginx", "HAProxy")

Start = Callable[[Path], AbstractAsyncContextManager[Subject]]
Results = dict[str, dict[str, str]]
"""Subject -> `group/case` -> why it failed, empty when it passed."""


@asynccontextmanager
async def _tollhouse(_: Path) -> AsyncIterator[Subject]:
    async with subjects.tollhouse() as subject:
        yield subject


STARTS: dict[str, Start] = {
    "Tollhouse": _tollhouse,
    "nginx": subjects.nginx,
    "HAProxy": subjects.haproxy,
}


def main() -> None:
    """Run what the command line asks for; the exit status tells whether Tollhouse passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", default="*", help="cases whose `group/id` matches this pattern")
    parser.add_argument("--subject", action="append", choices=sorted(STARTS), help="repeatable")
    parser.add_argument("--splits", action="store_true", help="cut each case in two at every byte")
    options = parser.parse_args()
    if options.splits:
        sys.exit(uvloop.run(_all_splits(options.only)))
    results, missing = uvloop.run(_all(options.subject or list(STARTS), options.only))
    _print_failures(results, ours_only=options.only == "*" and not options.subject)
    if options.only == "*" and not options.subject:
        if missing:
            print(f"docs/conformance.md is left as it is: {'; '.join(missing)}", file=sys.stderr)
        else:
            _write(_table(results))
    sys.exit(bool(missing) or any(results.get("Tollhouse", {}).values()))


async def _all(names: Sequence[str], only: str) -> tuple[Results, list[str]]:
    results: Results = {}
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        for name in names:
            try:
                async with STARTS[name](Path(folder)) as subject:
                    started = time.monotonic()
                    results[name] = await _against(subject, only)
                    took = time.monotonic() - started
            except subjects.Missing as error:
                missing.append(str(error))
                print(f"!!! {error}", file=sys.stderr)
                continue
            failed = sum(bool(why) for why in results[name].values())
            print(f"{name}: {len(results[name])} cases, {failed} failed, {took:.1f} s")
    return results, missing


async def _against(subject: Subject, only: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in GROUPS:
        if group.is_policy and subject.name != "Tollhouse":
            continue
        for case in group.cases:
            name = f"{group.name}/{case.id}"
            if fnmatch.fnmatch(name, only):
                found[name] = judge(case, await run(case, subject))
    return found


async def _all_splits(only: str) -> int:
    runs = failed = 0
    async with subjects.tollhouse() as subject:
        for group in GROUPS:
            for case in group.cases:
                if fnmatch.fnmatch(f"{group.name}/{case.id}", only) and _is_cut(case):
                    for place in range(1, len(case.raw)):
                        why = judge(case, await run(case, subject, cuts=(place,)))
                        runs += 1
                        if why:
                            failed += 1
                            print(f"{group.name}/{case.id} cut at {place}: {why}")
    print(f"{runs} runs, {failed} failed")
    return failed


def _is_cut(case: Case) -> bool:
    return case.splits and not any(isinstance(part, Pause) for part in case.sends)


def _print_failures(results: Results, *, ours_only: bool) -> None:
    for name, found in results.items():
        if ours_only and name != "Tollhouse":
            continue
        for case, why in found.items():
            if why:
                print(f"\n{name}: {case}: {why}")


def _table(results: Results) -> str:
    lines = [
        f"| group | cases | Tollhouse | {' | '.join(PEERS)} |",
        "|---|---:|---:|" + "---:|" * len(PEERS),
    ]
    totals = dict.fromkeys(STARTS, 0)
    counted = 0
    for group in GROUPS:
        cells = []
        for name in STARTS:
            if group.is_policy and name != "Tollhouse":
                cells.append("policy")
                continue
            passed = sum(not results[name][f"{group.name}/{case.id}"] for case in group.cases)
            totals[name] += 0 if group.is_policy else passed
            cells.append(str(passed))
        counted += 0 if group.is_policy else len(group.cases)
        lines.append(f"| {group.title} | {len(group.cases)} | {' | '.join(cells)} |")
    sums = " | ".join(f"**{totals[name]}**" for name in STARTS)
    lines.append(f"| **all that are compared** | **{counted}** | {sums} |")
    return "\n".join([*lines, "", *_where_peers_differ(results), "", _provenance()]) + "\n"


def _where_peers_differ(results: Results) -> list[str]:
    """List the cases that a peer fails, by group, so that a reader can judge whether they matter."""
    lines = ["### Cases that a peer fails", ""]
    for group in GROUPS:
        failed = [(case, _failing(results, group, case)) for case in group.cases]
        told = [f"`{case.id}` ({', '.join(names)})" for case, names in failed if names]
        if told:
            lines += _wrapped(f"- **{group.title}**: " + ", ".join(told) + ".")
    return lines


def _failing(results: Results, group: Group, case: Case) -> list[str]:
    return [name for name in PEERS if results[name].get(f"{group.name}/{case.id}")]


def _wrapped(text: str, width: int = 118) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _provenance() -> str:
    peers = ", ".join(subjects.version(name) for name in ("nginx", "haproxy"))
    return f"Versions: {peers}; Tollhouse on CPython {platform.python_version()}."


def _write(table: str) -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    print(f"wrote {DOCUMENT.name}")
