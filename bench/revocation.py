"""Does anybody begin under a key that was revoked? `python -m bench.revocation`.

A gateway with 100,000 keys, everything on, under load: users ask with the keys whose turn it is, the usual load beside
them with others, and keys are revoked at random through the admin API as fast as it answers. A request that started
after the `effective_at` of its key's revocation and was let through is a failure, and there must be none: first beside
a load at less than half of what the gateway can do, whose latency is compared with that without revocations, then
beside as much load as there is room for.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.everything import everything_on
from bench.facts import Facts
from bench.figures_section import replace_section
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port
from bench.many_keys import fill, token
from bench.policy import Policy, make_policy
from bench.revoking import Revoked, Seen, Turns, admitted_late, both, refused_late
from bench.slices import Slice
from bench.subjects import GATEWAY_COMMAND, Bench, Subject

LOAD_SHARE: Final = 0.4
"""Of what the gateway can do beside the users: the rate at which latency is compared. The load at a constant rate needs
more of the processor than wrk."""

CONNECTIONS: Final = 8
"""Of the users with keys that are revoked; the load beside them has 64."""

AT_ONCE: Final = 4
"""Revocations under way at a time."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one gateway did."""

    title: str
    rate: float
    quiet: Slice
    busy: Slice
    full: Slice
    parts: Sequence[tuple[Seen, Revoked]]

    @property
    def late(self) -> int:
        """Requests that were let through though their key had been revoked before they started."""
        return sum(len(admitted_late(*part)) for part in self.parts)

    @property
    def refused(self) -> int:
        """Requests with revoked keys that started after the revocation and were refused."""
        return sum(refused_late(*part) for part in self.parts)

    @property
    def revocations(self) -> int:
        """Keys that were revoked."""
        return sum(len(revoked.effective) for _, revoked in self.parts)


def main() -> int:
    """Measure; return 0 when nobody began under a revoked key, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.revocation", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000, help="in the store (100,000)")
    parser.add_argument("--seconds", type=int, default=10, help="length of each part (10)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="to try (1 2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write revocation.md")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-revocation-") as folder:
            rows = list(_measured(options, Path(folder)))
    except Unusable as problem:
        print(f"revocation: {problem}", file=sys.stderr)
        return 1
    text = report(rows, options.keys, before)
    print(text)
    if options.write:
        replace_section(options.write / "revocation.md", "bench-revocation", text)
    return 1 if any(row.late or row.full.failures or row.busy.failures for row in rows) else 0


def _measured(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    with bench.upstream() as upstream:
        for count in options.workers:
            with _gateway(bench, options, count) as gateway:
                yield _row(gateway, upstream, load, options, count)


@contextmanager
def _gateway(bench: Bench, options: argparse.Namespace, workers: int) -> Iterator[Subject]:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        return everything_on(config) | {"workers": workers}

    def prepare(folder: Path) -> None:
        fill(folder / "tollhouse.db", options.keys, bench.policy)

    title = f"{workers} worker{'s' * (workers > 1)}"
    with bench.tollhouse(options.command, name=title, change=change, prepare=prepare) as subject:
        if workers > 1:
            subject.process.pin(*sorted(os.sched_getaffinity(0)))
        yield subject


def _row(
    gateway: Subject, upstream: Process, load: Load, options: argparse.Namespace, count: int
) -> Row:
    port, seconds = gateway.port, options.seconds
    admin = gateway.process.log.parent / "admin.sock"
    numbers = range(options.keys)
    turns = Turns(random.Random(count).sample(numbers, options.keys), numbers)
    raw, name = partial(asking, make_policy()), "many-{:07d}".format
    load.run(port, gateway.process, upstream, 1)  # warm-up

    def beside(run: Callable[[], Slice], at_once: int) -> tuple[Slice, tuple[Seen, Revoked]]:
        with ThreadPoolExecutor(1) as side:
            loading = side.submit(run)
            seen = uvloop.run(
                both(
                    [port], [admin], raw, name, turns,
                    connections=CONNECTIONS, at_once=at_once, seconds=seconds,
                )
            )  # fmt: skip
            return loading.result(), seen

    able, _ = beside(lambda: load.run(port, gateway.process, upstream, seconds), 0)
    rate = able.requests_per_second * LOAD_SHARE

    def steady() -> Slice:
        return load.run_at(port, gateway.process, upstream, seconds, rate=rate)

    quiet, _ = beside(steady, 0)
    busy, first = beside(steady, AT_ONCE)
    full, second = beside(lambda: load.run(port, gateway.process, upstream, seconds), AT_ONCE)
    return Row(gateway.name, rate, quiet, busy, full, (first, second))


def asking(policy: Policy, number: int) -> bytes:
    """Return a request with key `number` of the store."""
    route = policy.routes[0]
    head = f"{route.method} {route.example} HTTP/1.1\r\nHost: bench\r\n"
    return f"{head}Authorization: Bearer {token(number)}\r\n\r\n".encode()


def report(rows: Sequence[Row], keys: int, load_before: float) -> str:
    """Return the table and what it means."""
    head = ("", "load", "revocations", "per second", "call p50", "call p99", "requests with the keys",
            "begun after `effective_at`, refused", "let through", "p50 of the load", "p99 of the load")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        lines.append(_line(row.title, f"{row.rate:,.0f}/s", None, row.quiet))
        for what, part, slice_ in (
            (f"{row.rate:,.0f}/s", row.parts[0], row.busy),
            (f"all it takes: {row.full.requests_per_second:,.0f}/s", row.parts[1], row.full),
        ):
            lines.append(_line(row.title, what, part, slice_))
    late = sum(row.late for row in rows)
    refused = sum(row.refused for row in rows)
    verdict = (
        f"{keys:,} keys, everything on. {sum(row.revocations for row in rows):,} were revoked at random through the "
        f"admin API, {AT_ONCE} at a time. {refused:,} requests started after the `effective_at` of their key; "
        f"{'NOT KEPT: ' if late else ''}{late} of them were let through."
    )
    origin = f"{Facts.of_this_machine()}; load average before the run: {load_before:.1f}."
    return "\n".join([*lines, "", textwrap.fill(verdict, 120), "", textwrap.fill(origin, 120)])


def _line(title: str, load: str, part: tuple[Seen, Revoked] | None, slice_: Slice) -> str:
    cells = [title, load]
    if part is None:
        cells += ["none", "", "", "", "", "", ""]
    else:
        seen, revoked = part
        asked = len(seen.passed) + len(seen.refused)
        seconds = sum(revoked.seconds) / AT_ONCE
        cells += [
            f"{len(revoked.effective):,}",
            f"{len(revoked.effective) / max(seconds, 1e-9):,.0f}",
            f"{revoked.at(0.5):.1f} ms",
            f"{revoked.at(0.99):.1f} ms",
            f"{asked:,}",
            f"{refused_late(seen, revoked):,}",
            f"{len(admitted_late(seen, revoked))}",
        ]
    cells += [f"{slice_.latency_p50 * 1e3:.1f} ms", f"{slice_.latency_p99 * 1e3:.1f} ms"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
