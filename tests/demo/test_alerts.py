"""The demo traffic makes each alert fire once, on a real gateway with a real receiver."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.demo.alerts import CONFIG, SCENES, play
from gateway.demo.playground import Receiver
from gateway.domain.alert_rules.catalogue import RuleName

pytestmark = pytest.mark.pure  # starts the gateway from the sources


def test_every_rule_is_played_once() -> None:
    assert sorted(scene.rule for scene in SCENES) == sorted(RuleName)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
async def test_each_alert_fires_once(tmp_path: Path) -> None:
    told: list[str] = []
    assert await play(tmp_path, told.append) == []
    assert len(told) == len(SCENES)
    secret = (tmp_path / "webhook").read_text()
    assert secret not in (tmp_path / "gateway.log").read_text("utf-8")
    assert secret.encode() not in (tmp_path / "tollhouse.db").read_bytes()


def test_a_receiver_tells_what_fired_of_a_rule() -> None:
    receiver = Receiver("whsec_")
    receiver.told = [{"rule": "a", "event": "fired"}, {"rule": "a", "event": "resolved"}]
    assert receiver.fired("a") == [{"rule": "a", "event": "fired"}]
    assert "{receiver}" in CONFIG
