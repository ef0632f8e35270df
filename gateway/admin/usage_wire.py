"""What the admin API tells of usage, as JSON and as a table.

Knows names and units on the wire: times are RFC 3339, durations are milliseconds. A row has only those dimensions that
were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.usage import FIELD_OF_GROUP, FacetRow, Interval, Measures, UsageRow

_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_COUNTS: Final = (
    *("requests", "errors", "denied", "failed", "upstream_4xx", "upstream_5xx"),
    *("request_bytes", "response_bytes", "from_browser"),
)
_RATIOS: Final = ("error_ratio", "limit_used_max", "quota_used_max")
_RATIO_DIGITS: Final = 6

MEASURED: Final = (
    *("requests", "errors", "error_ratio", "denied", "failed", "upstream_4xx", "upstream_5xx"),
    *("request_bytes", "response_bytes"),
    *("duration_ms_mean", *(f"duration_ms_{name}" for name in _SHARES)),
    *("from_browser", "limit_used_max", "quota_used_max", "reasons"),
)
"""The columns of a table behind the dimensions."""


class DurationView(View):
    """Milliseconds; percentiles are interpolated, and off by a sixth at most."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class UsageRowView(View):
    """What was counted of one combination of the groups that were asked for; the other dimensions are missing."""

    start: str | None = None
    key_id: str | None = None
    lineage_id: str | None = None
    tenant_id: str | None = None
    owner_id: str | None = None
    environment: str | None = None
    is_billable: bool | None = None
    route: str | None = None
    reason: str | None = None
    requests: int
    errors: int
    error_ratio: float
    denied: int
    failed: int
    upstream_4xx: int
    upstream_5xx: int
    request_bytes: int
    response_bytes: int
    duration_ms: DurationView
    from_browser: int
    limit_used_max: float
    quota_used_max: float
    reasons: dict[str, int]

    @classmethod
    def of(cls, row: UsageRow, group_by: Sequence[str]) -> Self:
        """Return the view of a row."""
        measures = row.measures
        values: dict[str, Any] = _dimensions(row, group_by)
        values |= {name: getattr(measures, name) for name in _COUNTS}
        values |= {name: round(getattr(measures, name), _RATIO_DIGITS) for name in _RATIOS}
        return cls(
            **values,
            duration_ms=DurationView(**_durations(measures)),
            reasons=dict(sorted(measures.reasons.items())),
        )


class UsageView(View):
    """An answer about usage: `interval` is what it was read from, and the range is that of whole intervals."""

    interval: Interval
    since: str
    until: str
    data: list[UsageRowView]
    next_cursor: str | None
    has_more: bool


class FacetRowView(View):
    """How often a network, a country or a user agent was seen, and when for the first and the last time."""

    value: str
    key_id: str | None = None
    requests: int
    first_at: str
    last_at: str

    @classmethod
    def of(cls, row: FacetRow) -> Self:
        """Return the view of a row."""
        values: dict[str, Any] = {} if row.key_id is None else {"key_id": row.key_id}
        return cls(
            value=row.value,
            requests=row.requests,
            first_at=_second(row.first_at),
            last_at=_second(row.last_at),
            **values,
        )


class FacetsView(View):
    """An answer about who used keys, in whole hours."""

    kind: str
    since: str
    until: str
    data: list[FacetRowView]
    has_more: bool


def columns(group_by: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of a table."""
    return (*(FIELD_OF_GROUP[group] for group in group_by), *MEASURED)


def cells(row: UsageRow, group_by: Sequence[str]) -> list[object]:
    """Return a row of a table."""
    view = UsageRowView.of(row, group_by)
    told: dict[str, Any] = view.model_dump(mode="json")
    durations: dict[str, float] = told.pop("duration_ms")
    told |= {f"duration_ms_{name}": value for name, value in durations.items()}
    told["reasons"] = " ".join(f"{reason}={count}" for reason, count in view.reasons.items())
    return [told[name] for name in columns(group_by)]


def _dimensions(row: UsageRow, group_by: Sequence[str]) -> dict[str, Any]:
    values = {FIELD_OF_GROUP[group]: getattr(row, FIELD_OF_GROUP[group]) for group in group_by}
    if "start" in values:
        values["start"] = instant(values["start"])
    return values


def _durations(measures: Measures) -> dict[str, float]:
    percentiles = {name: measures.percentile(share) for name, share in _SHARES.items()}
    told = {"mean": measures.duration_mean, **percentiles}
    return {name: round(seconds * 1000, 3) for name, seconds in told.items()}


def _second(moment: float) -> str:
    return instant(int(moment)) or ""
