"""Usage: what was counted of the requests of one key on one route in one interval, and how it is added up.

Knows what a cell counts and what counts as an error: a status of 400 or more, kept apart by who said it. `denied` was
refused by us for the client's fault, `failed` for our own or the upstream's (`denial.Blame`), `upstream_4xx` and
`upstream_5xx` came from the upstream. A request belongs to the interval in which it began, whenever it ended. It must
not know where cells are kept, nor how a range is asked for (`usage_ranges`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.domain.denial import VERDICTS, Blame, Reason
from gateway.domain.outcome import UNMATCHED

OTHER: Final = "__other__"
"""Stands for what there was no room to tell apart."""

FACET_VALUES_MAX: Final = 64
"""Values of one kind that are told apart per key, tenant and hour."""

VALUE_LENGTH_MAX: Final = 120
"""Characters of a facet's value."""

_BINS_PER_DECADE: Final = 8
_DECADES: Final = 7

DURATION_BOUNDS: Final[tuple[float, ...]] = tuple(
    10.0 ** (n / _BINS_PER_DECADE - 4) for n in range(_BINS_PER_DECADE * _DECADES + 1)
)
"""Upper bounds of the bins of durations, in seconds: 0.1 ms to 1,000 s, each a third larger than the one before.

There is one more bin for what took longer.
"""


