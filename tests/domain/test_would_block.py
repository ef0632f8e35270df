from __future__ import annotations

from typing import Any

from gateway.domain.networks import Allowlist
from gateway.domain.would_block import Visitors, WouldBlock


def a_row(**changes: Any) -> dict[str, Any]:
    row = {
        "ts": "2026-01-01T00:00:00.000Z",
        "shadow": ["ip_not_allowed"],
        "shadow_rules": ["key_ip"],
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "route": "jobs",
        "client_address": "192.0.2.7",
    }
    return row | changes


def test_requests_are_grouped_by_rule_key_route_and_address() -> None:
    """HP-23."""
    report = WouldBlock()
    for ts in ("2026-01-02T00:00:00.000Z", "2026-01-01T00:00:00.000Z", "2026-01-03T00:00:00.000Z"):
        report.add(a_row(ts=ts))
    report.add(a_row(client_address="192.0.2.8"))
    report.add(a_row(route="other"))
    first, *others = report.groups()
    assert (first.rule, first.reason, first.key_id, first.requests) == (
        *("key_ip", "ip_not_allowed", "key_a"),
        3,
    )
    assert (first.first_seen[:10], first.last_seen[:10]) == ("2026-01-01", "2026-01-03")
    assert [each.requests for each in others] == [1, 1]
    assert report.findings == 5


def test_a_request_that_several_rules_would_refuse_counts_once_for_each() -> None:
    row = a_row(
        shadow=["ip_not_allowed", "insufficient_scope", "ip_not_allowed"],
        shadow_rules=["route_ip", "scope", "tenant_ip"],
    )
    report = WouldBlock()
    report.add(row)
    report.add(a_row(shadow=[], shadow_rules=[]))
    found = sorted((each.rule, each.reason) for each in report.groups())
    assert found == [
        ("route_ip", "ip_not_allowed"),
        ("scope", "insufficient_scope"),
        ("tenant_ip", "ip_not_allowed"),
    ]
    assert report.findings == 3


def test_a_report_has_an_end_and_says_so() -> None:
    report = WouldBlock(groups_max=1)
    report.add(a_row())
    assert report.is_complete
    report.add(a_row(route="other"))
    report.add(a_row())
    (group,) = report.groups()
    assert (group.requests, report.is_complete) == (2, False)


def test_a_list_is_tried_on_who_came() -> None:
    """HP-23."""
    visitors = Visitors()
    visitors.add("192.0.2.7", 2, "2026-01-01")
    visitors.add("203.0.113.1", 1, "2026-01-02")
    visitors.add("203.0.113.2", 5, "2026-01-01")
    visitors.add("203.0.113.1", 1, "2026-01-01")
    refused = [*visitors.refused_by(Allowlist(["192.0.2.0/24"]))]
    assert refused == [("203.0.113.2", 5, "2026-01-01"), ("203.0.113.1", 2, "2026-01-02")]


def test_no_more_visitors_are_kept_than_there_is_room_for() -> None:
    visitors = Visitors(addresses_max=1)
    visitors.add("192.0.2.7", 1, "2026-01-01")
    visitors.add("192.0.2.8", 1, "2026-01-01")
    visitors.add("192.0.2.7", 1, "2026-01-01")
    assert (visitors.requests, visitors.is_complete) == ({"192.0.2.7": 2}, False)
