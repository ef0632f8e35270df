"""The tables of a run, in Markdown: pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.session import Pairs, Results
from bench.slices import (
    ENOUGH,
    Pair,
    added_p50,
    added_p99,
    clean,
    compared,
    cpu,
    disturbance,
    median,
    throughput,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One subject: its name, resident bytes after the run, what `verify` saw, and what it lacks."""

    name: str
    memory_bytes: int
    policy_seen: str
    lacks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is known of a run."""

    rows: Sequence[Row]
    results: Results
    facts: str
    seconds: int
    are_cores_separate: bool
    absent: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def main_table(report: Report) -> str:
    """Return the table of small answers: throughput and CPU time against plain nginx, round by round."""
    pairs = report.results.works.get("get1k", {})
    head = ("subject", "requests/s", "of plain nginx", "CPU per request", "of plain nginx's CPU",
            "core used", "memory", "answers", "failed")  # fmt: skip
    return _table(head, (_main_cells(row, pairs[row.name]) for row in report.rows)) if pairs else ""


def short_table(report: Report) -> str:
    """Return the table for a reader in a hurry."""
    pairs, latency = report.results.works.get("get1k", {}), report.results.latency
    head = ("subject", "requests/s", "of plain nginx", "CPU per request", "of plain nginx's CPU",
            "added p50, one connection")  # fmt: skip
    rows = (
        [*_main_cells(row, pairs[row.name])[:5], _added(latency.get(row.name))[0]]
        for row in report.rows
        if row.name in pairs
    )
    return _table(head, rows)


def _main_cells(row: Row, pairs: Sequence[Pair]) -> list[str]:
    return [
        row.name,
        f"{median(pairs, lambda p: p.subject.requests_per_second):,.0f}",
        f"{median(pairs, throughput):.2f}",
        f"{median(pairs, lambda p: p.subject.cpu_per_request) * 1e6:.1f} us",
        f"{median(pairs, cpu):.2f}",
        f"{median(pairs, lambda p: p.subject.core_share):.0%}",
        f"{row.memory_bytes / 2**20:.0f} MiB",
        row.policy_seen,
        str(sum(pair.subject.failures for pair in pairs)),
    ]


def bodies_table(report: Report) -> str:
    """Return the table of large answers and of requests with a body."""
    works = [w for name in ("get100k", "post10k") if (w := report.results.works.get(name))]
    if len(works) < 2:
        return ""
    head = ("subject", "GET 100 KiB: CPU", "of plain nginx's CPU", "requests/s of plain nginx",
            "POST 10 KiB: CPU", "of plain nginx's CPU", "requests/s of plain nginx")  # fmt: skip
    rows = (
        [row.name, *(cell for work in works for cell in _body_cells(work[row.name]))]
        for row in report.rows
    )
    return _table(head, rows)


def _body_cells(pairs: Sequence[Pair]) -> list[str]:
    spent = median(pairs, lambda p: p.subject.cpu_per_request) * 1e6
    return [f"{spent:.1f} us", f"{median(pairs, cpu):.2f}", f"{median(pairs, throughput):.2f}"]


def latency_table(report: Report) -> str:
    """Return what each subject adds to asking the upstream directly."""
    latency, steady = report.results.latency, report.results.steady
    if not latency and not steady:
        return ""
    head = ("subject", "one connection: added p50", "added p99", "at a constant rate of",
            "core used", "added p50", "added p99", "load late by (p99)")  # fmt: skip
    rows = (
        [row.name, *_added(latency.get(row.name)), *_steady_cells(steady.get(row.name))]
        for row in report.rows
    )
    return _table(head, rows)


def _added(pairs: Sequence[Pair] | None) -> list[str]:
    if not pairs:
        return ["", ""]
    return [f"{median(pairs, figure) * 1e6:,.0f} us" for figure in (added_p50, added_p99)]


def _steady_cells(pairs: Sequence[Pair] | None) -> list[str]:
    if not pairs:
        return [""] * 5
    return [
        f"{median(pairs, lambda p: p.subject.requests_per_second):,.0f}/s",
        f"{median(pairs, lambda p: p.subject.core_share):.0%}",
        *_added(pairs),
        f"{median(pairs, lambda p: p.subject.late_p99) * 1e6:,.0f} us",
    ]


def floods_table(report: Report) -> str:
    """Return what a refusal costs as a share of a forwarded request of the same subject."""
    floods = report.results.floods
    names = [row.name for row in report.rows if any(row.name in by for by in floods.values())]
    head = ["refused", *(cell for name in names for cell in (f"{name}: CPU", "of forwarded"))]
    rows = (
        [title, *(cell for name in names for cell in _flood_cells(by.get(name)))]
        for title, by in floods.items()
    )
    return _table(head, rows) if floods else ""


def _flood_cells(pairs: Sequence[Pair] | None) -> list[str]:
    if not pairs:
        return ["", ""]
    spent = median(pairs, lambda p: p.subject.cpu_per_request) * 1e6
    return [f"{spent:.1f} us", f"{median(pairs, cpu):.2f}"]


def against(results: Results, name: str, other: str) -> str:
    """Return how one subject compares with another, round by round; empty when one is missing."""
    pairs = results.works.get("get1k", {})
    if name not in pairs or other not in pairs or name == other:
        return ""
    ours, theirs = pairs[name], pairs[other]
    rate = compared(ours, theirs, lambda part: part.requests_per_second)
    spent = compared(ours, theirs, lambda part: part.cpu_per_request)
    return f"{name} against {other}: {spent:.2f} times the CPU per request, {rate:.2f} times the requests/s."


def notes(report: Report) -> str:
    """Return what a reader must know to judge the tables, one line each."""
    pairs = [pair for by in _all_pairs(report.results) for some in by.values() for pair in some]
    counted = sum(len(clean(some)) for by in _all_pairs(report.results) for some in by.values())
    plain = report.results.works.get("get1k", {}).get("plain nginx")
    lines = [f"{report.facts}. " + _placement(report)]
    if plain:
        rates = sorted(pair.reference.requests_per_second for pair in plain)
        itself = sorted(throughput(pair) for pair in plain)
        lines.append(
            f"Medians; ratios are medians over pairs of slices ({report.seconds} s) taken right after "
            f"each other. Plain nginx against itself, which shows the noise: {itself[0]:.2f} to "
            f"{itself[-1]:.2f}; its requests/s moved between {rates[0]:,.0f} and {rates[-1]:,.0f}."
        )
    stolen = max((pair.subject.stolen_share for pair in pairs), default=0.0)
    lines.append(
        f"{sum(pair.is_clean for pair in pairs)} of {len(pairs)} pairs were undisturbed, {counted} count (all of a "
        f"subject's, where fewer than {ENOUGH} were). The host took {stolen:.1%} of a core at most."
    )
    lines += [warning] if (warning := disturbed(report.results)) else []
    lines += [f"{row.name} lacks {row.lacks}." for row in report.rows if row.lacks]
    lines += [f"Not measured: {name} ({why})." for name, why in report.absent.items()]
    lines += [
        f"Left out: {name}, because {why.splitlines()[0]}." for name, why in report.failed.items()
    ]
    return "\n".join(f"- {line}" for line in lines)


def disturbed(results: Results) -> str:
    """Return a warning when other processes were at work most of the time, else nothing."""
    return disturbance(p for by in _all_pairs(results) for some in by.values() for p in some)


def _placement(report: Report) -> str:
    if not report.are_cores_separate:
        return "Gateway, upstream and load share ONE core: compare CPU per request only."
    return (
        "Gateways on one core, upstream and load on another. Where less than 90 % of the core was used, the load side "
        "was the limit, or somebody else: compare CPU per request."
    )


def _all_pairs(results: Results) -> Iterable[Pairs]:
    return [*results.works.values(), results.latency, results.steady, *results.floods.values()]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
