from __future__ import annotations

from gateway.telemetry.families import FAMILIES
from gateway.telemetry.reference import render_metrics_reference


def test_the_reference_has_one_line_for_every_metric() -> None:
    lines = render_metrics_reference("gate").splitlines()
    assert lines[0] == "| Metric | Type | Labels | Meaning |"
    assert len(lines) == len(FAMILIES) + 2
    for family, line in zip(FAMILIES, lines[2:], strict=True):
        assert line.startswith(f"| `gate_{family.name}` | {family.kind} | ")
        assert family.meaning in line
        assert line.count(" | ") == 3
        for label in family.labels:
            assert f"`{label}`" in line


def test_what_several_workers_make_is_told_where_it_is_no_sum() -> None:
    text = render_metrics_reference()
    for name, ending in (("store_up", "the least"), ("config_generation", "the greatest")):
        (line,) = (line for line in text.splitlines() if f"_{name}`" in line)
        assert line.endswith(f" Of several workers: {ending}. |")
    assert "Of several" not in next(row for row in text.splitlines() if "_connections`" in row)


def test_buckets_are_named_in_the_unit_of_the_metric() -> None:
    (line,) = (
        line for line in render_metrics_reference().splitlines() if "_overhead_seconds`" in line
    )
    assert "Buckets up to: 5e-05, 0.0001," in line
    assert line.endswith("0.05. |")
