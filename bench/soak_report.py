"""What a soak tells: whether memory, tasks and descriptors grew, as a table, a page and a curve."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.curve import draw, slope

GROWTH_MAX: Final = 3 * 2**20
"""Most bytes by which the fitted line may rise over the measured time. The allocator alone moves memory by about
one MiB; at the default load, 13 bytes lost per request would rise by three in ten minutes."""

COUNT_GROWTH_MAX: Final = 8
"""Most tasks and descriptors more than before the load: some come and go at the moment of counting. An idle connection
to the upstream for each client is no leak either."""

WARM_UP: Final = 0.25
"""Share of the run in which caches, pools and tables fill up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at `seconds`: bytes resident and proportional, and counts."""

    seconds: float
    resident: int
    proportional: int
    tasks: int
    descriptors: int
    connections: int


def told(
    answers: Mapping[int, int],
    failures: Sequence[str],
    samples: Sequence[Sample],
    options: argparse.Namespace,
) -> int:
    """Print what `samples` say, write it to `options.out` if that is given; return 1 when something failed or grew.

    The first and the last sample are from before and after the load. `answers` counts them by status.
    """
    under_load = samples[1:-1]
    first = options.seconds * WARM_UP
    curve = [(each.seconds, each.resident / 2**20) for each in under_load]
    settled = [point for point in curve if point[0] >= first] or curve
    seconds = settled[-1][0] - settled[0][0]
    growth = slope(settled)[0] * seconds * 2**20
    table = _table(answers, failures, samples, growth, seconds)
    print(table)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        title = "Resident memory of the gateway under a mixed load"
        (options.out / "soak.svg").write_text(draw(title, "MiB", curve, settled))
        (options.out / "soak.md").write_text(_page(table, options))
    problems = _problems(failures, samples, growth, options.clients)
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _problems(
    failures: Sequence[str], samples: Sequence[Sample], growth: float, clients: int
) -> list[str]:
    problems = [*failures[:10]]
    if growth > GROWTH_MAX:
        problems.append(f"memory grew by {growth / 2**20:.1f} MiB")
    before, after = samples[0], samples[-1]
    if after.tasks > before.tasks + COUNT_GROWTH_MAX:
        problems.append(f"tasks grew from {before.tasks} to {after.tasks}")
    if after.descriptors > before.descriptors + COUNT_GROWTH_MAX + clients:
        problems.append(f"descriptors grew from {before.descriptors} to {after.descriptors}")
    return problems


def _table(
    answers: Mapping[int, int],
    failures: Sequence[str],
    samples: Sequence[Sample],
    growth: float,
    seconds: float,
) -> str:
    before, after = samples[0], samples[-1]
    peak = max(sample.resident for sample in samples)
    statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(answers.items()))
    rows = (
        ("answers", statuses),
        ("failures", f"{len(failures):,}"),
        ("resident at start / peak / end",
         " / ".join(f"{each / 2**20:.1f} MiB" for each in (before.resident, peak, after.resident))),
        ("proportional at start / end",
         " / ".join(f"{each.proportional / 2**20:.1f} MiB" for each in (before, after))),
        ("fitted line after the warm-up",
         f"{growth / 2**20:+.2f} MiB in {seconds / 60:.1f} min (at most {GROWTH_MAX / 2**20:.0f})"),
        ("tasks at start / end", f"{before.tasks} / {after.tasks}"),
        ("descriptors at start / end", f"{before.descriptors} / {after.descriptors}"),
        ("connections at most / at the end",
         f"{max(sample.connections for sample in samples)} / {after.connections}"),
    )  # fmt: skip
    return "\n".join(
        ["| soak | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def _page(table: str, options: argparse.Namespace) -> str:
    minutes, mebibytes = f"{options.seconds / 60:.0f}", f"{GROWTH_MAX / 2**20:.0f}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"""# Figures: memory over time

`make bench-soak` runs a real gateway for {minutes} minutes under a mixed load: {options.clients} clients, at most
{options.rate:.0f} requests per second, on connections that carry 1 to 400 requests, some of which end in the middle of
a request; bodies of up to 300 KB both ways; unknown keys from 2,048 addresses; every second a key is made, used and
revoked, every ten seconds another configuration comes into force. The first quarter is the warm-up, in which caches
and pools fill; the dashed line is fitted to the rest and may rise by {mebibytes} MiB.

![Resident memory over time](soak.svg)

{table}

{python}, {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}.
"""
