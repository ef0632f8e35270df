"""What the figures of starts say, and that a start is measured as it is."""

from __future__ import annotations

from pathlib import Path

from bench.start import WAYS, Started, Way, _configured, report
from bench.subjects import ROOT
from gateway.config.load import check


def started(seconds: float, back: float | None = None) -> Started:
    return Started(
        answered=2 * seconds,
        answered_cpu=seconds,
        ready=3 * seconds,
        ready_cpu=1.5 * seconds,
        each_cpu=(seconds, seconds / 2),
        resident=(80 * 2**20, 40 * 2**20),
        back=back,
    )


def test_the_table_has_medians_the_worst_and_each_process() -> None:
    text = report({WAYS[2]: [started(1.0, 0.5), started(3.0, 0.9), started(2.0, 0.7)]}, 1.5)
    assert "| `workers: 2` | 2.00 s | 4.00 s, 6.00 s | 3.00 s | 6.00 s, 9.00 s |" in text
    assert "| 2.00 s, 1.00 s | 80 MiB, 40 MiB | 0.70 s |" in text
    assert "Medians of 3 starts" in text
    assert "load was 1.5 before" in text


def test_every_way_starts_with_the_shipped_configuration_on_ports_of_its_own(
    tmp_path: Path,
) -> None:
    for place, way in enumerate(WAYS):
        path = _configured(way, tmp_path / str(place), ROOT, 10_001, 10_002)
        config, problems = check(path, {})
        assert problems == []
        assert config is not None
        assert config.listeners.public.bind == "127.0.0.1:10001"
        assert config.listeners.metrics.bind == "127.0.0.1:10002"
        assert config.workers == (2 if "workers" in way.name else 1)


def test_a_way_without_figures_is_left_out() -> None:
    assert "| odd |" not in report({Way("odd"): [], WAYS[0]: [started(1.0)]}, 0.0)
