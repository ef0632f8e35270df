"""What the page about alerts says is so."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import build_parser
from gateway.domain.alert_messages import Waiting, content_of, told
from gateway.domain.alert_rules import overrides
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alerts import AlertEvent
from gateway.domain.webhook_signature import signature
from gateway.zones import zone_named
from tests.alert_samples import an_alert
from tests.config.sample import NOTHING, loaded
from tests.deploy.files import blocks

pytestmark = pytest.mark.pure  # reads what the repository says

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "get-alerted.md"
TEXT = PAGE.read_text("utf-8")
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_every_rule_is_in_the_table() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == [
        *(name.value for name in RuleName),
        *("webhook", "email", "slack", "log"),
    ]


def test_the_configuration_of_the_page_is_accepted(tmp_path: Path) -> None:
    [text] = blocks(PAGE, "yaml")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "webhook").write_text(SECRET)
    config = loaded(tmp_path, text, {**NOTHING, "SMTP_PASSWORD": "x"})
    assert config.alerts.channels == ("ops", "mail")


def test_what_tenants_are_told_to_set_is_accepted() -> None:
    told_to_set = re.findall(r"--alerts '(\{.*?\})'\n", TEXT, re.DOTALL)
    assert len(told_to_set) == 2
    for text in told_to_set:
        assert [*overrides.problems(json.loads(text), zone_named)] == []


def test_the_check_of_the_page_tells_genuine_messages_from_others() -> None:
    [code] = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(code, names)
    now, body = int(time.time()), b'{"type":"alerts"}'
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature([SECRET, SECRET.replace("a", "b")], "msg_1", now, body),
    }
    is_genuine = names["is_genuine"]
    assert is_genuine(SECRET, headers, body)
    assert not is_genuine(SECRET, headers, body + b" ")
    assert not is_genuine(SECRET, {**headers, "webhook-id": "msg_2"}, body)
    assert not is_genuine(SECRET, {**headers, "webhook-timestamp": str(now - 600)}, body)
    assert not is_genuine("whsec_" + base64.b64encode(b"x" * 32).decode(), headers, body)


def test_the_message_of_the_page_has_the_shape_of_real_ones() -> None:
    [text] = blocks(PAGE, "json")
    shown = json.loads(text)
    notice = told(an_alert(), AlertEvent.FIRED)
    waiting = Waiting(notices=[notice], counts={("fired", notice["rule"]): 1}, through=1)
    real = content_of(waiting, "https://wiki.example.org/tollhouse", 0)
    assert shown.keys() == real.keys()
    assert shown["alerts"][0].keys() == real["alerts"][0].keys()


def test_commands_of_the_page_can_be_read() -> None:
    parser = build_parser()
    commands = re.findall(r"^tollhouse (.+)$", "\n".join(blocks(PAGE, "sh")), re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        if "'{" not in command:
            words = re.findall(r"'[^']*'|\S+", command)
            parser.parse_args([word.strip("'") for word in words])
