"""Works every accumulating family out of rows: those of processes that go on, and those of processes that ended.

Knows what a row of requests means to each family. It must not know where rows lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.telemetry.families import ACCUMULATING, FAMILIES
from gateway.telemetry.label_values import (
    DECISIONS,
    LIMIT_OUTCOMES,
    NAMED_LABELS,
    OTHER,
    RELOAD_RESULTS,
    RESERVED_NAMES,
    UPSTREAM_OUTCOMES,
)
from gateway.telemetry.rows import (
    OVERHEAD_AT,
    OVERHEAD_SUM,
    REQUEST_BYTES,
    REQUESTS,
    REQUESTS_LABELS,
    RESPONSE_BYTES,
    UPSTREAM_AT,
    UPSTREAM_SUM,
    Definition,
)
from gateway.telemetry.series import Budget, Labels, Numbers, Series

Counted = Iterable[tuple[Definition, Sequence[float]]]
"""Rows with their numbers."""

Part = tuple[str, Labels, Sequence[float]]
"""What a row adds to one family: its name, the label set, the numbers."""


class Totals:
    """The numbers of every accumulating family, within `series_budget`.

    Raises `ValueError` for a budget too small to hold one series of everything.
    """

    def __init__(self, series_budget: int) -> None:
        self._declared: tuple[frozenset[str], ...] = (frozenset(),) * len(NAMED_LABELS)
        # Labels with names that were dropped to make room, as long as there are live rows of them.
        self._forgotten: set[tuple[str, str]] = set()
        self._budget = Budget(series_budget, self._make_room)
        self._series: dict[str, Series] = {}
        self._series = self._all_series()
        for decision in DECISIONS:
            self._series["auth_decisions_total"].admit((decision,))
        for result in RELOAD_RESULTS:
            self._series["config_reloads_total"].admit((result,))

    def declare(
        self, routes: Iterable[str], upstreams: Iterable[str], policies: Iterable[str]
    ) -> None:
        """Take note of the names of the configuration in force; series of upstreams and policies start at 0."""
        self._declared = tuple(map(frozenset, (routes, upstreams, policies)))
        self._budget.may_have_room = True
        self._remember_declared()
        for upstream in sorted(self._declared[1]):
            for outcome in UPSTREAM_OUTCOMES:
                self._series["upstream_requests_total"].admit((upstream, outcome))
        for policy in sorted(self._declared[2]):
            for outcome in LIMIT_OUTCOMES:
                self._series["ratelimit_decisions_total"].admit((policy, outcome))

    def settle(self, rows: Counted) -> None:
        """Keep for good what was counted by rows that are added to no more; once per row."""
        for name, labels, numbers in self._parts(rows):
            self._series[name].settle(labels, numbers)

    def count_dropped(self, name: str, amount: int = 1) -> None:
        """Take note of label sets of the metric `name` that are not exported as such."""
        self._series["series_dropped_total"].settle((name,), (amount,))

    def snapshot(self, rows: Counted) -> dict[str, dict[Labels, Numbers]]:
        """Return the numbers of each family per label set: what is settled and `rows`."""
        rows = list(rows)
        if self._forgotten:
            self._forgotten &= {pair for definition, _ in rows for pair in _pairs(definition)}
        live: dict[str, list[tuple[Labels, Sequence[float]]]] = {name: [] for name in self._series}
        for name, labels, numbers in self._parts(rows):
            live[name].append((self._series[name].admit(labels), numbers))
        return {name: series.with_live(live[name]) for name, series in self._series.items()}

    def _parts(self, rows: Counted) -> Iterator[Part]:
        for definition, numbers in rows:
            if any(numbers) or _starts_at_zero(definition):
                for name, labels, part in _shares(definition, numbers):
                    if not self._forgotten or self._forgotten.isdisjoint(
                        zip(ACCUMULATING[name].labels, labels, strict=True)
                    ):
                        yield name, labels, part

    def _make_room(self) -> bool:
        """Drop the series of names that left the configuration; tell whether there were any."""
        has_dropped = False
        for series in self._series.values():
            gone = series.gone(self._declared)
            series.drop(gone)
            has_dropped = has_dropped or bool(gone)
            for labels in gone:
                self._forgotten.update(zip(series.family.labels, labels, strict=True))
        self._remember_declared()
        return has_dropped

    def _remember_declared(self) -> None:
        names = dict(zip(NAMED_LABELS, self._declared, strict=True))
        self._forgotten = {
            (label, name)
            for label, name in self._forgotten
            if label in names and name not in names[label] and name not in RESERVED_NAMES
        }

    def _all_series(self) -> dict[str, Series]:
        # Drops must be countable when the budget is spent: this closed set is paid for apart.
        labelled = [family.name for family in FAMILIES if family.labels]
        dropped = Series(
            ACCUMULATING["series_dropped_total"], Budget(len(labelled) + 1), self.count_dropped
        )
        for name in labelled:
            dropped.admit((name,))
        return {
            name: dropped
            if family is dropped.family
            else Series(family, self._budget, self.count_dropped)
            for name, family in ACCUMULATING.items()
        }


def _starts_at_zero(definition: Definition) -> bool:
    """Tell whether a row of zeros is exported: somebody counted 0. Those that are kept ready for all others are not."""
    return definition[0] != REQUESTS and OTHER not in definition


def _pairs(definition: Definition) -> Iterable[tuple[str, str]]:
    name, *texts = definition
    return zip(
        REQUESTS_LABELS if name == REQUESTS else ACCUMULATING[name].labels, texts, strict=True
    )


def _shares(definition: Definition, numbers: Sequence[float]) -> Iterator[Part]:
    """Yield what a row adds to each family that it concerns."""
    if definition[0] != REQUESTS:
        yield definition[0], definition[1:], numbers
        return
    (route, method, code, source, reason, policy, limit_outcome, upstream, outcome) = definition[1:]
    durations, upstream_times = numbers[:UPSTREAM_AT], numbers[UPSTREAM_AT:OVERHEAD_AT]
    # One sum of two that never go back does not go back either; a difference would.
    whole = numbers[UPSTREAM_SUM] + numbers[OVERHEAD_SUM]
    requests = (sum(durations),)
    yield "requests_total", (route, method, code, source), requests
    yield "request_duration_seconds", (route,), (*durations, whole)
    overheads = numbers[OVERHEAD_AT:UPSTREAM_SUM]
    yield "overhead_seconds", (), (*overheads, numbers[OVERHEAD_SUM])
    yield "request_bytes_total", (route,), (numbers[REQUEST_BYTES],)
    yield "response_bytes_total", (route,), (numbers[RESPONSE_BYTES],)
    if reason:
        yield "auth_decisions_total", (reason,), requests
    if policy:
        yield "ratelimit_decisions_total", (policy, limit_outcome), requests
    if upstream:
        yield "upstream_requests_total", (upstream, outcome), requests
        seconds = (*upstream_times, numbers[UPSTREAM_SUM])
        yield "upstream_request_duration_seconds", (upstream,), seconds
