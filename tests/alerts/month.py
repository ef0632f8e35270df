"""A month of three companies, by the minute: what everybody does every day, and what goes wrong on which day.

Nothing here is random. 10 October to 10 November 2026: the clocks of Berlin are put back on 25 October, those of New
York on 1 November.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.domain.alert_rules.health import Health
from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from gateway.domain.usage import Retention
from tests.alert_samples import DAY, a_book, some_settings
from tests.alerts.watching import Watching
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
STEP: Final = 300
"""Seconds between two rounds, and between two bursts of requests."""

OFFICE, ELSEWHERE = "192.0.2.0/24", "203.0.113.0/24"
_KEPT = Retention(
    minute_seconds=7_200, hour_seconds=9 * DAY, day_seconds=40 * DAY, facet_seconds=31 * DAY
)


def at(text: str, zone: tzinfo = UTC) -> float:
    """Return epoch seconds of `10-25 02:30`."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=zone).timestamp()


BEGIN, END = at("10-10 00:00"), at("11-10 00:00")
HISTORY: Final = at("10-02 00:00")
"""Since when there is traffic: the rules are looked at from `BEGIN` on."""


class Month:
    """Lets the month pass."""

    def __init__(self) -> None:
        policies = PolicyRules(
            reminders=(7 * DAY, DAY),
            rotation=(RotationRule(match=KeyMatch(scopes=("*:write",)), every_seconds=90 * DAY),),
        )
        self.watch = Watching(
            settings=some_settings(a_book(), policies=policies), clock=FakeClock(HISTORY)
        )

    async def pass_by(self) -> None:
        """Let everything happen, and look every five minutes."""
        await self._settle_in()
        watch, moment = self.watch, HISTORY
        while moment < END:
            await self._everyday(moment)
            await self._incidents(moment)
            watch.clock.wall = watch.clock.mono = moment + STEP - 1
            if moment >= BEGIN:
                watch.health = _health(moment)
                await watch.evaluator.look()
            if moment % 3_600 == 0:
                await watch.usage.prune(moment, _KEPT)
            moment += STEP

    async def _settle_in(self) -> None:
        store = self.watch.store
        berlin = {
            "time_zone": "Europe/Berlin",
            "business_hours": {"opens": "08:00", "closes": "18:00"},
            "holidays": ["2026-11-06"],
        }
        york = {
            "time_zone": "America/New_York",
            "business_hours": {"opens": "09:00", "closes": "17:00"},
        }
        for tenant_id, alerts in (("berlin", berlin), ("york", york), ("round", {})):
            await store.save_tenant(a_tenant(tenant_id, alerts=alerts))
        for key_id, tenant_id, values in (
            (
                "web",
                "berlin",
                {"scopes": ("jobs:write",), "created_at": at("10-28 00:00") - 90 * DAY},
            ),
            ("old", "berlin", {"state": "revoked"}),
            ("temp", "berlin", {"expires_at": at("11-01 12:00")}),
            ("desk", "york", {}),
            ("ended", "york", {"state": "expired", "expires_at": at("10-09 00:00")}),
            ("batch", "round", {"tags": ("batch",)}),
        ):
            given: dict[str, Any] = {"created_at": HISTORY - 60 * DAY, **values}
            await store.save_key(a_key(key_id, tenant_id=tenant_id, name=key_id, **given))

    async def _everyday(self, moment: float) -> None:
        """What nobody is surprised at."""
        use = self.watch.use
        for key_id, tenant_id, zone, opens, closes, holiday in (
            ("web", "berlin", BERLIN, 8, 18, "11-06"),
            ("desk", "york", NEW_YORK, 9, 17, ""),
        ):
            wall = datetime.fromtimestamp(moment, zone)
            is_holiday = f"{wall:%m-%d}" == holiday
            if wall.weekday() < 5 and opens <= wall.hour < closes and not is_holiday:
                await use(
                    key_id, 40, tenant_id=tenant_id, at=moment, limit_used_max=0.5, denied=1,
                    reasons={"rate_limited": 1},
                )  # fmt: skip
        if datetime.fromtimestamp(moment, UTC).hour == 2:  # the batch of every night
            day = datetime.fromtimestamp(moment, UTC)
            used = 0.0274 * (day.day if day.month == 10 else 0)
            await use("batch", 1_000, tenant_id="round", at=moment, quota_used_max=used)

    async def _incidents(self, moment: float) -> None:
        for text, zone, minutes, happen in INCIDENTS:
            begin = at(text, zone)
            if begin <= moment < begin + 60 * minutes:
                await happen(self.watch, moment)


Happen = Callable[[Watching, float], Awaitable[None]]


def _use(key_id: str, tenant_id: str, requests: int = 1, **values: Any) -> Happen:
    async def happen(watch: Watching, moment: float) -> None:
        await watch.use(key_id, requests, tenant_id=tenant_id, at=moment, **values)

    return happen


def _refuse(reason: str, key_id: str, tenant_id: str, requests: int = 1) -> Happen:
    async def happen(watch: Watching, moment: float) -> None:
        await watch.refuse(reason, key_id, requests, tenant_id=tenant_id, at=moment)

    return happen


async def _guess(watch: Watching, moment: float) -> None:
    await watch.refuse("unknown_key", "", 60, at=moment)
    watch.requests.rows = [
        {"reason": "unknown_key", "client_address": "198.51.100.7"} for _ in range(60)
    ]


async def _lend(watch: Watching, moment: float) -> None:
    """Give somebody a key for three days: too short for a reminder a week before."""
    record = a_key(
        "lent", tenant_id="round", name="lent", created_at=moment, expires_at=moment + 3 * DAY
    )
    await watch.store.save_key(record)


