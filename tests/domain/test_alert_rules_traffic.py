"""What the usage of a key tells, rule by rule: HP-28, IV-24, HP-19, JH-27."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from gateway.domain.alert_rules import traffic
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.traffic import Baseline
from gateway.domain.alerts import Finding
from gateway.domain.business_hours import BusinessHours
from gateway.domain.denial import VERDICTS, Reason
from gateway.domain.keys import KeyState
from tests.alert_samples import DAY, NOW, a_row, a_rule
from tests.key_samples import a_key

LIMIT = a_rule(RuleName.APPROACHING_LIMIT)
VOLUME = a_rule(RuleName.UNUSUAL_VOLUME)
ERRORS = a_rule(RuleName.HIGH_ERROR_RATE, requests_min=10)
FAILURES = a_rule(RuleName.AUTH_FAILURES, per_key=5, per_tenant=8, per_network=3)
LATE = a_rule(RuleName.AFTER_HOURS, requests_min=2)
USED = a_rule(RuleName.REVOKED_USED)


def only(found: Any) -> Finding:
    [finding] = found
    assert isinstance(finding, Finding)
    return finding


# ---- limits


@pytest.mark.parametrize(
    ("rate", "quota", "subjects"),
    [
        (0.79, 0.79, []),
        (0.8, 0.0, ["rate"]),
        (0.0, 0.8, ["quota"]),
        (1.0, 0.95, ["rate", "quota"]),
    ],
)
def test_hp_28_a_key_that_approaches_a_limit_is_found_for_each_kind_of_limit(
    rate: float, quota: float, subjects: list[str]
) -> None:
    row = a_row(requests=1, limit_used_max=rate, quota_used_max=quota)
    found = [*traffic.approaching_limit(row, LIMIT)]
    assert [each.subject for each in found] == subjects
    assert all((each.tenant_id, each.key_id) == ("ten_a", "key_a") for each in found)


def test_what_is_used_of_a_limit_is_told() -> None:
    rate, quota = traffic.approaching_limit(
        a_row(limit_used_max=0.923456, quota_used_max=1.0), LIMIT
    )
    assert (rate.text, rate.details) == ("has used 92% of a rate limit", {"used": 0.9235})
    assert (quota.text, quota.details) == ("has used 100% of a quota", {"used": 1.0})


def test_nothing_used_is_nothing_approached_whatever_the_threshold() -> None:
    anything = a_rule(RuleName.APPROACHING_LIMIT, rate_used=0, quota_used=0)
    assert [*traffic.approaching_limit(a_row(requests=1), anything)] == []


# ---- volume


@pytest.mark.parametrize(
    ("requests", "busiest", "known_for", "is_unusual"),
    [
        (1000, 300, 2 * DAY, True),
        (900, 300, 2 * DAY, False),  # not more than three times as many
        (901, 300, 2 * DAY, True),
        (199, 0, 2 * DAY, False),  # too few to say anything
        (200, 0, 2 * DAY, True),  # a key that slept
        (1000, 300, DAY - 1, False),  # nobody knows yet what is usual
        (1000, 300, DAY, True),
    ],
)
def test_iv_24_volume_is_unusual_against_the_busiest_hour_and_a_least_number(
    requests: int, busiest: int, known_for: float, is_unusual: bool
) -> None:
    baseline = Baseline(busiest_hour=busiest, known_since=NOW - known_for)
    found = [*traffic.unusual_volume(a_row(requests=requests), VOLUME, baseline, NOW)]
    assert bool(found) == is_unusual


def test_unusual_volume_says_what_is_usual() -> None:
    found = only(traffic.unusual_volume(a_row(requests=1000), VOLUME, Baseline(300, 0.0), NOW))
    assert found.text == "made 1000 requests within an hour; 300 was the most in an hour before"
    assert found.details == {"requests": 1000, "busiest_hour": 300}


# ---- errors


@pytest.mark.parametrize(
    ("measures", "subjects"),
    [
        ({"requests": 9, "denied": 9}, []),
        ({"requests": 10, "denied": 4}, []),
        ({"requests": 10, "denied": 5}, ["denied"]),
        ({"requests": 10, "failed": 2}, ["failed"]),
        ({"requests": 10, "upstream_4xx": 3, "upstream_5xx": 2}, ["upstream"]),
        ({"requests": 10, "upstream_4xx": 2, "upstream_5xx": 2}, []),
        ({"requests": 10, "denied": 5, "failed": 2, "upstream_5xx": 3}, ["denied", "failed"]),
        ({"requests": 10}, []),
    ],
)
def test_iv_24_errors_are_told_apart_by_who_made_them_and_need_a_least_number(
    measures: dict[str, int], subjects: list[str]
) -> None:
    found = [*traffic.high_error_rate(a_row(**measures), ERRORS)]
    assert [each.subject for each in found] == subjects


def test_what_was_refused_because_the_key_has_ended_is_no_error_rate() -> None:
    reasons = {"key_expired": 90, "key_revoked": 5}
    assert [*traffic.high_error_rate(a_row(requests=95, denied=95, reasons=reasons), ERRORS)] == []
    also = a_row(requests=115, denied=110, reasons={**reasons, "insufficient_scope": 15})
    found = only(traffic.high_error_rate(also, ERRORS))
    assert found.details == {"errors": 15, "requests": 20, "ratio": 0.75}


def test_a_ratio_of_nothing_needs_an_error() -> None:
    anything = a_rule(RuleName.HIGH_ERROR_RATE, denied_ratio=0, failed_ratio=0, upstream_ratio=0)
    assert [*traffic.high_error_rate(a_row(requests=100), anything)] == []


def test_an_error_rate_says_of_how_many_requests() -> None:
    found = only(traffic.high_error_rate(a_row(requests=10, upstream_5xx=6), ERRORS))
    assert found.text == (
        "has 60% errors: 6 of 10 requests were answered with an error by their upstream"
    )
    assert found.details == {"errors": 6, "requests": 10, "ratio": 0.6}


# ---- failed authentication


def refused(count: int, reason: Reason, **values: Any) -> Any:
    return a_row(requests=count, denied=count, reasons={reason.value: count}, **values)


@pytest.mark.parametrize("reason", traffic.KEY_FAILURES)
def test_hp_28_failed_authentications_with_a_known_key_are_counted(reason: Reason) -> None:
    assert [*traffic.auth_failures_of_key(refused(4, reason), FAILURES)] == []
    found = only(traffic.auth_failures_of_key(refused(5, reason), FAILURES))
    assert (found.text, found.details) == ("failed to authenticate 5 times", {"failures": 5})


def test_a_refusal_that_is_no_failed_authentication_does_not_count() -> None:
    for reason in (Reason.RATE_LIMITED, Reason.INSUFFICIENT_SCOPE, Reason.IP_NOT_ALLOWED):
        assert [*traffic.auth_failures_of_key(refused(50, reason), FAILURES)] == []


def test_hp_28_failed_authentications_of_a_tenant_add_up_over_its_keys() -> None:
    rows = [refused(4, Reason.KEY_EXPIRED), refused(4, Reason.KEY_SUSPENDED), a_row(requests=9)]
    found = only(traffic.auth_failures_of_tenant("ten_a", rows, FAILURES))
    assert (found.tenant_id, found.key_id) == ("ten_a", "")
    assert found.text == "has 2 keys that failed to authenticate 8 times"
    assert [*traffic.auth_failures_of_tenant("ten_a", rows[1:], FAILURES)] == []
    one = only(traffic.auth_failures_of_tenant("ten_a", [refused(8, Reason.KEY_EXPIRED)], FAILURES))
    assert one.text == "has 1 key that failed to authenticate 8 times"


def test_hp_28_unknown_credentials_are_counted_per_network() -> None:
    failed = {"198.51.100.0/24": 3, "203.0.113.0/24": 2}
    found = only(traffic.auth_failures_of_networks(failed, FAILURES))
    assert (found.tenant_id, found.key_id, found.subject) == ("", "", "198.51.100.0/24")
    assert found.text == "was tried with unknown credentials 3 times from 198.51.100.0/24"


def test_unknown_credentials_from_nobody_knows_where_are_told_together() -> None:
    found = only(traffic.auth_failures_of_networks({}, FAILURES, unplaced=3))
    assert found.subject == "unknown credentials"
    assert found.text == "was tried with unknown credentials 3 times"
    assert [*traffic.auth_failures_of_networks({}, FAILURES, unplaced=2)] == []


def test_every_failed_authentication_belongs_to_one_of_the_two_kinds() -> None:
    said = {Reason.MISSING_CREDENTIALS}  # nothing was tried
    for reason, verdict in VERDICTS.items():
        if verdict.status == 401:
            known = reason in traffic.KEY_FAILURES
            unknown = reason in traffic.UNKNOWN_FAILURES
            assert known + unknown == (reason not in said), reason


# ---- who should not be there


@pytest.mark.parametrize(
    ("reason", "state", "sentence"),
    [
        (Reason.KEY_REVOKED, "revoked", "was used after it was revoked"),
        (Reason.KEY_SUSPENDED, "suspended", "was used while it was suspended"),
    ],
)
def test_jh_11_somebody_who_still_holds_a_stopped_key_is_found(
    reason: Reason, state: str, sentence: str
) -> None:
    found = only(traffic.still_used(refused(1, reason), USED))
    assert found.subject == state
    assert found.text == f"{sentence} (1 request)"
    assert found.details == {"requests": 1, "state": state, "networks": []}
    assert [*traffic.still_used(refused(9, Reason.KEY_EXPIRED), USED)] == []
    assert traffic.is_held(refused(1, reason))
    assert not traffic.is_held(refused(1, Reason.KEY_EXPIRED))


def test_the_use_of_a_suspended_key_is_past_when_the_key_works_again() -> None:
    told = only(traffic.still_used(refused(1, Reason.KEY_SUSPENDED), USED))
    resumed, rotating = a_key(), a_key(state=KeyState.ROTATING)
    assert traffic.is_past(told, resumed, NOW)
    assert traffic.is_past(told, rotating, NOW)
    by_itself = a_key(state=KeyState.SUSPENDED, resume_at=NOW)
    assert [traffic.is_past(told, by_itself, now) for now in (NOW - 1, NOW)] == [False, True]
    assert not traffic.is_past(told, a_key(state=KeyState.REVOKED), NOW)
    assert not traffic.is_past(told, None, NOW)
    other = only(traffic.still_used(refused(1, Reason.KEY_REVOKED), USED))
    assert not traffic.is_past(other, resumed, NOW)
    browser = only(traffic.client_side(a_row(from_browser=1), USED))
    assert not traffic.is_past(browser, resumed, NOW)


def test_somebody_who_still_holds_a_key_is_told_with_where_they_are() -> None:
    row = refused(2, Reason.KEY_REVOKED)
    found = only(traffic.still_used(row, USED, ["192.0.2.0/24", "203.0.113.0/24"]))
    assert found.text == (
        "was used after it was revoked (2 requests, from 192.0.2.0/24, 203.0.113.0/24)"
    )
    assert found.details["networks"] == ["192.0.2.0/24", "203.0.113.0/24"]


def test_hp_19_a_key_in_a_browser_is_found() -> None:
    rule = a_rule(RuleName.CLIENT_SIDE)
    found = only(traffic.client_side(a_row(requests=7, from_browser=2), rule))
    assert found.text == "is used from a browser, where everybody can read it (2 requests)"
    assert [*traffic.client_side(a_row(requests=7), rule)] == []


def test_jh_27_a_key_of_another_environment_is_found() -> None:
    rule = a_rule(RuleName.UNEXPECTED_ENVIRONMENT)
    found = only(traffic.unexpected_environment(refused(3, Reason.ENV_MISMATCH), rule))
    assert found.text == "was refused where another environment is wanted (3 requests)"
    assert [*traffic.unexpected_environment(refused(3, Reason.RATE_LIMITED), rule)] == []


def test_a_key_that_an_address_list_kept_out_is_found() -> None:
    rule = a_rule(RuleName.UNEXPECTED_ADDRESS)
    found = only(traffic.refused_address(refused(1, Reason.IP_NOT_ALLOWED), rule))
    assert (found.subject, found.rule) == ("refused", RuleName.UNEXPECTED_ADDRESS)
    assert [*traffic.refused_address(a_row(requests=5), rule)] == []


# ---- hours

NINE_TO_FIVE = BusinessHours(zone=UTC, days=frozenset(range(7)), opens=540, closes=1020)
NOON = 1_700_049_600


def test_iv_24_use_outside_business_hours_is_found() -> None:
    rows = [
        a_row(start=NOON, requests=50),
        a_row(start=NOON + 6 * 3600, requests=1),
        a_row(start=NOON + 6 * 3600 + 60, requests=3, denied=2),
    ]
    found = only(traffic.after_hours(rows, NINE_TO_FIVE, LATE))
    assert found.details == {"requests": 2}  # what was refused is no use
    assert found.text == "is used outside business hours (2 requests)"
    assert (found.tenant_id, found.key_id) == ("ten_a", "key_a")


def test_use_within_business_hours_is_no_surprise() -> None:
    rows = [a_row(start=NOON, requests=50), a_row(start=NOON + 60, requests=1)]
    assert [*traffic.after_hours(rows, NINE_TO_FIVE, LATE)] == []
    assert [*traffic.after_hours([], NINE_TO_FIVE, LATE)] == []


def test_rows_without_a_time_are_passed_over() -> None:
    assert [*traffic.after_hours([a_row(requests=9)], NINE_TO_FIVE, LATE)] == []
