"""What grew, as tables and as a chart: the cost at each size beside the cost at the smallest."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.plot import Line, Lines, page
from bench.slices import Pair, Slice, compared, disturbance, median

FLAT: Final = (0.9, 1.1)
"""What the target calls flat."""

TITLES: Final = {
    "routes": "Routes: half of them templates, the load spread over all of them",
    "keys": "Keys in SQLite, of which the gateway keeps 100,000 in memory",
    "connections": "Connections, all of them busy",
}

INTRODUCTION: Final = """# Growth

Written by `make bench-growth`. CPU time of the gateway per request, everything on, 1 KiB answers: at each size
beside the smallest size, round by round, each slice divided by one of plain nginx that ran right before it. The sizes
run side by side and take turns. A request should cost the same within 10 % (the band in the chart).

![CPU time per request as routes, keys and connections grow](growth.svg)
"""

REMARKS: Final = {
    "routes": "The gateway executes as many instructions per request with 10,000 routes as with 10 (callgrind: 209,500 "
    "and 213,400): what is left of growth is that the routes, heads and counts of so many are not in the caches of the "
    "processor.",
    "keys": "With every key as likely as any other, a store larger than the memory for keys makes most requests look "
    "theirs up in SQLite, and no request head is the same as one before: the worst case, not the usual one.",
    "connections": "Plain nginx is compared with itself at the smallest number, too. Each slice opens its connections "
    "anew; one of many lasts longer, so that this weighs little. What is left of growth is the kernel's and the "
    "caches': nginx grows more.",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One size and its pairs with plain nginx."""

    size: int
    pairs: Sequence[Pair]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart, from the smallest size on."""

    name: str
    points: Sequence[Point]

    def relative(self) -> list[tuple[float, float]]:
        """Return (size, cost beside that of the smallest size)."""
        first = self.points[0].pairs
        return [(point.size, compared(point.pairs, first, _cpu)) for point in self.points]


@dataclass(frozen=True, slots=True)
class Group:
    """One thing that grew: its name, what an axis calls it, its curves."""

    name: str
    label: str
    curves: Sequence[Curve]


def write(groups: Sequence[Group], facts: str, folder: Path | None) -> str:
    """Return the tables, and write page and chart if there is a folder for them."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "growth.md").write_text(markdown(groups, facts), "utf-8")
        (folder / "growth.svg").write_text(svg(groups), "utf-8")
    return "\n\n".join(map(table, groups)) + f"\n\n{facts}"


def markdown(groups: Sequence[Group], facts: str) -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for group in groups:
        remark = "\n".join(textwrap.wrap(REMARKS.get(group.name, ""), 120))
        parts.append(
            f"## {TITLES[group.name]}\n\n{table(group)}\n" + f"\n{remark}\n" * bool(remark)
        )
    pairs = [p for g in groups for curve in g.curves for point in curve.points for p in point.pairs]
    warning = disturbance(pairs)
    parts.append(textwrap.fill(f"{facts}." + f" {warning}." * bool(warning), 120) + "\n")
    return "\n".join(parts)


def table(group: Group) -> str:
    """Return one table: a row per size, for each curve its cost and its cost beside the smallest size's."""
    head = [group.label]
    for curve in group.curves:
        head += [f"{curve.name}: CPU per request", "beside the smallest", "requests/s"]
    lines = ["| " + " | ".join(head) + " |", "|---:|" + "---:|" * (len(head) - 1)]
    relative = [dict(curve.relative()) for curve in group.curves]
    for n, point in enumerate(group.curves[0].points):
        cells = [f"{point.size:,}"]
        for curve, beside in zip(group.curves, relative, strict=True):
            pairs = curve.points[n].pairs
            cells.append(f"{median(pairs, lambda p: p.subject.cpu_per_request) * 1e6:.1f} us")
            cells.append(f"{beside[point.size]:.2f}")
            cells.append(f"{median(pairs, lambda p: p.subject.requests_per_second):,.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def svg(groups: Sequence[Group]) -> str:
    """Return the chart: a panel per group."""
    panels = [
        Lines(
            TITLES[group.name],
            group.label,
            [Line(curve.name, curve.relative()) for curve in group.curves],
            band=FLAT,
        )
        for group in groups
    ]
    return page(
        panels, "CPU time per request beside that of the smallest size; the band is 10 % either way"
    )


def _cpu(part: Slice) -> float:
    return part.cpu_per_request
