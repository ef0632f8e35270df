"""Do two workers do twice as much? `python -m bench.scaling`: one gateway with one worker, one with several, in turn.

With cores to spare the gateway has its own, and throughput is the answer. On a machine with as many cores as workers
the load needs a part of them, so throughput cannot double whatever the gateway does; then the answer is what a request
costs: workers that do not wait for each other spend the same CPU time on it. Both are printed, with who used the cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.everything import everything_on
from bench.facts import Facts
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port
from bench.policy import make_policy
from bench.slices import Pair, Slice, cpu, disturbance, median, throughput
from bench.subjects import GATEWAY_COMMAND, Bench, Subject
from bench.work import Work, floods, get1k

LOAD_CORES: Final = 2
"""What upstream and load need to keep two workers busy."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which cores the gateway may use, and which upstream and load."""

    gateway: tuple[int, ...]
    load: tuple[int, ...]

    @classmethod
    def on(cls, usable: Sequence[int], workers: int) -> Placement:
        """Keep them apart if there are enough cores, else let the kernel share all of them out."""
        if len(usable) >= workers + LOAD_CORES:
            return cls(tuple(usable[:workers]), tuple(usable[workers:]))
        return cls(tuple(usable), tuple(usable))

    @property
    def has_room(self) -> bool:
        """Tell whether the load has cores of its own."""
        return not set(self.gateway) & set(self.load)


@dataclass(frozen=True, slots=True)
class Row:
    """One load: pairs of one worker and several, and the CPU seconds of each process of the several."""

    title: str
    pairs: Sequence[Pair]
    each: Sequence[float]


def main() -> int:
    """Measure; return 0, or 1 when the machine or the gateway cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="of the larger gateway (2)")
    parser.add_argument("--rounds", type=int, default=6, help="slices of each load (6)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice (2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write workers.md")
    options = parser.parse_args()
    usable = sorted(os.sched_getaffinity(0))
    placement = Placement.on(usable, options.workers)
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-scaling-") as folder:
            rows = _measured(options, placement, Path(folder))
    except Unusable as problem:
        print(f"scaling: {problem}", file=sys.stderr)
        return 1
    text = report(rows, placement, options.workers, str(Facts.of_this_machine()))
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "workers.md").write_text(INTRODUCTION + text + "\n", "utf-8")
    return 0


def _measured(options: argparse.Namespace, placement: Placement, folder: Path) -> list[Row]:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder, on=placement.load)

    def several(config: dict[str, Any]) -> dict[str, Any]:
        return everything_on(config) | {"workers": options.workers}

    with (
        bench.upstream() as upstream,
        bench.tollhouse(options.command, name="one", change=everything_on) as one,
        bench.tollhouse(options.command, name="several", change=several) as many,
    ):
        for process, cores in (
            (upstream, placement.load),
            (one.process, placement.gateway),
            (many.process, placement.gateway),
        ):
            process.pin(*cores)
        works = (get1k(bench.policy, 128), floods(bench.policy)[0])
        return [_row(load, upstream, one, many, work, options) for work in works]


def _row(
    load: Load,
    upstream: Process,
    one: Subject,
    many: Subject,
    work: Work,
    options: argparse.Namespace,
) -> Row:
    def slice_(subject: Subject) -> Slice:
        return load.run(subject.port, subject.process, upstream, options.seconds, work=work)

    slice_(one), slice_(many)  # warm-up
    before = many.process.cpu_seconds_each()
    pairs = [Pair(slice_(one), slice_(many)) for _ in range(options.rounds)]
    after = many.process.cpu_seconds_each()
    if before.keys() != after.keys():
        raise Unusable(f"{work.title}: a worker was replaced; its log: {many.process.log}")
    failed = sum(pair.reference.failures + pair.subject.failures for pair in pairs)
    if failed:
        raise Unusable(f"{work.title}: {failed} requests failed")
    return Row(work.title, pairs, [after[pid] - before[pid] for pid in before])


INTRODUCTION: Final = """# Workers

Written by `make bench-workers`: one gateway with one worker and one with several, everything on, in turn.

"""


def report(rows: Sequence[Row], placement: Placement, workers: int, facts: str) -> str:
    """Return the table and what it means."""
    head = ("load", "requests/s, 1 worker", f"{workers} workers", "times", "CPU per request, 1 worker",
            "times", "cores used by gateway", "load", "upstream", "each process of the gateway")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    if placement.has_room:
        remark = "The load has cores of its own: `times` is what the workers gain."
    else:
        dearer = median(rows[0].pairs, cpu)
        remark = (
            f"Gateway, upstream and load share {len(placement.gateway)} cores, all of them busy, so throughput cannot "
            f"grow {workers} times. A request costs {dearer:.2f} times the CPU time that it costs with one worker: "
            f"with room for the load that is {workers / dearer:.2f} times the throughput, as long as the kernel "
            "spreads connections evenly (the last column)."
        )
    warning = disturbance(pair for row in rows for pair in row.pairs)
    origin = f"{facts}." + f" {warning}." * bool(warning)
    return "\n".join([*lines, "", textwrap.fill(remark, 120), "", textwrap.fill(origin, 120)])


def _cells(row: Row) -> list[str]:
    total = sum(row.each) or 1.0
    return [
        row.title,
        f"{median(row.pairs, lambda p: p.reference.requests_per_second):,.0f}",
        f"{median(row.pairs, lambda p: p.subject.requests_per_second):,.0f}",
        f"{median(row.pairs, throughput):.2f}",
        f"{median(row.pairs, lambda p: p.reference.cpu_per_request) * 1e6:.1f} us",
        f"{median(row.pairs, cpu):.2f}",
        f"{median(row.pairs, lambda p: p.subject.core_share):.2f}",
        f"{median(row.pairs, lambda p: p.subject.load_share):.2f}",
        f"{median(row.pairs, lambda p: p.subject.upstream_share):.2f}",
        ", ".join(f"{spent / total:.0%}" for spent in row.each),
    ]


if __name__ == "__main__":
    sys.exit(main())
