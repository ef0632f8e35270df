"""Turns numbers into what `prometheus_client` renders, and lets it.

Knows the shapes of `prometheus_client`; it must not know where numbers come from.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from gateway.telemetry.crew import Crew
from gateway.telemetry.families import FAMILIES, Family
from gateway.telemetry.process import MEANINGS
from gateway.telemetry.readings import EXEMPLARS, WATCHED_MAX
from gateway.telemetry.series import Numbers

NO_EXEMPLARS: Final[Mapping[tuple[str, ...], float]] = {}


class Exposition:
    """All metrics of the processes of `crew` at one moment; `build` are the labels of the build."""

    def __init__(
        self, crew: Crew, build: Mapping[str, str], *, namespace: str, has_process: bool
    ) -> None:
        self._crew = crew
        self._build = build
        self._namespace = namespace
        self._has_process = has_process

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text and its content type; OpenMetrics if `accept` prefers it."""
        registry = CollectorRegistry()
        registry.register(self)
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family (the collector protocol of `prometheus_client`)."""
        readings = self._crew.read()
        exemplars = readings.pop(EXEMPLARS.name, NO_EXEMPLARS)
        for name, values in readings.items():
            if len(values) > WATCHED_MAX:
                self._crew.count_dropped(name, len(values) - WATCHED_MAX)
        counted = self._crew.counted()
        for family in FAMILIES:
            if family.kind == "info":
                yield info_metric(self._namespace, family, self._build)
            elif family.name in counted:
                yield self._accumulated(family, counted[family.name].items(), exemplars)
            elif family.name in readings:
                told = list(readings[family.name].items())[:WATCHED_MAX]
                yield flat_metric(self._namespace, family, told)
        if self._has_process:
            yield from process_metrics(self._crew.used())

    def _accumulated(
        self,
        family: Family,
        children: Iterable[tuple[tuple[str, ...], list[float]]],
        exemplars: Mapping[tuple[str, ...], float],
    ) -> Metric:
        if family.name == "request_duration_seconds":
            return histogram_metric(self._namespace, family, children, exemplars)
        if family.kind == "histogram":
            return histogram_metric(self._namespace, family, children)
        values = ((labels, numbers[0]) for labels, numbers in children)
        return flat_metric(self._namespace, family, values)


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
    namespace: str,
    family: Family,
    children: Iterable[tuple[tuple[str, ...], Numbers]],
    exemplars: Mapping[tuple[str, ...], float] = NO_EXEMPLARS,
) -> Metric:
    """Return a histogram: cumulative buckets, count and sum per label set.

    `exemplars` are values by the first label and the trace that each was measured in.
    """
    metric = HistogramMetricFamily(
        f"{namespace}_{family.name}", family.meaning, labels=family.labels
    )
    bounds = [*map(floatToGoString, family.buckets), "+Inf"]
    examples = _by_bucket(family, exemplars)
    for labels, numbers in children:
        cumulative = accumulate(numbers[:-1])
        buckets = list(zip(bounds, cumulative, strict=True))
        metric.add_metric(labels, _with_examples(labels[:1], buckets, examples), numbers[-1])
    return metric


def _with_examples(
    label: tuple[str, ...],
    buckets: list[tuple[str, float]],
    examples: Mapping[tuple[tuple[str, ...], int], Exemplar],
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    return [
        (*bucket, examples[label, n]) if (label, n) in examples else bucket
        for n, bucket in enumerate(buckets)
    ]


def _by_bucket(
    family: Family, exemplars: Mapping[tuple[str, ...], float]
) -> dict[tuple[tuple[str, ...], int], Exemplar]:
    return {
        ((label,), bisect_left(family.buckets, value)): Exemplar({"trace_id": trace_id}, value)
        for (label, trace_id), value in exemplars.items()
    }


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
