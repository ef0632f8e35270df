"""Counts every request, and exports the numbers to Prometheus.

Knows which series an outcome belongs to; a prometheus-client counter and histogram would cost 0.6
and 1.9 us per update, so the hot path adds to plain lists, bound once per combination of labels,
and a custom collector reads them at each scrape. It must not know HTTP, nor let a request choose a
label: names that were not declared are folded.
"""

from __future__ import annotations

import logging
import platform
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from gateway.domain.outcome import Outcome
from gateway.telemetry.cells import Cell, Names, bind
from gateway.telemetry.exposition import flat_metric, histogram_metric, info_metric
from gateway.telemetry.families import (
    DECISIONS,
    FAMILIES,
    LIMIT_OUTCOMES,
    NAMED_LABELS,
    OVERHEAD_BUCKETS,
    RELOAD_RESULTS,
    REQUEST_BUCKETS,
    UNMATCHED,
    UPSTREAM_OUTCOMES,
    Family,
)
from gateway.telemetry.series import Budget, Series

SERIES_BUDGET: Final = 20_000

WATCHED_MAX: Final = 1_000
"""Label sets that one watched metric may report; its owner draws them from closed sets as well."""

Reading = float | Mapping[tuple[str, ...], float]
"""What a watched metric's owner returns: a number, or numbers by label values."""

_logger = logging.getLogger(__name__)


