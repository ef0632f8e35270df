"""The metrics of the gateway: what counts, what is read elsewhere, and how both are exported.

Puts the parts together. One process that counts and exports, a worker that only counts (its rows lie in shared memory),
and a supervisor that exports what all count are the same class: only where the rows lie differs.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from gateway.build import BUILD
from gateway.telemetry.crew import Crew
from gateway.telemetry.exposition import (
    NO_EXEMPLARS,
    flat_metric,
    histogram_metric,
    info_metric,
    process_metrics,
)
from gateway.telemetry.families import FAMILIES, Family
from gateway.telemetry.readings import EXEMPLARS, WATCHED_MAX, Reading, Readings, Watch
from gateway.telemetry.rows import ListRows, Rows
from gateway.telemetry.tally import Tally
from gateway.telemetry.totals import Totals

SERIES_BUDGET: Final = 20_000


class Metrics:
    """Counts requests (`tally` implements `Recorder`); renders all metrics of the process and its workers (`crew`).

    `routes`, `upstreams` and `policies` are the names that may become labels (`declare` replaces them);
    `series_budget` is the most series that accumulate, whatever is requested. `has_process` adds
    the metrics of the processes (memory, CPU, descriptors). `rows` are where another process reads what this counts.
    Raises `ValueError` for a budget too small to hold one series of everything.
    """

    def __init__(
        self,
        *,
        namespace: str = "tollhouse",
        version: str,
        revision: str = "",
        routes: Iterable[str] = (),
        upstreams: Iterable[str] = (),
        policies: Iterable[str] = (),
        series_budget: int = SERIES_BUDGET,
        has_process: bool = True,
        rows: Rows | None = None,
    ) -> None:
        self._namespace = namespace
        self._build = {
            "version": version,
            "python": platform.python_version(),
            "revision": revision,
            "build": BUILD,
        }
        self._has_process = has_process
        self._watch = Watch()
        own = ListRows(series_budget)
        self.crew = Crew(Totals(series_budget), own if rows is None else None, self._watch)
        self.tally = Tally(rows or own, series_budget, self.crew.relieve)
        # Bound once: every request is recorded through this name.
        self.record = self.tally.record
        self.count = self.tally.count
        self.observe = self.tally.observe
        self._render_lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.declare(routes=routes, upstreams=upstreams, policies=policies)

    def declare(
        self,
        *,
        routes: Iterable[str] = (),
        upstreams: Iterable[str] = (),
        policies: Iterable[str] = (),
    ) -> None:
        """Allow these names as labels, those of the configuration in force.

        Series of upstreams and policies start at 0. A route's series begin with its first request: there may be
        thousands, and the budget is for those that are used. A name that left keeps its numbers, because it may come
        back, until others need the room.
        """
        names = (tuple(routes), tuple(upstreams), tuple(policies))
        self.tally.declare(*names)
        self.crew.declare(*names)

    def watch(self, name: str, read: Callable[[], Reading]) -> None:
        """Let `read` tell the metric `name` at each scrape (see `Watch.put`)."""
        self._watch.put(name, read)

    def readings(self) -> Readings:
        """Return what this process alone tells of the watched metrics, for the supervisor."""
        return self._watch.read()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type; OpenMetrics if `accept` prefers it.

        May run in any thread; takes milliseconds per thousand series.
        """
        encoder, content_type = choose_encoder(accept)
        with self._render_lock:
            return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family (the collector protocol of `prometheus_client`)."""
        readings = self.crew.read()
        exemplars = readings.pop(EXEMPLARS.name, NO_EXEMPLARS)
        for name, values in readings.items():
            if len(values) > WATCHED_MAX:
                self.crew.count_dropped(name, len(values) - WATCHED_MAX)
        counted = self.crew.counted()
        for family in FAMILIES:
            if family.kind == "info":
                yield info_metric(self._namespace, family, self._build)
            elif family.name in counted:
                yield self._accumulated(family, counted[family.name].items(), exemplars)
            elif family.name in readings:
                told = list(readings[family.name].items())[:WATCHED_MAX]
                yield flat_metric(self._namespace, family, told)
        if self._has_process:
            yield from process_metrics(self.crew.used())

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
