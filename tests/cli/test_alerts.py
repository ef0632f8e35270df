from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.alert_messages import MESSAGE_DEAD
from tests.alert_samples import NOW, an_alert
from tests.alerts.desk_samples import Room
from tests.cli.serving import command, served
from tests.contracts.alert_store import a_message


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    room = Room(UpstreamDown={"channels": ["ops", "broken"]}, ApiKeyClientSideUse={"channels": []})

    async def fill() -> None:
        await room.kept.commit(
            [
                an_alert("alr_a"),
                an_alert("alr_old", subject="x", resolved_at=NOW),
                an_alert("alr_b", rule="UpstreamDown", tenant_id="", key_id="", subject="jobs"),
            ]
        )
        await room.kept.pack(a_message("msg_1", state=MESSAGE_DEAD, error="no"), 0)

    asyncio.run(fill())
    with served(tmp_path / "admin.sock", alerts=room.desk) as address:
        yield address


def run(address: str, *arguments: str, output: str = "json") -> int:
    verb, *rest = arguments
    return command("alerts", verb, "--admin", address, "--output", output, *rest)


def test_alerts_are_listed_and_shown(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(address, "list", output="table") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["ALERT_ID", "RULE", "STATE", "SEVERITY"]
    assert len(rows) == 3
    assert run(address, "list", "--state", "firing", "--rule", "UpstreamDown") == 0
    assert [each["alert_id"] for each in json.loads(capsys.readouterr().out)] == ["alr_b"]
    assert run(address, "list", "--tenant", "ten_a", "--key", "key_a", "--limit", "1") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "more alerts follow" in captured.err
    assert run(address, "show", "alr_a") == 0
    assert json.loads(capsys.readouterr().out)["subject"] == "denied"
    assert run(address, "show", "alr_none") == 1


def test_an_alert_is_acknowledged(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(address, "ack", "alr_a", "--reason", "on it", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert run(address, "ack", "alr_a", "--reason", "on it") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "acknowledged"
    assert run(address, "ack", "alr_old") == 1
    assert "does not fire: it is resolved" in capsys.readouterr().err


def test_a_test_says_what_came_of_it_and_fails_when_it_did_not_arrive(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(address, "test", "ops") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"channel": "ops", "delivered": True, "error": None}
    ]
    assert run(address, "test", "--rule", "UpstreamDown") == 1
    captured = capsys.readouterr()
    assert "the receiver answered 500" in captured.out
    assert "not delivered: broken" in captured.err
    assert run(address, "test", "broken", "--dry-run") == 0
    capsys.readouterr()
    assert run(address, "test", "--rule", "ApiKeyClientSideUse") == 1
    assert "nobody is told of ApiKeyClientSideUse: it has no channel" in capsys.readouterr().err
    assert run(address, "test", "gone") == 1
    assert run(address, "test") == 2
    assert run(address, "test", "ops", "--rule", "UpstreamDown") == 2


def test_rules_and_dead_letters_are_listed_and_sent_again(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(address, "rules", output="table") == 0
    assert "ApiKeyUnusualVolume" in capsys.readouterr().out
    assert run(address, "rules", "--tenant", "ten_a") == 0
    capsys.readouterr()
    assert run(address, "deliveries", "--state", "dead", "--channel", "ops") == 0
    assert [each["delivery_id"] for each in json.loads(capsys.readouterr().out)] == ["msg_1"]
    assert run(address, "retry", "msg_1") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "waiting"
    assert run(address, "retry", "msg_none") == 1