class Metrics:
    """Implements `Recorder`; renders all metrics of the process.

    `routes`, `upstreams` and `policies` are the names that may become labels (`declare` adds more);
    `series_budget` is the most series that accumulate, whatever is requested. `has_process` adds
    the process's own metrics (memory, CPU, descriptors). Raises `ValueError` for a budget too small
    to hold one series of everything.
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
    ) -> None:
        self._namespace = namespace
        self._build = {
            "version": version,
            "python": platform.python_version(),
            "revision": revision,
        }
        self._names = Names()
        self._declared: tuple[frozenset[str], ...] = (frozenset(),) * len(NAMED_LABELS)
        self._cells: dict[tuple[object, ...], Cell] = {}
        self._series = self._all_series(series_budget)
        self._watched: dict[str, Callable[[], Reading]] = {}
        self._cells_max = series_budget
        self._overhead = self._series["overhead_seconds"].child(())
        self._render_lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        if has_process:
            ProcessCollector(registry=self._registry)
        for decision in DECISIONS:
            self._series["auth_decisions_total"].child((decision,))
        for result in RELOAD_RESULTS:
            self._series["config_reloads_total"].child((result,))
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
        routes, upstreams, policies = tuple(routes), tuple(upstreams), tuple(policies)
        self._declared = tuple(map(frozenset, (routes, upstreams, policies)))
        self._cells.clear()
        self._names.routes.update(routes)
        for upstream in upstreams:
            self._names.upstreams.add(upstream)
            for outcome in UPSTREAM_OUTCOMES:
                self._series["upstream_requests_total"].child((upstream, outcome))
        for policy in policies:
            self._names.policies.add(policy)
            for outcome in LIMIT_OUTCOMES:
                self._series["ratelimit_decisions_total"].child((policy, outcome))

    def _make_room(self) -> bool:
        """Drop the series of names that left the configuration; tell whether there were any."""
        gone = (
            self._names.routes - self._declared[0] - {UNMATCHED},
            self._names.upstreams - self._declared[1] - {""},
            self._names.policies - self._declared[2] - {""},
        )
        if not any(gone):
            return False
        self._names.routes -= gone[0]
        self._names.upstreams -= gone[1]
        self._names.policies -= gone[2]
        by_label = dict(zip(NAMED_LABELS, gone, strict=True))
        for series in self._series.values():
            for position, label in enumerate(series.family.labels):
                if label in by_label:
                    series.drop(position, by_label[label])
        self._cells.clear()
        return True

    def record(self, outcome: Outcome) -> None:
        """Count one finished request (`Recorder`)."""
        key = (
            outcome.route,
            outcome.method,
            outcome.status,
            outcome.source,
            id(outcome.reason),  # members of an enum live forever; their hash is slow Python
            outcome.upstream,
            outcome.policy,
            outcome.ended,
        )
        cell = self._cells.get(key) or self._bind(key, outcome)
        cell.requests[0] += 1
        cell.decisions[0] += 1
        cell.limits[0] += 1
        cell.upstream_requests[0] += 1
        cell.request_bytes[0] += outcome.request_bytes
        cell.response_bytes[0] += outcome.response_bytes
        duration = outcome.duration
        numbers = cell.durations
        numbers[bisect_left(REQUEST_BUCKETS, duration)] += 1
        numbers[-1] += duration
        upstream_duration = outcome.upstream_duration
        if upstream_duration > 0.0:
            numbers = cell.upstream_durations
            numbers[bisect_left(REQUEST_BUCKETS, upstream_duration)] += 1
            numbers[-1] += upstream_duration
            # Rounding may make the part larger than the whole: a sum must never go back.
            duration = duration - upstream_duration if duration > upstream_duration else 0.0
        numbers = self._overhead
        numbers[bisect_left(OVERHEAD_BUCKETS, duration)] += 1
        numbers[-1] += duration

    def count(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Add `amount` to the counter `name` (without namespace); label values from closed sets."""
        self._accumulating(name, "counter", labels).child(labels)[0] += amount

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add `value` (base unit) to the histogram `name`; label values from closed sets."""
        self._accumulating(name, "histogram", labels).observe(labels, value)

    def watch(self, name: str, read: Callable[[], Reading]) -> None:
        """Let `read` tell the metric `name` at each scrape; replaces an earlier reader.

        `read` runs in the thread that renders: it must be quick, must not wait, and must be safe
        beside the event loop (return a number, or a mapping that it does not change afterwards).
        Raises `ValueError` for a name that is not a watched family.
        """
        if not any(family.name == name and family.is_watched for family in FAMILIES):
            raise ValueError(f"no watched metric is called {name}: declare it in families.py")
        self._watched[name] = read

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type; OpenMetrics if `accept` prefers it.

        May run in any thread; takes milliseconds per thousand series.
        """
        encoder, content_type = choose_encoder(accept)
        with self._render_lock:
            return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family (the collector protocol of `prometheus_client`)."""
        for family in FAMILIES:
            if family.kind == "info":
                yield info_metric(self._namespace, family, self._build)
            elif family.is_watched:
                yield from self._collect_watched(family)
            elif family.kind == "histogram":
                snapshot = self._series[family.name].snapshot()
                yield histogram_metric(self._namespace, family, snapshot)
            else:
                snapshot = self._series[family.name].snapshot()
                values = ((labels, numbers[0]) for labels, numbers in snapshot)
                yield flat_metric(self._namespace, family, values)

    def _all_series(self, series_budget: int) -> dict[str, Series]:
        accumulating = {
            family.name: family
            for family in FAMILIES
            if not family.is_watched and family.kind in ("counter", "histogram")
        }
        # Drops must be countable when the budget is spent: this closed set is paid for apart.
        labelled = [family.name for family in FAMILIES if family.labels]
        dropped = Series(
            accumulating["series_dropped_total"], Budget(len(labelled) + 1), self._count_dropped
        )
        for name in labelled:
            dropped.child((name,))
        budget = Budget(series_budget, self._make_room)
        return {
            name: dropped
            if family is dropped.family
            else Series(family, budget, self._count_dropped)
            for name, family in accumulating.items()
        }

    def _count_dropped(self, name: str, amount: int = 1) -> None:
        self._series["series_dropped_total"].child((name,))[0] += amount

    def _bind(self, key: tuple[object, ...], outcome: Outcome) -> Cell:
        """Return the cell of a combination, and remember it if nobody outside could make it up."""
        cell, is_closed = bind(outcome, self._names, self._series)
        if is_closed and len(self._cells) < self._cells_max:
            self._cells[key] = cell
        return cell

    def _accumulating(self, name: str, kind: str, labels: tuple[str, ...]) -> Series:
        series = self._series.get(name)
        if series is None or series.family.kind != kind:
            raise ValueError(f"no {kind} is called {name}: declare it in families.py")
        if len(series.family.labels) != len(labels):
            raise ValueError(f"{name} wants a value for each of {series.family.labels}")
        return series

    def _collect_watched(self, family: Family) -> Iterator[Metric]:
        read = self._watched.get(family.name)
        if read is None:
            return
        try:
            values = _checked(family, read())
        except Exception:
            # One broken owner must not blind the operator to everything else.
            _logger.exception("the metric %s could not be read", family.name)
            return
        if len(values) > WATCHED_MAX:
            self._count_dropped(family.name, len(values) - WATCHED_MAX)
        yield flat_metric(self._namespace, family, values[:WATCHED_MAX])


def _checked(family: Family, reading: Reading) -> list[tuple[tuple[str, ...], float]]:
    by_labels = reading if isinstance(reading, Mapping) else {(): float(reading)}
    values = list(by_labels.items())
    for labels, _ in values:
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} wants a value for each of {family.labels}")
    return values
