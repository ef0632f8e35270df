"""A real Prometheus gets an answer to every query of the dashboards, and reads the rules without a complaint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.live import silent, watch

pytestmark = [
    pytest.mark.pure,  # reads what the repository says, not what is installed
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="prometheus is missing: install Debian's prometheus",
    ),
]


def test_every_panel_shows_something_of_a_gateway_under_traffic(tmp_path: Path) -> None:
    watched = watch(tmp_path, seconds=20)  # keys are surveyed every 15 seconds
    assert watched.failures == []
    assert [target["health"] for target in watched.targets] == ["up"]
    assert silent(watched.panels) == set()
    assert {
        rule["name"]: rule["lastError"] for rule in watched.rules if rule["health"] != "ok"
    } == {}
    states = {rule["name"]: rule.get("state") for rule in watched.rules}
    assert states["RevokedApiKeyStillUsed"] == "pending"
    assert states["GatewayDown"] == states["GatewayStoreUnavailable"] == "inactive"
