"""Usage worked out of access log lines: what the rollups must say, to the last request, byte and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.domain.denial import Reason
from gateway.domain.usage import Interval, UsageRow, is_denied

Totals = dict[tuple[Any, ...], Counter[str]]
"""Counts by start, key, tenant, route and whether it is billable."""

_COUNTED = ("requests", "denied", "failed", "upstream_4xx", "upstream_5xx")
_BYTES = ("request_bytes", "response_bytes")


def of_lines(lines: Iterable[Mapping[str, Any]], interval: Interval) -> Totals:
    """Return the sums over access log lines."""
    totals: Totals = {}
    for line in lines:
        start = interval.start_of(datetime.fromisoformat(line["ts"]).timestamp())
        place = (
            *(start, line["key_id"] or "", line["tenant_id"] or "", line["route"]),
            bool(line["billable"]),
        )
        total = totals.setdefault(place, Counter())
        total["requests"] += 1
        for name in _BYTES:
            total[name] += line[name]
        total["microseconds"] += round(line["duration_ms"] * 1_000)
        if line["reason"] is not None:
            total[line["reason"]] += 1
            total["denied" if is_denied(Reason(line["reason"])) else "failed"] += 1
        elif line["status"] >= 400:
            assert line["source"] == "upstream"
            total["upstream_5xx" if line["status"] >= 500 else "upstream_4xx"] += 1
    return totals


def of_rows(rows: Iterable[UsageRow]) -> Totals:
    """Return what rows by time, key, tenant, route and billable say."""
    totals: Totals = {}
    for row in rows:
        place = (row.start, row.key_id, row.tenant_id, row.route, row.is_billable)
        total = totals[place] = Counter(row.measures.reasons)
        for name in (*_COUNTED, *_BYTES):
            total[name] = getattr(row.measures, name)
        total["microseconds"] = round(row.measures.duration_total * 1_000_000)
        assert sum(row.measures.durations.values()) == row.measures.requests
    return totals


def assert_equal(found: Totals, expected: Totals) -> None:
    """Fail unless both say the same; a duration is rounded to a microsecond in each line."""
    assert found.keys() == expected.keys()
    for place, total in found.items():
        wanted = expected[place]
        assert abs(total.pop("microseconds") - wanted.pop("microseconds")) <= total["requests"]
        assert +total == +wanted, place
