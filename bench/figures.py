"""The pages of a run for the documentation: `peers.md` and `peers.svg`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import report as tables
from bench.machine import Unusable
from bench.plot import Bar, Bars, page
from bench.report import Report
from bench.slices import Pair, cpu, median, throughput
from bench.subjects import EVERYTHING_ON, OURS

INTRODUCTION: Final = """# Tollhouse beside other gateways

Written by `make bench-docs`; `make bench` prints the same tables, `make bench-full` measures longer. Every subject
carries out one policy: 1,000 keys, 20 routes with scopes, a limit per key, counts per route. Before anything is
measured each has to answer 200, 401, 403, 404 and 429 where it should, and bodies have to arrive whole.

*Everything on* is what the targets are about: keys as HMAC, scopes, address rules of key, tenant and route, buckets of
key, tenant and route, identity fields, rate-limit fields, request ids, metrics, the access log in a file, the record
of last use. *Same policy* leaves out what the others do not do: no log, no such fields, one bucket.
"""

SECTIONS: Final = {
    "Small answers": "GET of 1 KiB over 64 keep-alive connections, in turn 100 keys on 12 targets; one worker each.",
    "Large answers and request bodies": "64 connections.",
    "Latency": "Added to asking the upstream directly in the same round. One connection: gateway, upstream and load on "
    "one core, so that waking another core does not count. Constant rate: 70 % of what the subject managed "
    "above (at most 25,000/s, what the load manages), timed from when each request was due.",
    "Floods": "What a refusal costs beside a forwarded request of the same subject, 64 connections. An address whose "
    "keys keep failing is throttled by default; here it is not, so that every request is judged.",
}
"""What stands below each heading, before its table."""


def write(report: Report, folder: Path) -> None:
    """Write the page and the chart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.md").write_text(markdown(report), "utf-8")
    (folder / "peers.svg").write_text(svg(report), "utf-8")


README_BEGIN: Final = "<!-- written by make bench-docs: begin -->\n"
README_END: Final = "<!-- written by make bench-docs: end -->\n"


def write_into(page_: Path, report: Report) -> None:
    """Replace the short table between the two marks of a page."""
    before, after = marked(page_)
    short = f"{tables.short_table(report)}\n\n{_wrapped(_origin(report))}\n"
    page_.write_text(before + README_BEGIN + short + README_END + after, "utf-8")


def _origin(report: Report) -> str:
    warning = tables.disturbed(report.results)
    return f"{report.facts}." + (f" {warning}." if warning else "")


def marked(page_: Path) -> tuple[str, str]:
    """Return what stands before and after the short table; raise `Unusable` without its two marks."""
    before, _, rest = page_.read_text("utf-8").partition(README_BEGIN)
    _, mark, after = rest.partition(README_END)
    if not mark:
        raise Unusable(f"{page_}: the marks of its short table are missing: {README_BEGIN.strip()}")
    return before, after


def text(report: Report) -> str:
    """Return the tables as a command prints them."""
    parts = [part for _, part in _sections(report)]
    return "\n\n".join([*parts, *_comparisons(report), tables.notes(report)])


def markdown(report: Report) -> str:
    """Return the page."""
    parts = [
        INTRODUCTION,
        "![Requests per second and CPU time per request of each gateway](peers.svg)\n",
    ]
    for title, table in _sections(report):
        parts.append(f"## {title}\n\n{_wrapped(SECTIONS[title])}\n\n{table}\n")
        if title == "Small answers":
            parts += [_bullet(line) for line in _comparisons(report)] + [""]
    bullets = [_bullet(line.removeprefix("- ")) for line in tables.notes(report).splitlines()]
    parts.append("## How to read this\n\n" + "\n".join(bullets) + "\n")
    return "\n".join(parts)


def svg(report: Report) -> str:
    """Return the chart: throughput as a share of plain nginx, and CPU time per request."""
    pairs = report.results.works["get1k"]
    names = [row.name for row in report.rows]

    def bars(title: str, figure: str) -> Bars:
        return Bars(title, [_bar(name, pairs[name], figure) for name in names])

    panels = [
        bars("Requests per second, as a share of plain nginx (longer is better)", "rate"),
        bars("CPU time per request (shorter is better)", "cpu"),
    ]
    return page(
        panels,
        "GET of 1 KiB, 64 connections, one core per gateway; medians of pairs with plain nginx",
    )


def _bar(name: str, pairs: list[Pair], figure: str) -> Bar:
    is_ours = name in OURS
    if figure == "rate":
        share = median(pairs, throughput)
        rate = median(pairs, lambda p: p.subject.requests_per_second)
        return Bar(name, share, f"{share:.2f} ({rate:,.0f}/s)", is_ours)
    spent = median(pairs, lambda p: p.subject.cpu_per_request) * 1e6
    return Bar(name, spent, f"{spent:.1f} us ({median(pairs, cpu):.1f}x)", is_ours)


def _sections(report: Report) -> Iterator[tuple[str, str]]:
    made = (
        tables.main_table(report),
        tables.bodies_table(report),
        tables.latency_table(report),
        tables.floods_table(report),
    )
    return ((title, table) for title, table in zip(SECTIONS, made, strict=True) if table)


def _comparisons(report: Report) -> list[str]:
    others = [
        row.name for row in report.rows[1:] if row.name not in OURS
    ]  # the table tells the first
    lines = (tables.against(report.results, EVERYTHING_ON, other) for other in others)
    return [line for line in lines if line]


def _bullet(text_: str) -> str:
    return "\n".join(textwrap.wrap(text_, 118, initial_indent="- ", subsequent_indent="  "))


def _wrapped(text_: str) -> str:
    return textwrap.fill(text_, 120)
