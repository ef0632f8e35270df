"""What a tenant may say about its alerts, and where it is wrong."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.domain.alert_rules import overrides
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.zones import zone_named

WHOLE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "business_hours": {"days": ["mon", "sat"], "opens": "08:30", "closes": "17:00"},
    "holidays": ["2026-12-25"],
    "rules": {
        "ApiKeyHighErrorRate": {
            "enabled": True,
            "severity": "info",
            "denied_ratio": 0.1,
            "requests_min": 5,
            "fire_after": "10m",
            "resolve_after": 0,
            "except_tags": ["batch"],
        },
        "ApiKeyUnexpectedAddress": {"learning": "14d"},
    },
}


def problems(alerts: dict[str, Any]) -> dict[str, str]:
    return dict(overrides.problems(alerts, zone_named))


def test_everything_that_may_be_said_is_accepted() -> None:
    assert problems(WHOLE) == {}
    assert problems({}) == {}


@pytest.mark.parametrize(
    ("alerts", "pointer", "text"),
    [
        ({"mail": []}, "/mail", "is unknown (known: time_zone, business_hours, holidays, rules)"),
        ({"a/b~c": 1}, "/a~1b~0c", "is unknown"),
        ({"time_zone": "Europe/Berlino"}, "/time_zone", "is no time zone"),
        ({"time_zone": "../etc/passwd"}, "/time_zone", "is no time zone"),
        ({"time_zone": 1}, "/time_zone", "is no time zone"),
        ({"business_hours": []}, "/business_hours", "must be an object"),
        ({"business_hours": {"opens": "08:00"}}, "/business_hours/closes", "is missing"),
        (
            {"business_hours": {"opens": "8", "closes": "17:00"}},
            "/business_hours/opens",
            "is no time of day",
        ),
        (
            {"business_hours": {"opens": "08:00", "closes": "17:00", "days": ["monday"]}},
            "/business_hours/days",
            "is a list of mon, tue",
        ),
        (
            {"business_hours": {"opens": "08:00", "closes": "17:00", "days": "mon"}},
            "/business_hours/days",
            "is a list of",
        ),
        (
            {"business_hours": {"opens": "08:00", "closes": "17:00", "zone": "UTC"}},
            "/business_hours/zone",
            "is unknown",
        ),
        ({"holidays": "2026-12-25"}, "/holidays", "is a list"),
        ({"holidays": ["2026-12-25"] * 101}, "/holidays", "at most 100"),
        ({"holidays": ["2026-12-25", "christmas"]}, "/holidays/1", "is no date"),
        ({"holidays": [20261225]}, "/holidays/0", "is no date"),
        ({"rules": []}, "/rules", "must be an object"),
        ({"rules": {"Unheard": {}}}, "/rules/Unheard", "is no rule for tenants"),
        ({"rules": {"UpstreamDown": {}}}, "/rules/UpstreamDown", "is no rule for tenants"),
        ({"rules": {"ApiKeyExpiringSoon": 1}}, "/rules/ApiKeyExpiringSoon", "must be an object"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    alerts: dict[str, Any], pointer: str, text: str
) -> None:
    found = problems(alerts)
    assert [*found] == [pointer]
    assert found[pointer].startswith(text) or text in found[pointer]


@pytest.mark.parametrize(
    ("own", "below", "text"),
    [
        ({"enabled": "yes"}, "/enabled", "is true or false"),
        ({"severity": "urgent"}, "/severity", "is one of info, warning, critical"),
        ({"severity": []}, "/severity", "is one of"),
        ({"channels": ["ops"]}, "/channels", "is unknown"),
        ({"except_tags": "ci"}, "/except_tags", "is a list"),
        ({"except_tags": [1]}, "/except_tags", "is a list"),
        ({"except_tags": ["t"] * 21}, "/except_tags", "at most 20"),
        ({"fire_after": "soon"}, "/fire_after", "is no duration"),
        ({"fire_after": "31d"}, "/fire_after", "must lie between 0 and 2.592e+06 seconds"),
        ({"factor": "3"}, "/factor", "must be a number"),
        ({"factor": "3s"}, "/factor", "must be a number"),
        ({"factor": True}, "/factor", "must be a number"),
        ({"factor": 0.5}, "/factor", "must lie between 1 and 1e+06"),
        ({"factor": float("nan")}, "/factor", "must lie between"),
        ({"requests_min": 0}, "/requests_min", "must lie between"),
        ({"history_min": "x"}, "/history_min", "is no duration"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_with_its_place(
    own: dict[str, Any], below: str, text: str
) -> None:
    found = problems({"rules": {"ApiKeyUnusualVolume": own}})
    assert [*found] == [f"/rules/ApiKeyUnusualVolume{below}"]
    assert text in found[f"/rules/ApiKeyUnusualVolume{below}"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "time_zone": "x",
        "holidays": ["a", "b"],
        "rules": {"Unheard": {}, "ApiKeyUnusualVolume": {"factor": 0}},
    }
    assert [*problems(wrong)] == [
        "/time_zone",
        "/holidays/0",
        "/holidays/1",
        "/rules/Unheard",
        "/rules/ApiKeyUnusualVolume/factor",
    ]


def test_a_tenant_may_change_every_rule_that_is_about_it() -> None:
    own = {name.value: {"enabled": False} for name in RuleName if RULES[name].is_of_tenant}
    assert problems({"rules": own}) == {}


def test_business_hours_are_read_as_they_are_written() -> None:
    hours = overrides.business_hours(WHOLE, zone_named)
    assert hours is not None
    assert (sorted(hours.days), hours.opens, hours.closes) == ([0, 5], 510, 1020)
    assert (str(hours.zone), [*hours.holidays]) == ("Europe/Berlin", [date(2026, 12, 25)])


def test_business_hours_are_monday_to_friday_in_utc_unless_something_else_is_said() -> None:
    hours = overrides.business_hours(
        {"business_hours": {"opens": "08:00", "closes": "17:00"}}, zone_named
    )
    assert hours is not None
    assert (sorted(hours.days), str(hours.zone)) == ([0, 1, 2, 3, 4], "UTC")


def test_a_tenant_without_business_hours_has_none() -> None:
    assert overrides.business_hours({"time_zone": "Europe/Berlin"}, zone_named) is None
    gone = {**WHOLE, "time_zone": "Europe/Atlantis"}
    assert overrides.business_hours(gone, zone_named) is None
