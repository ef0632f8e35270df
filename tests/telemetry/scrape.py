"""Reads what metrics export."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics import Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics) -> Samples:
    """Return every exported sample by name (without namespace) and labels."""
    return {
        (sample.name.removeprefix("tollhouse_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


def total(metrics: Metrics, name: str) -> float:
    return sum(number for (found, _), number in samples(metrics).items() if found == name)
