"""The reference of all metrics, for `docs/`: generated from the declarations, so it cannot lie."""

from __future__ import annotations

from typing import Final

from gateway.telemetry.families import FAMILIES, Family, Merge

_HEAD = ("Metric", "Type", "Labels", "Meaning")

_OF_SEVERAL: Final[dict[Merge, str]] = {
    "sum": "",
    "min": " Of several workers: the least.",
    "max": " Of several workers: the greatest.",
}


def render_metrics_reference(namespace: str = "tollhouse") -> str:
    """Return a Markdown table: one line per metric with its type, labels, meaning and buckets."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(namespace, family) for family in FAMILIES)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(namespace: str, family: Family) -> tuple[str, str, str, str]:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
    meaning = family.meaning
    if family.buckets:
        meaning += f" Buckets up to: {', '.join(f'{bound:g}' for bound in family.buckets)}."
    meaning += _OF_SEVERAL[family.merge]
    return f"`{namespace}_{family.name}`", family.kind, labels, meaning