INCIDENTS: Final[tuple[tuple[str, tzinfo, int, Happen], ...]] = (
    ("10-12 14:00", BERLIN, 10, _use("web", "berlin", limit_used_max=0.95)),
    ("10-14 10:00", BERLIN, 60, _use("web", "berlin", 160)),  # with everyday's 40: 2,400 in an hour
    ("10-15 11:00", BERLIN, 15, _refuse("insufficient_scope", "web", "berlin", 60)),
    ("10-16 11:00", BERLIN, 15, _use("web", "berlin", 60, upstream_5xx=60)),
    ("10-17 03:00", BERLIN, 5, _use("web", "berlin")),  # a Saturday night
    ("10-20 06:00", UTC, 5, _refuse("key_revoked", "old", "berlin")),  # a forgotten job,
    ("10-21 06:00", UTC, 5, _refuse("key_revoked", "old", "berlin")),  # once a day
    ("10-22 06:00", UTC, 5, _refuse("key_revoked", "old", "berlin")),
    ("10-21 12:00", BERLIN, 30, _use("web", "berlin", network=ELSEWHERE)),
    ("10-21 16:00", BERLIN, 30, _use("web", "berlin", network=ELSEWHERE)),  # the same again
    ("10-22 15:00", NEW_YORK, 5, _use("desk", "york", from_browser=1)),
    ("10-23 02:30", UTC, 5, _refuse("env_mismatch", "batch", "round")),
    ("10-24 09:00", UTC, 5, _refuse("key_expired", "ended", "york", 120)),
    ("10-24 20:00", UTC, 5, _guess),
    # The night on which Berlin's clock is put back: 02:30 comes twice, and both are Sunday night.
    ("10-25 00:30", UTC, 5, _use("web", "berlin")),
    ("10-25 01:30", UTC, 5, _use("web", "berlin")),
    # 06:30 UTC was 08:30 until Friday, and is 07:30 from now on.
    ("10-26 06:30", UTC, 5, _use("web", "berlin")),
    # 13:30 UTC was 09:30 in New York until Friday, and is 08:30 from now on.
    ("11-02 13:30", UTC, 5, _use("desk", "york")),
    ("11-03 00:00", UTC, 5, _lend),
    ("11-06 10:00", BERLIN, 5, _use("web", "berlin")),  # a holiday
)


def _health(moment: float) -> Health:
    """What the gateway says of itself."""
    return Health(
        upstreams={"jobs": not at("10-13 10:00") <= moment < at("10-13 10:20")},
        is_reload_good=not at("10-18 15:00") <= moment < at("10-18 16:00"),
        lost={"access log": 7.0 if moment >= at("10-19 04:00") else 0.0},
        certificates={("public", "api.example.com"): at("11-19 00:00")},
    )


EXPECTED: Final = (
    ("10-12 12:00", "ApiKeyApproachingRateLimit", "web", "rate"),
    ("10-13 10:00", "UpstreamDown", "", "jobs"),
    ("10-14 08:30", "ApiKeyUnusualVolume", "web", ""),
    ("10-15 09:05", "ApiKeyHighErrorRate", "web", "denied"),
    ("10-16 09:05", "ApiKeyHighErrorRate", "web", "upstream"),
    ("10-17 01:00", "ApiKeyAfterHoursUse", "web", ""),
    ("10-18 15:00", "GatewayConfigReloadFailed", "", ""),
    ("10-19 04:00", "GatewayAccessLogLoss", "", "access log"),
    ("10-20 06:00", "RevokedApiKeyStillUsed", "old", "revoked"),
    ("10-21 10:00", "ApiKeyUnexpectedAddress", "web", ELSEWHERE),
    ("10-22 19:00", "ApiKeyClientSideUse", "desk", ""),
    ("10-23 02:30", "ApiKeyUnexpectedEnvironment", "batch", ""),
    ("10-24 09:00", "ApiKeyAuthFailuresHigh", "ended", ""),
    ("10-24 09:00", "ApiKeyAuthFailuresHigh", "york", ""),
    ("10-24 20:00", "ApiKeyAuthFailuresHigh", "", "198.51.100.7/24"),
    ("10-25 00:30", "ApiKeyAfterHoursUse", "web", ""),
    ("10-25 12:00", "ApiKeyExpiringSoon", "temp", "604800s before 2026-11-01T12:00:00Z"),
    ("10-26 06:30", "ApiKeyAfterHoursUse", "web", ""),
    ("10-28 00:00", "ApiKeyRotationOverdue", "web", ""),
    ("10-30 02:00", "ApiKeyApproachingRateLimit", "batch", "quota"),
    ("10-31 02:00", "ApiKeyApproachingRateLimit", "batch", "quota"),
    ("10-31 12:00", "ApiKeyExpiringSoon", "temp", "86400s before 2026-11-01T12:00:00Z"),
    ("11-02 13:30", "ApiKeyAfterHoursUse", "desk", ""),
    ("11-05 00:00", "ApiKeyExpiringSoon", "lent", "86400s before 2026-11-06T00:00:00Z"),
    ("11-05 00:00", "TlsCertificateExpiringSoon", "", "public api.example.com"),
    ("11-06 09:00", "ApiKeyAfterHoursUse", "web", ""),
)
"""All alerts of the month, each with the round in which it fired: the beginning of its five minutes, UTC."""

STILL_OPEN: Final = (
    ("ApiKeyRotationOverdue", "web"),
    ("TlsCertificateExpiringSoon", ""),
)
