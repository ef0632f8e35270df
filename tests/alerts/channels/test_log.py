from __future__ import annotations

import logging

import pytest

from gateway.alerts.channels.log import LogChannel
from gateway.domain.alerts import Severity
from tests.alerts.channels.receiver import a_content


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.INFO, "INFO"), (Severity.WARNING, "WARNING"), (Severity.CRITICAL, "ERROR")],
)
async def test_the_log_has_a_line_per_alert_as_urgent_as_it_is(
    severity: Severity, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await LogChannel().send("msg_1", a_content(2, severity=severity))
    assert [each.levelname for each in caplog.records] == [level, level]
    assert caplog.records[0].message.startswith("alert msg_1: [")
