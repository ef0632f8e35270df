"""`tollhouse report`: flaws and tighter keys, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main
from gateway.cli.report import _FLAWS
from gateway.domain.hygiene import Flaw
from tests.cli.test_explain import answering


def paged(*entries: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"data": [*entries], "next_cursor": cursor, "has_more": cursor is not None}


KEY = {"key_id": "key_a", "name": "CI", "tenant_id": "ten_a", "environment": "live"}
FLAWED = {
    **KEY,
    "state": "active",
    "last_used_at": None,
    "findings": [
        {"finding": "idle", "since": "2026-01-31T00:00:00Z", "count": None},
        {"finding": "many_networks", "since": None, "count": 12},
        {"finding": "unlimited", "since": None, "count": None},
    ],
}
WIDE = {
    **KEY,
    "requests": 7,
    "scopes": {"names": ["admin"], "granted": ["a", "b"], "used": ["a"], "unused": ["b"]},
    "routes": [],
    "networks": [{"network": "192.0.2.0/24", "requests": 7, "last_at": None}],
    "proposal": {"scopes": ["a", "a b"], "ip_allowlist": ["192.0.2.0/24"]},
}
IDLE = {**WIDE, "key_id": "key_b", "proposal": {"scopes": [], "ip_allowlist": None}}
TIGHT = {**WIDE, "key_id": "key_c", "proposal": None}


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def address(tmp_path: Path, asked: list[Any]) -> Iterator[str]:
    answers = {
        "/admin/v1/reports/hygiene": paged(FLAWED),
        "/admin/v1/reports/least-privilege": paged(WIDE, IDLE, TIGHT, cursor="more"),
    }
    with answering(tmp_path / "a.sock", asked, answers) as where:
        yield where


def test_flaws_are_listed_with_since_when_or_how_much(
    address: str, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--idle", "7d", "--networks", "3", "--finding", "idle", "--tenant-id", "ten_a"]
    command = ["report", "hygiene", *options, "--admin", address]
    assert main([*command, "--output", "table"]) == 0
    assert asked[0] == {
        "since": "30d",
        "idle": "7d",
        "networks": "3",
        "finding": "idle",
        "tenant_id": "ten_a",
        "limit": "1000",
    }
    out = capsys.readouterr().out.splitlines()
    assert out[1].endswith("idle (2026-01-31T00:00:00Z), many_networks (12), unlimited")
    assert main([*command, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [FLAWED]


def test_tighter_keys_come_with_the_command_that_makes_them(
    address: str, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["report", "least-privilege", "--since", "14d", "--limit", "3", "--admin", address]
    assert main([*command, "--output", "table"]) == 0
    assert asked[0] == {"since": "14d", "limit": "3"}
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == [
        *("key_a", "CI", "7", "a", "b", "192.0.2.0/24", "scopes,", "ip_allowlist"),
    ]
    assert err.splitlines() == [
        "more keys follow: --limit 3 was reached",
        "tighter: tollhouse keys rotate key_a --scope a --scope 'a b' --ip 192.0.2.0/24",
        "tighter: tollhouse keys rotate key_b --no-scopes",
    ]
    assert main([*command, "--output", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [WIDE, IDLE, TIGHT]
    assert "tighter" not in err


def test_the_command_knows_every_flaw() -> None:
    assert set(_FLAWS) == {*map(str, Flaw)}


def test_a_flaw_that_does_not_exist_is_wrong_usage(address: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["report", "hygiene", "--finding", "ugly", "--admin", address])
    assert caught.value.code == 2


def test_a_rotation_takes_scopes_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[Any] = []
    new = {"key_id": "key_n", "name": "CI", "display": "sk_live_x"}
    begun = {"rotation": {}, "old_key": KEY, "new_key": new, "secret": "s", "export_name": "KEY"}
    with answering(tmp_path / "r.sock", sent, {"/admin/v1/keys/key_a:rotate": begun}) as where:
        rotate = ["keys", "rotate", "key_a", "--admin", where, "--output", "json"]
        assert main([*rotate, "--scope", "a", "--scope", "b", "--ip", "192.0.2.1"]) == 0
        assert main([*rotate, "--no-scopes"]) == 0
        assert main(rotate) == 0
        assert main([*rotate, "--no-scopes", "--scope", "a"]) == 2
    assert sent == [
        {"reason": "", "scopes": ["a", "b"], "ip_allowlist": ["192.0.2.1"]},
        {"reason": "", "scopes": []},
        {"reason": ""},
    ]
