"""What keys did is judged in the right window, for the right tenant: HP-28, IV-24, HP-19, JH-27."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.alerts.traffic import SHORT_SECONDS
from gateway.domain.alert_rules.traffic import UNKNOWN_FAILURES
from gateway.domain.denial import Reason
from gateway.domain.keys import KeyState
from gateway.domain.usage import Interval
from tests.alert_samples import DAY, NOW, a_book, some_settings
from tests.alerts.watching import Watching, watching

LIMIT, VOLUME, FAILURES = (
    "ApiKeyApproachingRateLimit",
    "ApiKeyUnusualVolume",
    "ApiKeyAuthFailuresHigh",
)
LATE, HELD = "ApiKeyAfterHoursUse", "RevokedApiKeyStillUsed"
HOURS = {
    "time_zone": "Europe/Berlin",
    "business_hours": {"opens": "08:00", "closes": "18:00"},
}


def of(found: list[tuple[str, str, str]], rule: str) -> list[tuple[str, str]]:
    return [(key, subject) for name, key, subject in found if name == rule]


async def found(watch: Watching, rule: str) -> list[tuple[str, str]]:
    await watch.evaluator.look()
    return of(await watch.alerts("firing"), rule)


async def test_hp_28_a_rate_is_judged_by_the_last_minutes() -> None:
    watch = await watching()
    await watch.use(limit_used_max=0.9)
    assert await found(watch, LIMIT) == [("key_a", "rate")]
    other = await watching()
    await other.use(limit_used_max=0.9, at=NOW - 400)
    assert await found(other, LIMIT) == []


async def test_hp_28_a_quota_is_judged_by_the_day_because_it_lasts() -> None:
    watch = await watching()
    midnight = Interval.DAY.start_of(NOW)
    await watch.use(quota_used_max=0.85, at=midnight + 60, limit_used_max=1.0)
    assert await found(watch, LIMIT) == [("key_a", "quota")]
    yesterday = await watching()
    await yesterday.use(quota_used_max=1.0, at=midnight - 60)
    assert await found(yesterday, LIMIT) == []


# ---- volume


async def with_history(busiest: int = 300) -> Watching:
    watch = await watching()
    for day in range(1, 8):
        await watch.use(requests=busiest, at=NOW - day * DAY)
    return watch


async def test_iv_24_volume_is_unusual_against_the_busiest_hour_of_the_past_week() -> None:
    watch = await with_history()
    await watch.use(requests=900)
    assert await found(watch, VOLUME) == []
    await watch.use(requests=1)
    assert await found(watch, VOLUME) == [("key_a", "")]


async def test_a_new_key_has_no_usual_volume() -> None:
    watch = await with_history()
    await watch.add_key("key_b", created_at=NOW - 3600)
    await watch.use("key_b", requests=10_000)
    assert await found(watch, VOLUME) == []


async def test_a_gateway_that_has_just_begun_to_count_knows_nothing_usual() -> None:
    watch = await watching()
    await watch.use(requests=10_000)
    assert await found(watch, VOLUME) == []


async def test_a_key_that_slept_and_wakes_up_is_unusual() -> None:
    watch = await with_history()
    await watch.add_key("key_b")
    await watch.use("key_b", requests=200)
    assert await found(watch, VOLUME) == [("key_b", "")]


async def test_what_is_usual_is_asked_once_an_hour_for_each_key() -> None:
    watch = await with_history()
    asked: list[Any] = []
    cells = watch.usage.cells

    async def counting(query: Any) -> Any:
        asked.append(query.key_id)
        return await cells(query)

    watch.usage.cells = counting
    await watch.use(requests=500)
    for _ in range(3):
        await watch.look()
    assert asked.count("key_a") == 1
    await watch.use(requests=500, at=NOW + 3600)
    await watch.look(3600)
    assert asked.count("key_a") == 2


# ---- failed authentication


@pytest.mark.parametrize("reason", [Reason.KEY_EXPIRED, Reason.KEY_REVOKED])
async def test_hp_28_failures_are_counted_per_key_and_per_tenant(reason: Reason) -> None:
    book = a_book(ApiKeyAuthFailuresHigh={"per_key": 10, "per_tenant": 15})
    watch = await watching(settings=some_settings(book))
    await watch.add_key("key_b")
    await watch.refuse(reason.value, "key_a", 10)
    assert await found(watch, FAILURES) == [("key_a", "")]
    await watch.refuse(reason.value, "key_b", 5)
    assert await found(watch, FAILURES) == [("key_a", ""), ("ten_a", "")]


async def test_hp_28_unknown_credentials_are_placed_with_the_request_log() -> None:
    watch = await watching()
    await watch.refuse("unknown_key", "", 49)
    assert await found(watch, FAILURES) == []
    assert watch.requests.asked == []  # only asked when there are many
    await watch.refuse("bad_checksum", "", 30)
    watch.requests.rows = [
        *({"reason": "unknown_key", "client_address": "198.51.100.7"} for _ in range(49)),
        *({"reason": "bad_checksum", "client_address": "198.51.100.7"} for _ in range(1)),
        *({"reason": "bad_checksum", "client_address": "203.0.113.9"} for _ in range(29)),
        {"reason": "bad_checksum"},
    ]
    assert await found(watch, FAILURES) == [("", "198.51.100.7/24")]
    assert {query.reason for query in watch.requests.asked} == {
        each.value for each in UNKNOWN_FAILURES
    }
    assert {query.since for query in watch.requests.asked} == {NOW - SHORT_SECONDS}


async def test_without_a_request_log_unknown_credentials_are_told_without_a_place() -> None:
    watch = await watching()
    watch.requests.is_kept = False
    await watch.refuse("unknown_key", "", 50)
    assert await found(watch, FAILURES) == [("", "unknown credentials")]


async def test_rules_of_one_tenant_say_nothing_about_unknown_credentials() -> None:
    watch = await watching(
        settings=some_settings(a_book(ApiKeyAuthFailuresHigh={"enabled": False}))
    )
    own = {"rules": {FAILURES: {"enabled": True, "per_key": 1, "per_tenant": 1}}}
    await watch.add_tenant("ten_b", alerts=own)
    await watch.add_key("key_b", tenant_id="ten_b")
    await watch.refuse("unknown_key", "", 500)
    await watch.refuse("key_expired", "key_a", 500)
    await watch.refuse("key_expired", "key_b", 1, tenant_id="ten_b")
    assert await found(watch, FAILURES) == [("key_b", ""), ("ten_b", "")]


# ---- who should not be there


@pytest.mark.parametrize(
    ("reason", "rule", "subject"),
    [
        ("key_revoked", HELD, "revoked"),
        ("env_mismatch", "ApiKeyUnexpectedEnvironment", ""),
        ("ip_not_allowed", "ApiKeyUnexpectedAddress", "refused"),
    ],
)
async def test_jh_11_jh_27_one_request_is_enough(reason: str, rule: str, subject: str) -> None:
    watch = await watching()
    await watch.refuse(reason)
    assert await found(watch, rule) == [("key_a", subject)]


async def test_jh_11_it_is_told_from_where_a_revoked_key_is_used_now() -> None:
    watch = await watching()
    await watch.use(network="192.0.2.0/24", at=NOW - 1200, requests=50)  # before it was revoked
    for number in range(7):
        await watch.refuse("key_revoked", requests=9 - number, network=f"203.0.{number}.0/24")
    await watch.refuse("key_revoked", network="__other__", requests=99)
    await watch.evaluator.look()
    [alert] = [each for each in await watch.kept.open_alerts(10) if each.rule == HELD]
    assert alert.details["networks"] == [f"203.0.{number}.0/24" for number in range(5)]
    assert "(141 requests, from 203.0.0.0/24, 203.0.1.0/24, " in alert.summary


async def test_jh_11_a_use_waits_until_it_is_known_from_where_it_was() -> None:
    watch = await watching()
    await watch.refuse("key_revoked", network="")
    assert await found(watch, HELD) == []
    watch.clock.advance(10)
    await watch.refuse("key_revoked", network="203.0.113.0/24")
    assert await found(watch, HELD) == [("key_a", "revoked")]
    [alert] = await watch.kept.open_alerts(10)
    assert alert.details["networks"] == ["203.0.113.0/24"]


async def test_jh_11_a_use_from_nowhere_is_told_all_the_same() -> None:
    watch = await watching()
    await watch.refuse("key_revoked", network="")
    assert await found(watch, HELD) == []
    watch.clock.advance(14)
    assert await found(watch, HELD) == []
    watch.clock.advance(1)
    assert await found(watch, HELD) == [("key_a", "revoked")]
    await watch.look(after=5)
    [alert] = await watch.kept.open_alerts(10)
    assert alert.absent_since is None


async def test_jh_11_the_use_of_a_suspended_key_is_over_as_soon_as_it_works_again() -> None:
    watch = await watching()
    await watch.add_key("key_b", state=KeyState.SUSPENDED)
    await watch.add_key("key_c", state=KeyState.SUSPENDED, resume_at=NOW + 2_000)
    for key_id in ("key_b", "key_c"):
        await watch.refuse("key_suspended", key_id)
    assert await found(watch, HELD) == [("key_b", "suspended"), ("key_c", "suspended")]
    await watch.add_key("key_b")  # resumed, and still seen within the last minutes
    await watch.look()
    assert of(await watch.alerts("firing"), HELD) == [("key_c", "suspended")]
    await watch.look(1_800)  # not seen any more, and waits for a day
    assert of(await watch.alerts("firing"), HELD) == [("key_c", "suspended")]
    await watch.look(140)  # resumed by itself
    assert of(await watch.alerts("firing"), HELD) == []
    assert (await watch.audited()).count("alert.resolved") == 2


async def test_jh_11_the_use_of_a_revoked_key_is_over_a_day_after_the_last() -> None:
    watch = await watching()
    await watch.add_key("key_b", state=KeyState.REVOKED)
    await watch.refuse("key_revoked", "key_b")
    assert await found(watch, HELD) == [("key_b", "revoked")]
    await watch.look(960)
    await watch.look(DAY - 60)
    assert of(await watch.alerts("firing"), HELD) == [("key_b", "revoked")]
    await watch.look(60)
    assert of(await watch.alerts("firing"), HELD) == []


async def test_hp_19_use_in_a_browser_is_found() -> None:
    watch = await watching()
    await watch.use(requests=5, from_browser=1)
    assert await found(watch, "ApiKeyClientSideUse") == [("key_a", "")]


async def test_requests_without_a_key_are_nobodys_fault() -> None:
    watch = await watching(settings=some_settings(a_book(ApiKeyHighErrorRate={"requests_min": 1})))
    await watch.use("", requests=500, denied=500, from_browser=500, limit_used_max=1.0)
    await watch.use("__other__", requests=500, denied=500, reasons={"key_revoked": 500})
    await watch.evaluator.look()
    assert await watch.alerts() == []


# ---- hours

MONDAY_NOON = 1_792_404_000.0
"""19 October 2026, 12:00 in Berlin."""


async def working(**alerts: Any) -> Watching:
    watch = Watching()
    watch.clock.wall = MONDAY_NOON
    await watch.add_tenant("ten_a", alerts={**HOURS, **alerts})
    await watch.add_key()
    return watch


async def test_iv_24_use_after_hours_is_found_by_the_calendar_of_the_tenant() -> None:
    watch = await working()
    await watch.add_tenant("ten_b")
    await watch.add_key("key_b", tenant_id="ten_b")
    await watch.use()
    assert await found(watch, LATE) == []
    watch.clock.advance(8 * 3600)
    await watch.use()
    await watch.use("key_b", tenant_id="ten_b")  # has no business hours
    assert await found(watch, LATE) == [("key_a", "")]


async def test_iv_24_a_request_in_the_last_minute_of_the_day_is_not_after_hours() -> None:
    watch = await working()
    closing = MONDAY_NOON + 6 * 3600
    await watch.use(at=closing - 1)
    watch.clock.wall = closing + 30
    assert await found(watch, LATE) == []
    await watch.use(at=closing)
    assert await found(watch, LATE) == [("key_a", "")]


async def test_after_hours_may_be_switched_off_for_a_tenant_that_has_them() -> None:
    watch = await working(rules={LATE: {"enabled": False}})
    watch.clock.advance(8 * 3600)
    await watch.use()
    assert await found(watch, LATE) == []


async def test_business_hours_are_those_of_the_owner_of_the_key() -> None:
    watch = await working()
    await watch.add_tenant("ten_b", alerts={**HOURS, "time_zone": "America/Los_Angeles"})
    await watch.add_key("key_b", tenant_id="ten_b")
    watch.clock.advance(8 * 3600)  # 20:00 in Berlin is 11:00 there
    await watch.use("key_b", tenant_id="ten_b")
    assert await found(watch, LATE) == []
