"""What traces cost: `python -m bench.traces`, gateways that keep more and more of them beside one that keeps none.

Each pair of slices is taken within seconds, and only ratios within a pair are compared; everything else is on in all of
them. The upstream is the collector, too: it takes what it is sent and reads none of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.everything import everything_on
from bench.facts import Facts
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port
from bench.policy import Policy, make_policy
from bench.slices import Pair, Slice, clean, cpu, median, throughput
from bench.subjects import GATEWAY_COMMAND, Bench, Change, Subject
from bench.work import get1k

RATIOS: Final = (0.0, 0.01, 0.1, 1.0)
UNSAMPLED_MIN: Final = 0.95
"""Throughput with traces on and none kept, of that with traces off: less is a failure."""


def main() -> int:
    """Measure; return 0, or 1 when traces that are not kept cost too much or nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.traces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pairs of each ratio (10)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice (2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-traces-") as folder:
            unsampled = _measured(options, Path(folder))
    except Unusable as problem:
        print(f"traces: {problem}", file=sys.stderr)
        return 1
    print(f"\n{Facts.of_this_machine()}")
    return 0 if unsampled >= UNSAMPLED_MIN else 1


def _with(endpoint: str, ratio: float) -> Change:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        traces = {"endpoint": endpoint, "sample_ratio": ratio}
        whole = everything_on(config)
        return whole | {"telemetry": whole["telemetry"] | {"traces": traces}}

    return change


def _measured(options: argparse.Namespace, folder: Path) -> float:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    collector = f"http://127.0.0.1:{bench.upstream_port}/v1/traces"
    ratios = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(bench.upstream())

        def gateway(name: str, endpoint: str, ratio: float) -> Subject:
            change = _with(endpoint, ratio)
            return stack.enter_context(bench.tollhouse(options.command, name=name, change=change))

        off = gateway("off", "", 0)
        print("| traces kept | throughput | CPU time per request | pairs |\n|---|---:|---:|---:|")
        for ratio in RATIOS:
            subject = gateway(f"{ratio:g}", collector, ratio)
            pairs = _pairs(load, bench.policy, upstream, off, subject, options)
            ratios[ratio] = median(pairs, throughput)
            spent = median(pairs, cpu)
            print(f"| {ratio:g} | {ratios[ratio]:.3f} | {spent:.3f} | {len(pairs)} |")
    return ratios[0.0]


def _pairs(
    load: Load,
    policy: Policy,
    upstream: Process,
    reference: Subject,
    subject: Subject,
    options: argparse.Namespace,
) -> Sequence[Pair]:
    work = get1k(policy)

    def slice_(which: Subject) -> Slice:
        return load.run(which.port, which.process, upstream, options.seconds, work=work)

    slice_(reference), slice_(subject)  # warm-up
    pairs = [Pair(slice_(reference), slice_(subject)) for _ in range(options.rounds)]
    failed = sum(pair.reference.failures + pair.subject.failures for pair in pairs)
    if failed:
        raise Unusable(f"{failed} requests failed")
    return clean(pairs)


if __name__ == "__main__":
    sys.exit(main())
