"""`python -m bench`: start everything, verify, measure in rounds, print the table."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

from bench.load import Load, Pair
from bench.machine import Cores, Process, Unusable, free_port
from bench.policy import make_policy
from bench.report import Row, against, notes, table
from bench.subjects import GATEWAY_COMMAND, Bench, Subject, all_subjects


def main() -> int:
    """Measure; return 0, or 1 when the machine or a subject cannot be measured."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
            rows = _measure(options, Path(folder))
    except Unusable as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    _print(rows, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the gateway beside plain nginx and an aiohttp proxy.",
    )
    parser.add_argument("--quick", action="store_true", help="4 rounds of 1 s slices: 40 s in all")
    parser.add_argument("--rounds", type=int, help="rounds of all subjects (10, quick: 4)")
    parser.add_argument("--seconds", type=int, help="length of a slice (2, quick: 1)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--only-peers", action="store_true", help="leave the gateway out")
    return parser


def _measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    options.rounds = options.rounds or (4 if options.quick else 10)
    options.seconds = options.seconds or (1 if options.quick else 2)
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    with (
        bench.upstream() as upstream,
        all_subjects(bench, options.command, only_peers=options.only_peers) as subjects,
    ):
        pairs = _rounds(load, upstream, subjects, options.rounds, options.seconds)
        return [
            Row(s.name, pairs[s.name], s.process.memory_bytes()[0], s.policy_seen) for s in subjects
        ]


def _rounds(
    load: Load, upstream: Process, subjects: list[Subject], rounds: int, seconds: int
) -> dict[str, list[Pair]]:
    """Return each subject's pairs; every other round goes backwards, so that drift cancels out."""
    plain = subjects[0]
    pairs: dict[str, list[Pair]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        load.run(subject.port, subject.process, upstream, 1)  # warm-up
    for n in range(rounds):
        for subject in subjects[:: -1 if n % 2 else 1]:
            reference = load.run(plain.port, plain.process, upstream, seconds)
            slice_ = load.run(subject.port, subject.process, upstream, seconds)
            pairs[subject.name].append(Pair(reference, slice_))
        print(f"round {n + 1} of {rounds}", file=sys.stderr)
    return pairs


def _print(rows: list[Row], options: argparse.Namespace) -> None:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    separate = Cores.of_this_machine().are_separate
    by_name = {row.name: row for row in rows}
    print(table(rows), "\n")
    if "Tollhouse" in by_name:
        print(against(by_name["Tollhouse"], by_name["aiohttp proxy"]), "\n")
    print(notes(by_name, python, are_separate=separate, seconds=options.seconds))


if __name__ == "__main__":
    sys.exit(main())
