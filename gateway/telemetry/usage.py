"""Counts every finished request for usage: per key and route, and who made it.

While a request is recorded, numbers are added to a count that was found before, and nothing is formatted or looked up;
what is counted becomes cells and facets when it is drained, more than once a second. It must not know
where they are kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
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
from gateway.telemetry.usage_visitors import Visitor, Visitors, Who

COUNTS_MAX: Final = 50_000
"""Counts of a key on a route that are told apart between two drains."""

PART_MAX: Final = 1_000
"""Cells, or facets, that are handed over together: as much as is stored in one short transaction."""

_MINUTE: Final = Interval.MINUTE.seconds
_DENIED: Final = {id(reason): (reason.value, is_denied(reason)) for reason in Reason}
"""By identity: members of an enum live forever, and their hash is slow Python."""


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


class _User:
    """What was counted of one key, or of requests without any, in one minute: by route, and by who came with it.

    `key_id` is `__other__` for all those together who were not told apart.
    """

    __slots__ = ("counts", "key_id", "tenant_id", "visitors")

    def __init__(self, key_id: str, tenant_id: str) -> None:
        self.key_id = key_id
        self.tenant_id = tenant_id
        self.counts: dict[str, _Count] = {}
        self.visitors: dict[Who, Visitor] = {}


class _Minute:
    """What was counted of requests that began in one minute: from `since` to `until` on the monotonic clock.

    `users` are by key as it is bound: one that is bound anew is counted anew, and added up later.
    """

    __slots__ = ("since", "start", "until", "users")

    def __init__(self, start: int) -> None:
        self.start = start
        self.since = self.until = 0.0
        self.users: dict[BoundKey | None, _User] = {}


FacetPlace = tuple[int, str, str, str, str]
"""Hour, key, tenant, kind and value."""


class UsageRecorder:
    """Implements `Recorder`. Bounded: beyond `counts_max`, requests are counted for `__other__` on their route.

    `folded` tells how many were. `counts_max` may be changed at any time.
    """

    def __init__(self, clock: Clock, visitors: Visitors, *, counts_max: int = COUNTS_MAX) -> None:
        self._clock = clock
        self.counts_max = counts_max
        self._visitors = visitors
        self._minutes: dict[int, _Minute] = {}
        self._minute = _Minute(0)
        self._size = 0
        self._crowds: dict[bool, _User] = {}
        self._crowds_start = 0
        self._foreign: dict[tuple[int, Dimensions], Measures] = {}
        self._foreign_facets: dict[FacetPlace, Facet] = {}
        self.folded = 0

    # ---- while requests are answered

    def record(self, outcome: Outcome) -> None:  # noqa: C901 - every request pays for each call in here
        """Count a finished request in the minute in which it began (`Recorder`)."""
        started = outcome.started
        minute = self._minute
        if not minute.since <= started < minute.until:
            minute = self._minute_of(started)
        key = outcome.key
        user = minute.users.get(key)
        if user is None:
            user = self._admit(minute, key)
        route = outcome.route
        name = UNMATCHED if route is None else route.name
        count = user.counts.get(name)
        if count is None:
            count = self._begin(minute.start, user, key, name)
        measures = count.measures
        duration = outcome.duration
        measures.requests += 1
        measures.duration_total += duration
        measures.response_bytes += outcome.response_bytes
        durations = measures.durations
        number = bisect_left(DURATION_BOUNDS, duration)
        durations[number] = durations.get(number, 0) + 1
        if outcome.request_bytes:
            measures.request_bytes += outcome.request_bytes
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
        who = (outcome.client_address, head.user_agent)
        visitor = user.visitors.get(who)
        if visitor is None:
            visitor = self._visitors.begin(user.visitors, who, outcome)
        visitor.requests += 1
        if started > visitor.last:
            visitor.last = started

    def _minute_of(self, started: float) -> _Minute:
        """Return the minute in which a request began, the present one remembered."""
        offset = self._clock.now() - self._clock.monotonic()
        start = int((started + offset) // _MINUTE) * _MINUTE
        minute = self._minutes.get(start)
        if minute is None:
            minute = self._minutes[start] = _Minute(start)
        # The clocks may have moved against each other: the edges are told anew.
        minute.since, minute.until = start - offset, start + _MINUTE - offset
        if start >= self._minute.start:
            self._minute = minute
        return minute

    def _admit(self, minute: _Minute, key: BoundKey | None) -> _User:
        """Return the user for a key that has not come in this minute: one of its own while there is room."""
        if self._size >= self.counts_max:
            self.folded += 1
            return self._crowd(minute.start, key is not None and key.is_billable)
        ids = ("", "") if key is None else (key.record.key_id, key.tenant.tenant_id)
        user = minute.users[key] = _User(*ids)
        return user

    def _begin(self, start: int, user: _User, key: BoundKey | None, route: str) -> _Count:
        """Return the count for a route that a user has not asked before."""
        is_billable = key is not None and key.is_billable
        if user.key_id == OTHER:
            return _fold(user, is_billable, route)
        if self._size >= self.counts_max:
            self.folded += 1
            return _fold(self._crowd(start, is_billable), is_billable, route)
        self._size += 1
        count = user.counts[route] = _Count(_dimensions(key, route))
        return count

    def _crowd(self, start: int, is_billable: bool) -> _User:
        """Return the user that stands for everybody else; of a long outage there is one, in its first minute."""
        if not self._crowds:
            self._crowds_start = start
        return self._crowds.setdefault(is_billable, _User(OTHER, ""))

    # ---- more than once a second

    def drain(self, part_max: int = PART_MAX) -> Iterator[Counted]:
        """Return what was counted since the last drain, in parts; the counts begin anew at once.

        A part is made when it is asked for: others may have their turn between two.
        """
        minutes, self._minutes = self._minutes, {}
        crowds, self._crowds = self._crowds, {}
        foreign, self._foreign = self._foreign, {}
        facets, self._foreign_facets = self._foreign_facets, {}
        self._minute = _Minute(0)
        self._size = 0
        self._visitors.begin_anew()
        users = [(each.start, user) for each in minutes.values() for user in each.users.values()]
        users += [(self._crowds_start, crowd) for crowd in crowds.values()]
        return _in_parts(_cells(users, foreign), self._facets(users, facets.values()), part_max)

    def _facets(
        self, users: Iterable[tuple[int, _User]], foreign: Iterable[Facet]
    ) -> Iterator[Facet]:
        offset = self._clock.now() - self._clock.monotonic()
        for start, user in users:
            hour = Interval.HOUR.start_of(start)
            facets: dict[FacetPlace, Facet] = {}
            for kind, value, visitor in self._visitors.told(user.visitors.values()):
                facet = Facet(
                    start=hour,
                    tenant_id=user.tenant_id,
                    key_id=user.key_id,
                    kind=kind,
                    value=value,
                    requests=visitor.requests,
                    first_at=visitor.first + offset,
                    last_at=visitor.last + offset,
                )
                merge_facet(facets, facet)
            yield from facets.values()
        yield from foreign

    # ---- what another process counted

    def take(self, cells: Iterable[Cell], facets: Iterable[Facet]) -> None:
        """Count what was counted elsewhere, too."""
        for cell in cells:
            place = (cell.start, cell.dimensions)
            known = self._foreign.get(place)
            if known is not None:
                known.add(cell.measures)
            elif len(self._foreign) < self.counts_max:
                self._foreign[place] = cell.measures
            else:
                dimensions = cell.dimensions
                self.folded += cell.measures.requests
                crowd = self._crowd(cell.start, dimensions.is_billable)
                count = _fold(crowd, dimensions.is_billable, dimensions.route)
                count.measures.add(cell.measures)
        for facet in facets:
            if len(self._foreign_facets) >= self.counts_max:
                facet = replace(facet, key_id=OTHER, tenant_id="", value=OTHER)
            merge_facet(self._foreign_facets, facet)


def _fold(crowd: _User, is_billable: bool, route: str) -> _Count:
    """Return the count of a crowd on a route."""
    count = crowd.counts.get(route)
    if count is None:
        dimensions = Dimensions(key_id=OTHER, is_billable=is_billable, route=route)
        count = crowd.counts[route] = _Count(dimensions)
    return count


def _cells(
    users: Iterable[tuple[int, _User]], foreign: Mapping[tuple[int, Dimensions], Measures]
) -> Iterator[Cell]:
    for start, user in users:
        for count in user.counts.values():
            yield _cell(start, count)
    for (start, dimensions), measures in foreign.items():
        yield Cell(start=start, dimensions=dimensions, measures=measures)


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


def _dimensions(key: BoundKey | None, route: str) -> Dimensions:
    if key is None:
        return Dimensions(route=route)
    record = key.record
    return Dimensions(
        tenant_id=key.tenant.tenant_id,
        owner_id=record.tenant_id,
        key_id=record.key_id,
        lineage_id=record.lineage_id,
        environment=record.environment,
        is_billable=key.is_billable,
        route=route,
    )


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


def merge_facet(facets: dict[FacetPlace, Facet], facet: Facet) -> None:
    """Add a facet to those that say the same, or to `facets`."""
    place = (facet.start, facet.key_id, facet.tenant_id, facet.kind.value, facet.value)
    known = facets.get(place)
    if known is None:
        facets[place] = facet
        return
    known.requests += facet.requests
    known.first_at = min(known.first_at, facet.first_at)
    known.last_at = max(known.last_at, facet.last_at)


def _in_parts(cells: Iterable[Cell], facets: Iterable[Facet], part_max: int) -> Iterator[Counted]:
    """Yield cells and facets in parts of `part_max` at most."""
    part = Counted(cells=[], facets=[])
    for cell in cells:
        part.cells.append(cell)
        if len(part.cells) >= part_max:
            yield part
            part = Counted(cells=[], facets=[])
    for facet in facets:
        part.facets.append(facet)
        if len(part.facets) >= part_max:
            yield part
            part = Counted(cells=[], facets=[])
    if part.cells or part.facets:
        yield part
