"""Counts every finished request for usage: per key and route, and who made it.

While a request is recorded, numbers are added to a count that was found before, and nothing is formatted or looked up;
what is counted becomes cells and facets when it is drained, once a second. It must not know where they are kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate
from gateway.domain.outcome import UNMATCHED, Outcome
from gateway.domain.usage import (
    DURATION_BOUNDS,
    OTHER,
    Cell,
    Dimensions,
    Facet,
    Interval,
    Measures,
    is_denied,
)
from gateway.ports import Clock
from gateway.telemetry.usage_visitors import Visitor, Visitors

COUNTS_MAX: Final = 100_000
"""Counts of a key on a route that are told apart between two drains."""

CELLS_PER_PART: Final = 1_000
"""Cells that are handed over together: as much as is stored in one short transaction."""

_MINUTE: Final = Interval.MINUTE.seconds
_DENIED: Final = {id(reason): (reason.value, is_denied(reason)) for reason in Reason}
"""By identity: members of an enum live forever, and their hash is slow Python."""

_NOBODY: Final = ("", False)


@dataclass(slots=True, kw_only=True)
class Counted:
    """A part of what was counted."""

    cells: list[Cell]
    facets: list[Facet]


class _Count:
    """What was counted of one key on one route in one minute.

    `peak` is the grant after which the fewest requests were left (`least`), `last` the latest: how far limits were used
    is worked out of these two.
    """

    __slots__ = ("dimensions", "last", "least", "measures", "peak")

    def __init__(self, dimensions: Dimensions) -> None:
        self.dimensions = dimensions
        self.measures = Measures()
        self.least = 1 << 62
        self.peak: Grant | None = None
        self.last: Grant | None = None


_Place = tuple[str, bool, str]
"""Which key acts for whom (`BoundKey.label`), whether that is billable, and the route."""


class _Minute:
    """What was counted of requests that began in one minute: from `since` to `until` on the monotonic clock."""

    __slots__ = ("counts", "since", "start", "until", "visitors")

    def __init__(self, start: int, since: float, until: float) -> None:
        self.start = start
        self.since = since
        self.until = until
        self.counts: dict[_Place, _Count] = {}
        self.visitors: dict[tuple[str, str, bytes], Visitor] = {}


class UsageRecorder:
    """Implements `Recorder`. Bounded: beyond `counts_max`, requests are counted for `__other__` on their route."""

    def __init__(self, clock: Clock, visitors: Visitors, *, counts_max: int = COUNTS_MAX) -> None:
        self._clock = clock
        self._counts_max = counts_max
        self._visitors = visitors
        self._minutes: dict[int, _Minute] = {}
        self._minute = _Minute(0, 0.0, 0.0)
        self._size = 0
        self._folded: dict[_Place, _Count] = {}
        self._folded_start = 0
        self._foreign: dict[tuple[int, str, str, str, str], Facet] = {}
        self.folded = 0
        """Requests that were not counted for their own key so far."""

    # ---- while requests are answered

    def record(self, outcome: Outcome) -> None:
        """Count a finished request in the minute in which it began (`Recorder`)."""
        started = outcome.started
        minute = self._minute
        if not minute.since <= started < minute.until:
            minute = self._minute_of(started)
        key = outcome.key
        route = outcome.route
        name = UNMATCHED if route is None else route.name
        label, is_billable = _NOBODY if key is None else (key.label, key.is_billable)
        place = (label, is_billable, name)
        count = minute.counts.get(place) or self._begin(minute, place, key)
        measures = count.measures
        measures.requests += 1
        duration = outcome.duration
        measures.duration_total += duration
        durations = measures.durations
        number = bisect_left(DURATION_BOUNDS, duration)
        durations[number] = durations.get(number, 0) + 1
        if outcome.request_bytes:
            measures.request_bytes += outcome.request_bytes
        measures.response_bytes += outcome.response_bytes
        if outcome.status >= 400 or outcome.reason is not None:
            _count_error(measures, outcome)
        head = outcome.head
        if head.is_from_browser:
            measures.from_browser += 1
        grant = outcome.grant
        if grant is not None:
            count.last = grant
            tightest = grant.tightest
            if tightest is not None and tightest.remaining < count.least:
                count.least = tightest.remaining
                count.peak = grant
        who = (label, outcome.client_address, head.user_agent)
        visitor = minute.visitors.get(who)
        if visitor is None:
            visitor = self._visitors.begin(minute.visitors, who, outcome)
        visitor.requests += 1
        if started > visitor.last:
            visitor.last = started
        if started < visitor.first:
            visitor.first = started

    def _minute_of(self, started: float) -> _Minute:
        """Return the minute in which a request began, the present one remembered."""
        offset = self._clock.now() - self._clock.monotonic()
        start = int((started + offset) // _MINUTE) * _MINUTE
        minute = self._minute_at(start)
        # The clocks may have moved against each other: the edges are told anew.
        minute.since, minute.until = start - offset, start + _MINUTE - offset
        if start >= self._minute.start:
            self._minute = minute
        return minute

    def _minute_at(self, start: int) -> _Minute:
        minute = self._minutes.get(start)
        if minute is None:
            minute = self._minutes[start] = _Minute(start, 0.0, 0.0)
        return minute

    def _begin(self, minute: _Minute, place: _Place, key: BoundKey | None) -> _Count:
        if self._size >= self._counts_max:
            self.folded += 1
            return self._fold(minute, place)
        return self._new(minute, place, _dimensions(place, key))

    def _new(self, minute: _Minute, place: _Place, dimensions: Dimensions) -> _Count:
        self._size += 1
        count = minute.counts[place] = _Count(dimensions)
        return count

    def _fold(self, minute: _Minute, place: _Place) -> _Count:
        """Return the count of everybody else on the route; of a long outage there is one, in its first minute."""
        if not self._folded:
            self._folded_start = minute.start
        place = (OTHER, place[1], place[2])
        count = self._folded.get(place)
        if count is None:
            count = self._folded[place] = _Count(
                Dimensions(key_id=OTHER, is_billable=place[1], route=place[2])
            )
        return count

    # ---- once a second

    def drain(self) -> Iterator[Counted]:
        """Return what was counted since the last drain, in parts; the counts begin anew at once."""
        minutes, self._minutes = self._minutes, {}
        folded, self._folded = self._folded, {}
        foreign, self._foreign = self._foreign, {}
        start = self._folded_start
        self._minute = _Minute(0, 0.0, 0.0)
        self._size = 0
        self._visitors.begin_anew()
        return _in_parts(self._cells(minutes, folded, start), self._facets(minutes, foreign))

    def _cells(
        self, minutes: dict[int, _Minute], folded: dict[_Place, _Count], folded_start: int
    ) -> Iterator[Cell]:
        for minute in minutes.values():
            for count in minute.counts.values():
                yield _cell(minute.start, count)
        for count in folded.values():
            yield _cell(folded_start, count)

    def _facets(
        self,
        minutes: dict[int, _Minute],
        facets: dict[tuple[int, str, str, str, str], Facet],
    ) -> Iterator[Facet]:
        offset = self._clock.now() - self._clock.monotonic()
        for minute in minutes.values():
            hour = Interval.HOUR.start_of(minute.start)
            for facet in self._visitors.facets(hour, minute.visitors.values(), offset):
                _merge(facets, facet)
        yield from facets.values()

    # ---- what another process counted

    def take(self, cells: Iterable[Cell], facets: Iterable[Facet]) -> None:
        """Count what was counted elsewhere, too."""
        for cell in cells:
            minute = self._minute_at(cell.start)
            place = _place(cell.dimensions)
            count = minute.counts.get(place)
            if count is None:
                if self._size >= self._counts_max:
                    self.folded += cell.measures.requests
                    count = self._fold(minute, place)
                else:
                    count = self._new(minute, place, cell.dimensions)
            count.measures.add(cell.measures)
        for facet in facets:
            if len(self._foreign) >= self._counts_max:
                facet = replace(facet, key_id=OTHER, tenant_id="", value=OTHER)
            _merge(self._foreign, facet)


def _count_error(measures: Measures, outcome: Outcome) -> None:
    """Count what was refused, with its reason, or was an error of the upstream."""
    if outcome.reason is None:
        if outcome.status >= 500:
            measures.upstream_5xx += 1
        else:
            measures.upstream_4xx += 1
        return
    name, is_for_client = _DENIED[id(outcome.reason)]
    if is_for_client:
        measures.denied += 1
    else:
        measures.failed += 1
    measures.reasons[name] = measures.reasons.get(name, 0) + 1


def _dimensions(place: _Place, key: BoundKey | None) -> Dimensions:
    if key is None:
        return Dimensions(route=place[2])
    record = key.record
    return Dimensions(
        tenant_id=key.tenant.tenant_id,
        owner_id=record.tenant_id,
        key_id=record.key_id,
        lineage_id=record.lineage_id,
        environment=record.environment,
        is_billable=place[1],
        route=place[2],
    )


def _place(dimensions: Dimensions) -> _Place:
    """Return the place at which `record` counts these dimensions."""
    label = dimensions.key_id
    if dimensions.tenant_id != dimensions.owner_id:
        label = f"{label}@{dimensions.tenant_id}"  # as `BoundKey` has it
    return (label, dimensions.is_billable, dimensions.route)


def _cell(start: int, count: _Count) -> Cell:
    measures = count.measures
    for grant in (count.peak, count.last):
        if grant is not None:
            _use(measures, grant)
    if Reason.RATE_LIMITED.value in measures.reasons:
        measures.limit_used_max = 1.0
    if Reason.QUOTA_EXCEEDED.value in measures.reasons:
        measures.quota_used_max = 1.0
    return Cell(start=start, dimensions=count.dimensions, measures=measures)


def _use(measures: Measures, grant: Grant) -> None:
    """Take note of how far the limits of one request were used."""
    for claim, level in zip(grant.claims, grant.levels, strict=False):
        share = _share(claim, level)
        if claim.rule.__class__ is Rate:
            measures.limit_used_max = max(measures.limit_used_max, share)
        elif claim.rule.__class__ is Quota:
            measures.quota_used_max = max(measures.quota_used_max, share)


def _share(claim: Claim, level: int) -> float:
    """Return how much of a limit is used, 0 to 1."""
    rule = claim.rule
    if isinstance(rule, Concurrency):
        return 0.0
    most = rule.capacity if isinstance(rule, Rate) else rule.limit
    return min(1.0, level / most)


def _merge(facets: dict[tuple[int, str, str, str, str], Facet], facet: Facet) -> None:
    place = (facet.start, facet.key_id, facet.tenant_id, facet.kind.value, facet.value)
    known = facets.get(place)
    if known is None:
        facets[place] = facet
        return
    known.requests += facet.requests
    known.first_at = min(known.first_at, facet.first_at)
    known.last_at = max(known.last_at, facet.last_at)


def _in_parts(cells: Iterable[Cell], facets: Iterable[Facet]) -> Iterator[Counted]:
    """Yield cells and facets in parts of `CELLS_PER_PART` at most."""
    part = Counted(cells=[], facets=[])
    for cell in cells:
        part.cells.append(cell)
        if len(part.cells) >= CELLS_PER_PART:
            yield part
            part = Counted(cells=[], facets=[])
    for facet in facets:
        part.facets.append(facet)
        if len(part.facets) >= CELLS_PER_PART:
            yield part
            part = Counted(cells=[], facets=[])
    if part.cells or part.facets:
        yield part
