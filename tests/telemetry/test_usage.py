from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate
from gateway.domain.redaction import Redactor
from gateway.domain.request import RequestHead
from gateway.domain.usage import OTHER, Cell, Dimensions, FacetKind
from gateway.http1.request_head import HeadLimits, RequestHeadReader
from gateway.telemetry.usage import PART_MAX, Counted, UsageRecorder
from gateway.telemetry.usage_visitors import VisitorRules, Visitors
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant, bound
from tests.telemetry.outcomes import make_key, make_outcome
from tests.usage_samples import a_cell, a_facet, dimensions

RULES = VisitorRules(redactor=Redactor(set()), is_trusted=lambda _: False)
START = 60 * 28_333_333
"""A minute begins, and the monotonic clock is at 1,000."""


class Made:
    """A recorder with its clock."""

    def __init__(self, counts_max: int = 1_000, rules: VisitorRules = RULES) -> None:
        self.clock = FakeClock(now=float(START), monotonic=1_000.0)
        visitors = Visitors(rules, visitors_max=counts_max)
        self.recorder = UsageRecorder(self.clock, visitors, counts_max=counts_max)

    def record(self, after: float = 0.0, **fields: Any) -> None:
        """Record a request that began so many seconds after the minute."""
        self.recorder.record(make_outcome(started=1_000.0 + after, **fields))

    def drained(self) -> Counted:
        return together(self.recorder.drain())


def together(parts: Iterable[Counted]) -> Counted:
    whole = Counted(cells=[], facets=[])
    for part in parts:
        whole.cells.extend(part.cells)
        whole.facets.extend(part.facets)
    return whole


def one(counted: Counted) -> Cell:
    [cell] = counted.cells
    return cell


def facets(counted: Counted, kind: FacetKind) -> list[tuple[str, str, int]]:
    return sorted((f.key_id, f.value, f.requests) for f in counted.facets if f.kind is kind)


def test_a_request_is_counted_for_its_key_and_route_hp_27() -> None:
    made, key = Made(), make_key()
    made.record(key=key, route="jobs", duration=0.25, request_bytes=3, response_bytes=760)
    made.record(key=key, route="jobs", duration=0.25, request_bytes=0, response_bytes=40)
    cell = one(made.drained())
    assert cell.start == START
    assert cell.dimensions == Dimensions(
        tenant_id="ten_1",
        owner_id="ten_1",
        key_id="key_1",
        lineage_id="lin_1",
        environment="live",
        is_billable=True,
        route="jobs",
    )
    measures = cell.measures
    assert (measures.requests, measures.request_bytes, measures.response_bytes) == (2, 3, 800)
    assert (measures.duration_total, measures.durations) == (0.5, {28: 2})
    assert measures.errors == 0
    assert made.drained().cells == []


def test_a_request_without_a_key_is_counted_for_none() -> None:
    made = Made()
    made.record(route="__unmatched__", reason=Reason.NO_ROUTE, status=404)
    cell = one(made.drained())
    assert cell.dimensions == Dimensions()
    assert (cell.measures.denied, cell.measures.reasons) == (1, {"no_route": 1})


def test_a_key_that_acts_for_another_tenant_is_counted_for_both() -> None:
    made = Made()
    key = BoundKey(
        record=a_key(),
        tenant=a_tenant("ten_customer"),
        owner=a_tenant(),
        scopes=frozenset(),
        allowlists=(),
        claims=(),
        identity=b"",
        is_billable=False,
    )
    made.record(key=key)
    made.record(key=bound(a_key(), a_tenant()))
    told = {
        (c.dimensions.tenant_id, c.dimensions.owner_id, c.dimensions.is_billable)
        for c in made.drained().cells
    }
    assert told == {("ten_customer", "ten_a", False), ("ten_a", "ten_a", True)}


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"status": 200}, (0, 0, 0, 0)),
        ({"status": 302}, (0, 0, 0, 0)),
        ({"status": 404}, (0, 0, 1, 0)),
        ({"status": 500}, (0, 0, 0, 1)),
        ({"status": 429, "reason": Reason.RATE_LIMITED}, (1, 0, 0, 0)),
        ({"status": 502, "reason": Reason.UPSTREAM_UNREACHABLE}, (0, 1, 0, 0)),
        ({"status": 500, "reason": Reason.INTERNAL}, (0, 1, 0, 0)),
        ({"status": 0, "reason": Reason.INTERNAL, "ended": "cut"}, (0, 1, 0, 0)),
        ({"status": 0, "ended": "client_gone", "source": "gateway"}, (0, 0, 0, 0)),
        ({"status": 200, "ended": "upstream_broke"}, (0, 0, 0, 0)),
    ],
)
def test_errors_are_kept_apart_by_who_said_them_iv_20(
    fields: dict[str, Any], counted: tuple[int, int, int, int]
) -> None:
    made = Made()
    made.record(key=make_key(), **fields)
    measures = one(made.drained()).measures
    found = (measures.denied, measures.failed, measures.upstream_4xx, measures.upstream_5xx)
    assert found == counted
    assert sum(measures.reasons.values()) == counted[0] + counted[1]


