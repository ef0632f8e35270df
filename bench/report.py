"""The table of a run, in Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.load import Pair, clean, median

HEAD = (
    "subject",
    "requests/s",
    "of plain nginx",
    "CPU per request",
    "of plain nginx's CPU",
    "p50",
    "p99",
    "memory",
    "policy answers",
    "failures",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One subject's pairs, memory (bytes) and the answers that were verified."""

    name: str
    pairs: Sequence[Pair]
    memory_bytes: int
    policy_seen: str


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table; every figure is a median, every ratio one of pairs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "---:|" * (len(HEAD) - 1)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def notes(rows: Mapping[str, Row], python: str, *, are_separate: bool, seconds: int) -> str:
    """Return what a reader must know to judge the table."""
    pairs = [pair for row in rows.values() for pair in row.pairs]
    plain = sorted(pair.plain.requests_per_second for pair in pairs)
    share = min(median(row.pairs, lambda pair: pair.subject.core_share) for row in rows.values())
    counted = sum(len(clean(row.pairs)) for row in rows.values())
    rounds = len(next(iter(rows.values())).pairs)
    lines = [
        f"{rounds} slices of {seconds} s per subject, each after one of plain nginx. Figures are "
        f"medians; ratios are medians over these pairs. Plain nginx itself moved between "
        f"{plain[0]:,.0f} and {plain[-1]:,.0f} requests/s meanwhile.",
        f"{counted} of {len(pairs)} pairs count; during the rest foreign processes used the cores.",
        f"64 keep-alive connections, answers of 1 KiB; 1,000 keys, of which 100 call 12 targets; "
        f"20 routes. {python} on {platform.machine()}; gateways on one core, upstream and load on "
        + ("another." if are_separate else "THE SAME core: compare CPU per request only."),
    ]
    if share < 0.9 and are_separate:
        lines.append(
            f"A gateway was busy only {share:.0%} of the time: the load side was its limit, so "
            "compare CPU per request."
        )
    return "\n".join(f"- {line}" for line in lines)


def against(subject: Row, other: Row) -> str:
    """Return how `subject` compares with `other`, round by round."""
    both = list(zip(subject.pairs, other.pairs, strict=True))
    undisturbed = [(a, b) for a, b in both if a.is_clean and b.is_clean]
    rounds = [(a.subject, b.subject) for a, b in undisturbed or both]
    throughput = statistics.median(a.requests_per_second / b.requests_per_second for a, b in rounds)
    cpu = statistics.median(a.cpu_per_request / b.cpu_per_request for a, b in rounds)
    return (
        f"{subject.name} against {other.name}: {throughput:.2f} times the requests/s, "
        f"{cpu:.2f} times the CPU per request."
    )


def _cells(row: Row) -> list[str]:
    pairs = row.pairs
    rate = median(pairs, lambda p: p.subject.requests_per_second)
    share = median(pairs, lambda p: p.subject.requests_per_second / p.plain.requests_per_second)
    cpu = median(pairs, lambda p: p.subject.cpu_per_request)
    ratio = median(pairs, lambda p: p.subject.cpu_per_request / p.plain.cpu_per_request)
    return [
        row.name,
        f"{rate:,.0f}",
        f"{share:.2f}",
        f"{cpu * 1e6:.1f} us",
        f"{ratio:.2f}",
        f"{median(pairs, lambda p: p.subject.latency_p50) * 1e3:.2f} ms",
        f"{median(pairs, lambda p: p.subject.latency_p99) * 1e3:.2f} ms",
        f"{row.memory_bytes / 2**20:.0f} MiB",
        row.policy_seen,
        str(sum(pair.subject.failures for pair in pairs)),
    ]
