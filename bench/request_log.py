"""What the request log costs: `python -m bench.request_log`, one gateway with it and one without, in turn.

Each pair of slices is taken within seconds, and only ratios within a pair are compared. Five gateways run: without any
log of requests, with the request log, with one that is forced to the disk, and with both logs, as by default;
everything else is on in all of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.everything import everything_on
from bench.facts import Facts
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port
from bench.policy import make_policy
from bench.slices import Pair, Slice, clean, cpu, median, throughput
from bench.subjects import GATEWAY_COMMAND, Bench, Change, Subject
from bench.work import Work, floods, get1k

RATIO_MIN: Final = 0.9
"""Throughput with the request log on, of that without: less is a failure."""

OFF: Final = {"path": "off"}


def main() -> int:
    """Measure; return 0, or 1 when the request log costs too much or nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.request_log", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pairs of each load (10)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice (2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-request-log-") as folder:
            worst = _measured(options, Path(folder))
    except Unusable as problem:
        print(f"request log: {problem}", file=sys.stderr)
        return 1
    print(f"\n{Facts.of_this_machine()}")
    return 0 if worst >= RATIO_MIN else 1


def _with(request_log: dict[str, Any], access_log: dict[str, Any]) -> Change:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        logs = {"request_log": request_log, "telemetry": {"access_log": access_log}}
        return everything_on(config) | logs

    return change


def _measured(options: argparse.Namespace, folder: Path) -> float:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    kept, lines = {"path": "requests"}, {"path": "access.log"}
    forced = {"path": "forced", "fsync": "flush"}
    command = options.command
    worst = float("inf")
    with (
        bench.upstream() as upstream,
        bench.tollhouse(command, name="no log", change=_with(OFF, OFF)) as without,
        bench.tollhouse(command, name="request log", change=_with(kept, OFF)) as with_one,
        bench.tollhouse(command, name="forced log", change=_with(forced, OFF)) as with_forced,
        bench.tollhouse(command, name="both logs", change=_with(kept, lines)) as with_both,
        bench.tollhouse(command, name="access log", change=_with(OFF, lines)) as access,
    ):
        print(
            "| load | beside | throughput | CPU time per request | pairs |\n|---|---|---:|---:|---:|"
        )
        for work in (get1k(bench.policy), floods(bench.policy)[0]):
            for name, reference, subject in (
                ("request log beside no log", without, with_one),
                ("forced to the disk, beside not", with_one, with_forced),
                ("both logs beside the access log alone", access, with_both),
            ):
                pairs = _pairs(load, upstream, work, reference, subject, options)
                ratio = median(pairs, throughput)
                spent = median(pairs, cpu)
                print(f"| {work.title} | {name} | {ratio:.3f} | {spent:.3f} | {len(pairs)} |")
                worst = min(worst, ratio)
    return worst


def _pairs(
    load: Load,
    upstream: Process,
    work: Work,
    reference: Subject,
    subject: Subject,
    options: argparse.Namespace,
) -> Sequence[Pair]:
    def slice_(which: Subject) -> Slice:
        return load.run(which.port, which.process, upstream, options.seconds, work=work)

    slice_(reference), slice_(subject)  # warm-up
    pairs = [Pair(slice_(reference), slice_(subject)) for _ in range(options.rounds)]
    failed = sum(pair.reference.failures + pair.subject.failures for pair in pairs)
    if failed:
        raise Unusable(f"{work.title}: {failed} requests failed")
    return clean(pairs)


if __name__ == "__main__":
    sys.exit(main())