def test_a_request_belongs_to_the_minute_in_which_it_began() -> None:
    made = Made()
    made.record(59.9, duration=600.0)
    made.record(60.0)
    made.record(0.0)
    made.record(-1.0)
    made.record(61.0)
    assert [(c.start - START, c.measures.requests) for c in made.drained().cells] == [
        (0, 2),
        (60, 2),
        (-60, 1),
    ]
    made.clock.advance(120.0)
    made.record(-1.0, duration=121.0)
    made.record(121.0)
    assert {c.start - START for c in made.drained().cells} == {-60, 120}


def test_a_wall_clock_that_was_set_is_believed() -> None:
    made = Made()
    made.record()
    made.drained()
    made.clock.wall += 3_600
    made.record(1.0)
    assert one(made.drained()).start == START + 3_600


def test_requests_of_browsers_are_counted_hp_19() -> None:
    made = Made()
    outcome = make_outcome()
    outcome.head.is_from_browser = True
    made.recorder.record(outcome)
    made.record(route="jobs.read")
    measures = one(made.drained()).measures
    assert (measures.requests, measures.from_browser) == (2, 1)


def grant(rate_level: float, quota_level: int) -> Grant:
    """Return a grant after which so much of a burst of ten, and of a quota of a hundred, is used."""
    rate = Rate(name="minute", limit=60, window_seconds=60, burst=10)
    claims = (
        Claim(bucket="lineage:l:p:minute", policy="p/minute", rule=rate),
        Claim(bucket="lineage:l:p:c", policy="p/c", rule=Concurrency(name="c", limit=5)),
        Claim(
            bucket="lineage:l:p:month",
            policy="p/month",
            rule=Quota(name="month", limit=100, period="month"),
        ),
    )
    return Grant.admit(claims, (int(rate_level * rate.price), 5, quota_level), (), 0.0)


def record_grant(made: Made, granted: Grant | None, **fields: Any) -> None:
    outcome = make_outcome(started=1_000.0, **fields)
    outcome.grant = granted
    made.recorder.record(outcome)


def test_the_highest_use_of_limits_is_told() -> None:
    made = Made()
    for level, quota in ((2, 10), (8, 11), (3, 12)):
        record_grant(made, grant(level, quota))
    record_grant(made, None)
    measures = one(made.drained()).measures
    assert measures.limit_used_max == pytest.approx(0.8)
    assert measures.quota_used_max == pytest.approx(0.12)


def test_a_limit_that_refused_is_used_up() -> None:
    made = Made()
    record_grant(made, grant(9.5, 99), reason=Reason.RATE_LIMITED, status=429)
    measures = one(made.drained()).measures
    assert (measures.limit_used_max, measures.quota_used_max) == (1.0, 0.99)
    record_grant(made, grant(9.5, 100), reason=Reason.QUOTA_EXCEEDED, status=429)
    measures = one(made.drained()).measures
    assert measures.limit_used_max == pytest.approx(0.95)
    assert measures.quota_used_max == 1.0