class Interval(StrEnum):
    """How long a cell is, beginning at a multiple of its length in epoch seconds (UTC)."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """The length."""
        return _SECONDS[self.value]

    def start_of(self, moment: float) -> int:
        """Return when the interval around `moment` (epoch seconds) began."""
        length = _SECONDS[self.value]
        return int(moment // length) * length


_SECONDS: Final[Mapping[str, int]] = {"minute": 60, "hour": 3_600, "day": 86_400}


class FacetKind(StrEnum):
    """What a facet tells of who used a key."""

    NETWORK = "network"
    COUNTRY = "country"
    USER_AGENT = "user_agent"


def duration_bin(seconds: float) -> int:
    """Return the bin of a duration: 0 for the shortest, `len(DURATION_BOUNDS)` for what is longer than all bounds."""
    return bisect_left(DURATION_BOUNDS, seconds)


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Dimensions:
    """What a cell counts the requests of.

    Immutable by convention: workers send them, and a frozen one that was compiled cannot be read at the other end.

    `tenant_id` is for whom they were made and `owner_id` whose key it is: the same, but for a key that acts for others.
    The ids are empty when no key was known; such requests are not billable. `route` is a name or `__unmatched__`.
    """

    tenant_id: str = ""
    owner_id: str = ""
    key_id: str = ""
    lineage_id: str = ""
    environment: str = ""
    is_billable: bool = False
    route: str = UNMATCHED


@dataclass(slots=True, kw_only=True)
class Measures:
    """What was counted.

    `duration_total` is in seconds, `durations` how many requests fell into which bin (`duration_bin`). `from_browser`
    are requests that only a browser sends (`Origin`, `Sec-Fetch-Site`). `limit_used_max` and `quota_used_max` are the
    highest used share, 0 to 1, of any rate and of any quota that a request drew on. `reasons` count what was refused.
    """

    requests: int = 0
    denied: int = 0
    failed: int = 0
    upstream_4xx: int = 0
    upstream_5xx: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    duration_total: float = 0.0
    from_browser: int = 0
    limit_used_max: float = 0.0
    quota_used_max: float = 0.0
    durations: dict[int, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Requests that were answered with a status of 400 or more, or refused without any answer."""
        return self.denied + self.failed + self.upstream_4xx + self.upstream_5xx

    @property
    def error_ratio(self) -> float:
        """The share of errors among the requests, 0 to 1; 0 without any."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def duration_mean(self) -> float:
        """The mean duration in seconds; 0 without any request."""
        return self.duration_total / self.requests if self.requests else 0.0

    def add(self, other: Measures) -> None:
        """Count what `other` has counted, too."""
        self.requests += other.requests
        self.denied += other.denied
        self.failed += other.failed
        self.upstream_4xx += other.upstream_4xx
        self.upstream_5xx += other.upstream_5xx
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes
        self.duration_total += other.duration_total
        self.from_browser += other.from_browser
        self.limit_used_max = max(self.limit_used_max, other.limit_used_max)
        self.quota_used_max = max(self.quota_used_max, other.quota_used_max)
        for number, count in other.durations.items():
            self.durations[number] = self.durations.get(number, 0) + count
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def percentile(self, share: float) -> float:
        """Return the duration in seconds that `share` of the requests (0 to 1) did not exceed; 0 without any.

        Interpolated within a bin as if the durations in it were spread evenly on a logarithmic scale: off by a sixth
        at most. What was longer than all bounds counts as the last of them.
        """
        total = sum(self.durations.values())
        wanted = share * total
        passed = 0
        for number in sorted(self.durations):
            count = self.durations[number]
            if passed + count >= wanted and count:
                return _within(number, (wanted - passed) / count)
            passed += count
        return 0.0


def _within(number: int, share: float) -> float:
    """Return the duration at `share` of the way through a bin."""
    if number >= len(DURATION_BOUNDS):
        return DURATION_BOUNDS[-1]
    upper = DURATION_BOUNDS[number]
    if number == 0:
        return upper * share
    lower = DURATION_BOUNDS[number - 1]
    found: float = lower * (upper / lower) ** share
    return found


def is_denied(reason: str) -> bool:
    """Say whether a refusal for `reason` counts as `denied`, else it counts as `failed`.

    A reason that is none here, which another version has counted, is its client's.
    """
    return reason not in set(Reason) or VERDICTS[Reason(reason)].blame is Blame.CLIENT


@dataclass(slots=True, kw_only=True)
class Cell:
    """What was counted of `dimensions` in the interval that begins at `start` (epoch seconds)."""

    start: int
    dimensions: Dimensions
    measures: Measures
    interval: Interval = Interval.MINUTE


@dataclass(slots=True, kw_only=True)
class Facet:
    """Who used a key for a tenant, or from where, in the hour that begins at `start` (epoch seconds).

    `value` is a network (`198.51.100.0/24`), an ISO country code or "" where the country is not known, or a user agent
    without anything that looks like a credential; or `__other__`. `first_at` and `last_at` are epoch seconds.
    """

    start: int
    tenant_id: str
    key_id: str
    kind: FacetKind
    value: str
    requests: int
    first_at: float
    last_at: float


GROUPS: Final = (
    *("time", "key", "lineage", "tenant", "owner", "environment", "billable", "route", "reason"),
)
"""What usage can be grouped by. `reason` counts the refused requests alone: `requests` of such a row are refusals."""

FIELD_OF_GROUP: Final[Mapping[str, str]] = {
    "time": "start",
    "key": "key_id",
    "lineage": "lineage_id",
    "tenant": "tenant_id",
    "owner": "owner_id",
    "environment": "environment",
    "billable": "is_billable",
    "route": "route",
    "reason": "reason",
}
"""The field of a `UsageRow` that tells a group apart."""

ORDERS: Final = (
    *("requests", "errors", "error_ratio", "denied", "failed", "upstream_4xx", "upstream_5xx"),
    *("request_bytes", "response_bytes", "duration_total", "duration_mean", "from_browser"),
    *("limit_used_max", "quota_used_max"),
)
"""By what rows can be ordered, the highest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which usage is asked for; an empty text asks for nothing.

    Cells of `interval` that begin at or after `since` and before `until` (epoch seconds) are summed up, one row per
    combination of what `group_by` names (of `GROUPS`; none: one row of everything). `tenant_ids` are the tenants whose
    usage may be seen at all; None: all. Rows are ordered by their groups as named, or with one of `ORDERS` by that,
    the highest first. `after` is `UsageRow.place` of the row after which rows are wanted, in the order of groups.
    """

    since: float
    until: float
    interval: Interval = Interval.HOUR
    group_by: tuple[str, ...] = ()
    key_id: str = ""
    lineage_id: str = ""
    tenant_id: str = ""
    owner_id: str = ""
    route: str = ""
    environment: str = ""
    tenant_ids: tuple[str, ...] | None = None
    order_by: str = ""
    limit: int = 1_000
    after: tuple[str | int, ...] = ()


@dataclass(slots=True, kw_only=True)
class UsageRow:
    """One row of an answer: what was counted of one combination of the groups that were asked for.

    `start` and the dimensions are None where they were not asked for.
    """

    measures: Measures
    start: int | None = None
    key_id: str | None = None
    lineage_id: str | None = None
    tenant_id: str | None = None
    owner_id: str | None = None
    environment: str | None = None
    is_billable: bool | None = None
    route: str | None = None
    reason: str | None = None

    def place(self, group_by: tuple[str, ...]) -> tuple[str | int, ...]:
        """Return where this row stands in the order of its groups (`UsageQuery.after`)."""
        return tuple(_comparable(getattr(self, FIELD_OF_GROUP[group])) for group in group_by)


def _comparable(value: str | int | None) -> str | int:
    return "" if value is None else int(value) if isinstance(value, bool) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetQuery:
    """Which facets are asked for: those of one kind in the hours from `since` to `until`, one row per value.

    With `by_key` one row per key and value. Rows with the most requests come first; `tenant_ids` as in `UsageQuery`.
    """

    kind: FacetKind
    since: float
    until: float
    key_id: str = ""
    tenant_id: str = ""
    value: str = ""
    tenant_ids: tuple[str, ...] | None = None
    by_key: bool = False
    limit: int = 1_000


@dataclass(slots=True, kw_only=True)
class FacetRow:
    """One row of an answer about facets; `key_id` is None unless it was asked for. Times are epoch seconds."""

    value: str
    requests: int
    first_at: float
    last_at: float
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept, in seconds."""

    minute_seconds: float
    hour_seconds: float
    day_seconds: float
    facet_seconds: float

    def seconds(self, interval: Interval) -> float:
        """Return how long cells of `interval` are kept."""
        if interval is Interval.MINUTE:
            return self.minute_seconds
        return self.hour_seconds if interval is Interval.HOUR else self.day_seconds
