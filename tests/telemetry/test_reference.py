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


def test_buckets_are_named_in_the_unit_of_the_metric() -> None:
    (line,) = (
        line for line in render_metrics_reference().splitlines() if "_overhead_seconds`" in line
    )
    assert "Buckets up to: 5e-05, 0.0001," in line
    assert line.endswith("0.05. |")