def test_who_used_a_key_is_counted_by_network_and_user_agent() -> None:
    made, key = Made(), make_key()
    made.record(1.0, key=key, client_address="192.0.2.7", user_agent=b"curl")
    made.record(3.0, key=key, client_address="192.0.2.99", user_agent=b"curl")
    made.record(2.0, key=key, client_address="2001:db8::1:2", user_agent=b"py")
    made.record(2.0, client_address="", user_agent=b"")
    counted = made.drained()
    assert facets(counted, FacetKind.NETWORK) == [
        ("", "", 1),
        ("key_1", "192.0.2.0/24", 2),
        ("key_1", "2001:db8::/56", 1),
    ]
    assert facets(counted, FacetKind.USER_AGENT) == [
        ("", "", 1),
        ("key_1", "curl", 2),
        ("key_1", "py", 1),
    ]
    assert facets(counted, FacetKind.COUNTRY) == []
    [facet] = [f for f in counted.facets if f.value == "192.0.2.0/24"]
    assert (facet.start, facet.tenant_id) == (START // 3_600 * 3_600, "ten_1")
    assert (facet.first_at, facet.last_at) == (START + 1.0, START + 3.0)


def test_beyond_the_bound_requests_are_counted_together_and_none_is_lost() -> None:
    made = Made(counts_max=3)
    keys = [make_key(f"key_{number}") for number in range(5)]
    for number, key in enumerate(keys):
        for route in ("jobs", "users"):
            made.record(number, key=key, route=route, response_bytes=1)
    made.record(key=keys[0], route="jobs", response_bytes=1)
    cells = made.drained().cells
    told = {(c.dimensions.key_id, c.dimensions.route): c.measures.requests for c in cells}
    assert told == {
        ("key_0", "jobs"): 2,
        ("key_0", "users"): 1,
        ("key_1", "jobs"): 1,
        (OTHER, "jobs"): 3,
        (OTHER, "users"): 4,
    }
    assert made.recorder.folded == 7
    assert sum(c.measures.response_bytes for c in cells) == 11
    other = next(c.dimensions for c in cells if c.dimensions.key_id == OTHER)
    assert other.is_billable
    assert other.tenant_id == ""
    made.record(key=keys[4], route="jobs")
    assert one(made.drained()).dimensions.key_id == "key_4"


def test_memory_is_bounded_while_nothing_is_drained_d10() -> None:
    made = Made(counts_max=10)
    for number in range(1_000):
        made.record(
            number * 30.0,
            key=make_key(f"key_{number}"),
            route="jobs",
            client_address=f"10.{number // 256}.{number % 256}.1",
        )
    counted = made.drained()
    assert len(counted.cells) <= 12
    assert sum(c.measures.requests for c in counted.cells) == 1_000
    networks = [f for f in counted.facets if f.kind is FacetKind.NETWORK]
    assert sum(f.requests for f in networks) == 1_000
    assert len({(f.key_id, f.value) for f in networks}) <= 11


def test_drained_parts_are_small() -> None:
    made = Made(counts_max=10_000)
    for number in range(PART_MAX + 1):
        made.record(key=make_key(f"key_{number}"), client_address="192.0.2.7")
    parts = [*made.recorder.drain()]
    assert [len(part.cells) for part in parts] == [PART_MAX, 1, 0, 0]
    assert sum(len(part.facets) for part in parts) == 2 * (PART_MAX + 1)
    assert max(len(part.facets) for part in parts) == PART_MAX


def test_what_was_drained_does_not_change_any_more() -> None:
    made = Made()
    made.record(key=make_key())
    draining = made.recorder.drain()
    made.record(key=make_key())
    assert one(together(draining)).measures.requests == 1
    assert one(made.drained()).measures.requests == 1


def test_what_a_worker_counted_is_added_to_ours() -> None:
    worker, made = Made(), Made()
    for each in (worker, made):
        each.record(key=make_key(), response_bytes=5)
        each.record()
    sent = pickle.loads(pickle.dumps(worker.drained()))
    made.recorder.take(sent.cells, sent.facets)
    made.recorder.take([a_cell(START, 3, dimensions(tenant_id="ten_b"))], [])
    made.recorder.take([a_cell(START, 3, dimensions(tenant_id="ten_b"))], [])
    counted = made.drained()
    told = sorted((c.dimensions.key_id, c.measures.requests) for c in counted.cells)
    assert told == [("", 1), ("", 1), ("key_1", 1), ("key_1", 1), ("key_a", 6)]
    assert facets(counted, FacetKind.NETWORK) == [
        *[("", "192.0.2.0/24", 1)] * 2,
        *[("key_1", "192.0.2.0/24", 1)] * 2,
    ]


def test_what_workers_count_is_bounded_too() -> None:
    made = Made(counts_max=2)
    cells = [a_cell(START, 2, dimensions(f"key_{n}")) for n in range(4)]
    found = [a_facet(key_id=f"key_{n}") for n in range(4)]
    made.recorder.take(cells, found)
    counted = made.drained()
    assert sum(c.measures.requests for c in counted.cells) == 8
    assert {c.dimensions.key_id for c in counted.cells} == {"key_0", "key_1", OTHER}
    assert made.recorder.folded == 4
    assert [(f.key_id, f.requests) for f in counted.facets] == [
        ("key_0", 1),
        ("key_1", 1),
        (OTHER, 2),
    ]


def test_a_key_that_is_bound_anew_goes_on_being_counted() -> None:
    made = Made()
    for _ in range(3):
        made.record(key=make_key())
    counted = made.drained()
    assert [c.dimensions.key_id for c in counted.cells] == ["key_1"] * 3
    assert facets(counted, FacetKind.NETWORK) == [("key_1", "192.0.2.0/24", 1)] * 3


def test_a_browser_is_noticed_without_reading_the_request_again_hp_19() -> None:
    for field, is_from_browser in ((b"Origin: https://a", True), (b"X-Origin: a", False)):
        raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n"
        head = RequestHeadReader(HeadLimits()).read(raw)
        assert isinstance(head, RequestHead)
        assert head.is_from_browser is is_from_browser
