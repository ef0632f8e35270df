"""Counts every request: the part of the metrics that each request pays for.

A prometheus-client counter and histogram would cost 0.6 and 1.9 us per update, so requests with the same labels share a
row of plain numbers, found once per combination; every family is worked out of the rows at a scrape. It must not know
HTTP, nor let a request choose a label: names that were not declared are folded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final

from gateway.domain.outcome import Outcome, Reply
from gateway.telemetry.cells import Names, describe
from gateway.telemetry.families import ACCUMULATING, OVERHEAD_BUCKETS, REQUEST_BUCKETS, Family
from gateway.telemetry.label_values import OTHER
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
    Row,
    Rows,
)

_FASTEST: Final = REQUEST_BUCKETS[0]
"""Nearly every time is in the first bucket: one comparison is cheaper than a search."""


class Tally:
    """Implements `Recorder` on `rows`.

    `keys_max` bounds the combinations that are remembered. `relieve` is called before a turn: whoever reads the rows in
    this process may take those of the last one.
    """

    __slots__ = ("_answered", "_keys_max", "_names", "_relayed", "_relieve", "_rows", "_seen")

    def __init__(
        self, rows: Rows, keys_max: int, relieve: Callable[[], None] = lambda: None
    ) -> None:
        self._rows = rows
        self._keys_max = keys_max
        self._relieve = relieve
        self._names = Names()
        self._relayed: dict[tuple[object, ...], Row] = {}
        self._answered: dict[tuple[object, ...], Row] = {}
        self._seen: dict[Definition, Row] = {}  # every row by its definition
        self._begin()

    def declare(
        self, routes: Iterable[str], upstreams: Iterable[str], policies: Iterable[str]
    ) -> None:
        """Allow these names as labels, those of the configuration in force."""
        self._names.declare(routes, upstreams, policies)
        if len(self._names) > 2 * self._keys_max:
            self._names.forget()
        # A combination that was folded may have a row of its own from now on.
        self._relayed.clear()
        self._answered.clear()

    def record(self, outcome: Outcome) -> None:
        """Count one finished request (`Recorder`)."""
        result = outcome.result
        route = outcome.route
        grant = outcome.grant
        seconds = outcome.duration
        if isinstance(result, Reply):
            upstream_seconds = result.upstream_seconds
            key: tuple[object, ...] = (
                None if route is None else route.name,
                outcome.head.method,
                outcome.status,
                result.ended,
                result.upstream,
                None if grant is None else grant.decided_by,
                grant is not None and grant.is_degraded,
            )
            row = self._relayed.get(key) or self._bind(key, outcome, self._relayed)
        else:
            upstream_seconds = 0.0 if result is None else result.upstream_seconds
            key = (
                None if route is None else route.name,
                outcome.head.method,
                outcome.status,
                outcome.ended,
                id(outcome.reason),  # members of an enum live forever; their hash is slow Python
                "" if result is None else result.upstream,
                None if grant is None else grant.decided_by,
                outcome.head.is_consultation,
                grant is not None and grant.is_degraded,
            )
            row = self._answered.get(key) or self._bind(key, outcome, self._answered)
        row[0 if seconds <= _FASTEST else bisect_left(REQUEST_BUCKETS, seconds)] += 1.0
        if upstream_seconds > 0.0:
            bucket = 0
            if upstream_seconds > _FASTEST:
                bucket = bisect_left(REQUEST_BUCKETS, upstream_seconds)
            row[UPSTREAM_AT + bucket] += 1.0
            row[UPSTREAM_SUM] += upstream_seconds
            # Rounding may make the part larger than the whole: a sum must never go back.
            seconds = seconds - upstream_seconds if seconds > upstream_seconds else 0.0
        row[OVERHEAD_AT + bisect_left(OVERHEAD_BUCKETS, seconds)] += 1.0
        row[OVERHEAD_SUM] += seconds
        if outcome.response_bytes:
            row[RESPONSE_BYTES] += outcome.response_bytes
        if outcome.request_bytes:
            row[REQUEST_BYTES] += outcome.request_bytes

    def count(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Add `amount` to the counter `name` (without namespace); label values from closed sets."""
        self._accumulating(name, "counter", labels)
        self._row((name, *labels))[0] += amount

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add `value` (base unit) to the histogram `name`; label values from closed sets."""
        family = self._accumulating(name, "histogram", labels)
        row = self._row((name, *labels))
        row[bisect_left(family.buckets, value)] += 1.0
        row[-1] += value

    def _accumulating(self, name: str, kind: str, labels: tuple[str, ...]) -> Family:
        family = ACCUMULATING.get(name)
        if family is None or family.kind != kind:
            raise ValueError(f"no {kind} is called {name}: declare it in families.py")
        if len(family.labels) != len(labels):
            raise ValueError(f"{name} wants a value for each of {family.labels}")
        return family

    def _bind(
        self, key: tuple[object, ...], outcome: Outcome, known: dict[tuple[object, ...], Row]
    ) -> Row:
        """Return the row of a combination, and remember it if nobody outside could make it up."""
        definition, is_closed = describe(outcome, self._names)
        row = self._row(definition)
        if is_closed and len(known) < self._keys_max:
            known[key] = row
        return row

    def _row(self, definition: Definition) -> Row:
        """Return the row of `definition`; that of all others when there is no room, which is counted."""
        row = self._seen.get(definition)
        if row is not None:
            return row
        row = self._rows.define(definition)
        if row is None:
            self._relieve()
            if self._rows.turn():
                self._begin()
                row = self._rows.define(definition)
        if row is None:
            name = definition[0]
            dropped = "requests_total" if name == REQUESTS else name
            self._seen["series_dropped_total", dropped][0] += 1.0
            return self._seen[name, *(OTHER for _ in definition[1:])]
        self._seen[definition] = row
        return row

    def _begin(self) -> None:
        """Make the rows that must be there when there is no room."""
        self._relayed.clear()
        self._answered.clear()
        self._seen.clear()
        for definition in _RESERVED:
            row = self._rows.define(definition)
            if row is None:
                raise ValueError("there is no room for a row of every metric: raise series_budget")
            self._seen[definition] = row


_RESERVED: Final[tuple[Definition, ...]] = (
    (REQUESTS, *(OTHER for _ in REQUESTS_LABELS)),
    *((name, *(OTHER for _ in family.labels)) for name, family in ACCUMULATING.items()),
    *(("series_dropped_total", name) for name, family in ACCUMULATING.items() if family.labels),
)
