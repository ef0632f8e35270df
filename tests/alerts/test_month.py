"""A simulated month has exactly the alerts that it should have, each told once: HP-28, IV-24, IV-16, X-16, HP-19,
JH-27, HP-10, IV-18.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alerts import AlertQuery
from tests.alerts.month import END, EXPECTED, STEP, STILL_OPEN, Month


@pytest.mark.slow
async def test_a_month_has_the_expected_alerts_and_no_other() -> None:
    month = Month()
    await month.pass_by()
    watch = month.watch
    page = await watch.kept.alerts(AlertQuery(), limit=1000)
    alerts = page.alerts
    found = [
        (
            f"{datetime.fromtimestamp((alert.fired_at or 0) - STEP + 1, UTC):%m-%d %H:%M}",
            alert.rule,
            alert.key_id or alert.tenant_id,
            alert.subject,
        )
        for alert in alerts
    ]
    assert sorted(found) == sorted(EXPECTED)

    # What is over is resolved; the rest is what it should be.
    open_alerts = [(alert.rule, alert.key_id) for alert in alerts if alert.resolved_at is None]
    assert sorted(open_alerts) == sorted(STILL_OPEN)

    # A job that is forgotten is one alert that came three times, not three alerts.
    [forgotten] = [alert for alert in alerts if alert.rule == RuleName.REVOKED_USED]
    assert forgotten.occurrences == 3

    # Every alert was told once, and of those of which it is told, that it is over.
    told = Counter(await watch.told())
    fired = Counter(rule for _, rule, _, _ in EXPECTED)
    assert {rule: told["fired", rule] for rule in fired} == dict(fired)
    for rule, count in fired.items():
        still_open = sum(name == rule for name, _ in STILL_OPEN)
        ended = count - still_open if RULES[RuleName(rule)].tells_end else 0
        assert told["resolved", rule] == ended, rule
    assert sum(told.values()) == len(await watch.told())

    # And everything is in the audit trail.
    audited = Counter(await watch.audited())
    assert audited["alert.fired"] == len(EXPECTED)
    assert audited["alert.resolved"] == len(EXPECTED) - len(STILL_OPEN)
    assert audited["key.expiry_notified"] == 3
    assert watch.evaluator.looked_at == END - 1
