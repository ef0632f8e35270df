"""`python -m bench`: start everything, verify, measure in rounds, print the tables, and write them on request."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import figures
from bench.facts import Facts
from bench.load import Load
from bench.machine import Cores, Unusable, free_port
from bench.policy import make_policy
from bench.report import Report, Row
from bench.session import LOADS, Rounds, Session, flooded
from bench.subjects import GATEWAY_COMMAND, Bench, all_subjects

QUICK, USUAL, FULL = Rounds(main=2, others=1), Rounds(main=6, others=2), Rounds(main=15, others=7)


def main() -> int:
    """Measure; return 0, or 1 when the machine or the gateway cannot be measured."""
    options = _parser().parse_args()
    try:
        if options.readme:
            figures.marked(options.readme)  # before, not after a quarter of an hour
        with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
            report = measure(options, Path(folder))
    except Unusable as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    print(figures.text(report))
    if options.write:
        figures.write(report, options.write)
    if options.readme:
        figures.write_into(options.readme, report)
    return 0


def measure(options: argparse.Namespace, folder: Path) -> Report:
    """Start upstream and subjects, measure them, and return all that is known."""
    usual = QUICK if options.quick else FULL if options.full else USUAL
    rounds = Rounds(
        main=options.rounds or usual.main,
        others=options.other_rounds or usual.others,
        seconds=options.seconds,
    )
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    with (
        bench.upstream() as upstream,
        all_subjects(
            bench, options.command, names=options.subjects, has_gateway=not options.only_peers
        ) as taking_part,
    ):
        for name, why in {**taking_part.absent, **taking_part.failed}.items():
            print(f"{name} is left out: {why}", file=sys.stderr)
        subjects = taking_part.subjects
        session = Session(bench.policy, bench.cores, load, (bench.upstream_port, upstream), rounds)
        targets = flooded(subjects, everybody=options.full)
        results = session.measure(subjects, options.loads, targets)
        rows = [
            Row(
                name=subject.name,
                memory_bytes=subject.process.memory_bytes()[0],
                policy_seen=subject.policy_seen,
                lacks=subject.lacks,
            )
            for subject in subjects
        ]
    return Report(
        rows=rows,
        results=results,
        facts=str(Facts.of_this_machine()),
        seconds=rounds.seconds,
        are_cores_separate=bench.cores.are_separate,
        absent=taking_part.absent,
        failed=taking_part.failed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the gateway beside plain nginx and gateways that carry out the same policy.",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="about two minutes, with more noise")
    length.add_argument(
        "--full", action="store_true", help="more rounds, floods on everybody: half an hour"
    )
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), metavar="LOAD",
                        help=f"which of {', '.join(LOADS)} (all)")  # fmt: skip
    parser.add_argument("--subjects", nargs="+", default=[], metavar="NAME",
                        help="parts of names, such as haproxy (everybody who is installed)")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="rounds of get1k")
    parser.add_argument("--other-rounds", type=int, help="rounds of each other load")
    parser.add_argument("--seconds", type=int, default=1, help="length of a slice (1)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--only-peers", action="store_true", help="leave the gateway out")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write peers.md and peers.svg")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="replace the short table there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
