"""What a tenant may say about its alerts (`Tenant.alerts`): its business hours, and what it wants of each rule.

Knows the shape and says all that is wrong with it at once, each with its place. It must not know how it arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, tzinfo
from typing import Any, Final

from gateway.domain.alert_rules.catalogue import RULES, Number, RuleName
from gateway.domain.alert_rules.durations import read_seconds
from gateway.domain.alerts import Severity
from gateway.domain.business_hours import DAYS, BusinessHours, read_minute

ZoneNamed = Callable[[str], tzinfo | None]
"""Returns the time zone with a name of the tz database, or None."""

Problem = tuple[str, str]
"""A JSON pointer below `Tenant.alerts`, and what is wrong there."""

HOLIDAYS_MAX: Final = 100
TAGS_MAX: Final = 20

_PARTS: Final = ("time_zone", "business_hours", "holidays", "rules")
_HOURS: Final = ("days", "opens", "closes")
_WAITS: Final = ("fire_after", "resolve_after")
_WAIT: Final = Number(0.0, 30 * 86_400.0, is_duration=True)


def business_hours(alerts: Mapping[str, Any], zone_named: ZoneNamed) -> BusinessHours | None:
    """Return the business hours in `Tenant.alerts` that broke no rule; None where there are none, or no such zone."""
    hours = alerts.get("business_hours")
    zone = zone_named(alerts["time_zone"]) if "time_zone" in alerts else UTC
    if hours is None or zone is None:
        return None
    return BusinessHours(
        zone=zone,
        days=frozenset(DAYS.index(day) for day in hours.get("days", DAYS[:5])),
        opens=read_minute(hours["opens"]),
        closes=read_minute(hours["closes"]),
        holidays=frozenset(date.fromisoformat(day) for day in alerts.get("holidays", ())),
    )


def problems(alerts: Mapping[str, Any], zone_named: ZoneNamed) -> Iterator[Problem]:
    """Yield what is wrong with `Tenant.alerts`."""
    yield from _unknown(alerts, _PARTS)
    if "time_zone" in alerts:
        zone = alerts["time_zone"]
        if not isinstance(zone, str) or zone_named(zone) is None:
            yield "/time_zone", "is no time zone: write a name such as Europe/Berlin"
    if "business_hours" in alerts:
        yield from _hours(alerts["business_hours"])
    if "holidays" in alerts:
        yield from _holidays(alerts["holidays"])
    rules = alerts.get("rules", {})
    if not isinstance(rules, Mapping):
        yield "/rules", "must be an object: rule by name"
        return
    for name, own in rules.items():
        for below, text in _rule(name, own):
            yield f"/rules/{_escaped(name)}{below}", text


def _hours(hours: object) -> Iterator[Problem]:
    if not isinstance(hours, Mapping):
        yield "/business_hours", "must be an object with opens and closes"
        return
    for below, text in _unknown(hours, _HOURS):
        yield f"/business_hours{below}", text
    days = hours.get("days", [])
    if not isinstance(days, list | tuple) or any(day not in DAYS for day in days):
        yield "/business_hours/days", f"is a list of {', '.join(DAYS)}"
    for name in ("opens", "closes"):
        text = _time_problem(hours.get(name))
        if text:
            yield f"/business_hours/{name}", text


def _time_problem(value: object) -> str:
    if not isinstance(value, str):
        return "is missing: write a time of day such as 08:30"
    try:
        read_minute(value)
    except ValueError as error:
        return str(error)
    return ""


def _holidays(days: object) -> Iterator[Problem]:
    if not isinstance(days, list | tuple) or len(days) > HOLIDAYS_MAX:
        yield "/holidays", f"is a list of at most {HOLIDAYS_MAX} dates"
        return
    for index, day in enumerate(days):
        if not _is_date(day):
            yield f"/holidays/{index}", "is no date: write 2026-12-25"


def _is_date(day: object) -> bool:
    if not isinstance(day, str):
        return False
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _rule(name: str, own: object) -> Iterator[Problem]:
    info = RULES[RuleName(name)] if name in set(RuleName) else None
    if info is None or not info.is_of_tenant:
        known = ", ".join(each.value for each in RuleName if RULES[each].is_of_tenant)
        yield "", f"is no rule for tenants (these are: {known})"
        return
    if not isinstance(own, Mapping):
        yield "", "must be an object"
        return
    allowed = ("enabled", "severity", "except_tags", *_WAITS, *info.numbers)
    yield from _unknown(own, allowed)
    if not isinstance(own.get("enabled", True), bool):
        yield "/enabled", "is true or false"
    if own.get("severity", Severity.INFO.value) not in [each.value for each in Severity]:
        yield "/severity", f"is one of {', '.join(Severity)}"
    tags = own.get("except_tags", [])
    is_list = isinstance(tags, list | tuple) and len(tags) <= TAGS_MAX
    if not is_list or any(not isinstance(tag, str) for tag in tags):
        yield "/except_tags", f"is a list of at most {TAGS_MAX} tags"
    for wait in _WAITS:
        yield from _number(wait, own, _WAIT)
    for each, number in info.numbers.items():
        yield from _number(each, own, number)


def _number(name: str, own: Mapping[str, Any], number: Number) -> Iterator[Problem]:
    if name not in own:
        return
    problem = _number_problem(own[name], number)
    if problem:
        yield f"/{name}", problem


def _number_problem(value: object, number: Number) -> str:
    if not number.is_duration and not isinstance(value, int | float):
        return "must be a number"
    try:
        seconds = read_seconds(value)
    except ValueError as error:
        return str(error) if number.is_duration else "must be a number"
    if number.least <= seconds <= number.most:
        return ""
    unit = " seconds" if number.is_duration else ""
    return f"must lie between {number.least:g} and {number.most:g}{unit}"


def _unknown(given: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[Problem]:
    for name in given:
        if name not in allowed:
            yield f"/{_escaped(name)}", f"is unknown (known: {', '.join(allowed)})"


def _escaped(name: str) -> str:
    """Return `name` as a step of a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
