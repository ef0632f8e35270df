"""Turns numbers into what `prometheus_client` renders.

Knows the shapes of `prometheus_client`; it must not know where numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from gateway.telemetry.families import Family
from gateway.telemetry.process import MEANINGS
from gateway.telemetry.series import Numbers


def flat_metric(
    namespace: str, family: Family, values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """Return a counter or gauge with one sample per label set."""
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(f"{namespace}_{family.name}", family.meaning, labels=family.labels)
    for labels, value in values:
        metric.add_metric(labels, value)
    return metric


def histogram_metric(
    namespace: str, family: Family, children: Iterable[tuple[tuple[str, ...], Numbers]]
) -> Metric:
    """Return a histogram: cumulative buckets, count and sum per label set."""
    metric = HistogramMetricFamily(
        f"{namespace}_{family.name}", family.meaning, labels=family.labels
    )
    bounds = [*map(floatToGoString, family.buckets), "+Inf"]
    for labels, numbers in children:
        cumulative = accumulate(numbers[:-1])
        metric.add_metric(labels, list(zip(bounds, cumulative, strict=True)), numbers[-1])
    return metric


def info_metric(namespace: str, family: Family, values: Mapping[str, str]) -> Metric:
    """Return a constant 1 that carries `values` as labels."""
    name = family.name.removesuffix("_info")
    metric = InfoMetricFamily(f"{namespace}_{name}", family.meaning)
    metric.add_metric((), dict(values))
    return metric


def process_metrics(values: Mapping[str, float]) -> Iterator[Metric]:
    """Yield what the processes use, under the names that all Prometheus clients give it."""
    for name, (kind, meaning) in MEANINGS.items():
        if name in values:
            make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            yield make(name, meaning, value=values[name])
