"""Rotations, incidents, deliveries and templates on the command line."""

from __future__ import annotations

import argparse
import io
import json
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.client import REFUSED, WRONG_USAGE
from gateway.cli.moments import moment
from tests.admin.life import ListedLog
from tests.cli.serving import served
from tests.cli.test_keys import CREATE, Tool
from tests.keyring.house import PEPPERS


@pytest.fixture
def log() -> ListedLog:
    return ListedLog()


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str], log: ListedLog) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock", request_log=log) as address:
        yield Tool(address, capsys)


def a_key(tool: Tool) -> str:
    key_id: str = tool(*CREATE, "--scope", "read")["key_id"]
    return key_id


def test_a_key_is_rotated_followed_and_done_with(tool: Tool, log: ListedLog) -> None:
    key_id = a_key(tool)
    begun = tool("keys", "rotate", key_id, "--grace", "7d", "--idle", "12h", "--reason", "due")
    assert begun["secret"].startswith("sk_live_")
    assert tool.out.count(begun["secret"]) == 1
    assert "shown this once" in tool.err
    rotation, new = begun["rotation"]["rotation_id"], begun["new_key"]["key_id"]
    assert tool("rotations", "show", rotation)["idle_seconds"] == 12 * 3600
    assert [each["rotation_id"] for each in tool("rotations", "list")] == [rotation]
    assert tool("rotations", "list", "--state", "completed") == []
    assert len(tool("rotations", "list", "--tenant", "ten_a", "--lineage", key_id)) == 0
    now = 1_800_000_000.0
    log.add(key_id, now, "10.0.0.1", "nightly")
    log.add(key_id, now, "10.0.0.2", "dashboard")
    log.add(new, now + 1, "10.0.0.1", "nightly")
    assert len(tool("rotations", "clients", rotation)) == 2
    [waiting] = tool("rotations", "clients", rotation, "--waiting")
    assert waiting["user_agent"] == "dashboard"
    assert tool("rotations", "clients", rotation, "--since", "2099-01-01T00:00:00Z") == []
    tool("rotations", "clients", rotation, "--output", "table")
    assert [line.split()[-1] for line in tool.out.splitlines()[1:]] == ["yes", "no"]
    ended = tool("rotations", "complete", rotation, "--reason", "moved")
    assert ended["state"] == "completed"
    tool("rotations", "abort", rotation, expect=REFUSED)


def test_a_table_of_a_rotation_ends_with_a_line_to_paste(tool: Tool) -> None:
    """HP-18: the variable is the tenant's."""
    tool("tenants", "update", "ten_a", "--export-name", "ACME_API_KEY")
    tool("keys", "rotate", a_key(tool), "--output", "table")
    assert tool.out.splitlines()[-1].startswith("export ACME_API_KEY=sk_live_")
    assert any(line.startswith("rotation_id") for line in tool.out.splitlines())
    tool(*CREATE, "--scope", "read", "--output", "table")
    assert tool.out.splitlines()[-1].startswith("export ACME_API_KEY=sk_live_")


def test_a_new_secret_goes_to_a_file_or_behind_a_link(tool: Tool, tmp_path: Path) -> None:
    """HP-32, HT-3."""
    path = tmp_path / "secret"
    begun = tool("keys", "rotate", a_key(tool), "--secret-file", str(path))
    secret = path.read_text().strip()
    assert secret.startswith("sk_live_")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in tool.out + tool.err
    assert "secret" not in begun
    begun = tool("keys", "rotate", a_key(tool), "--deliver-in", "2d")
    assert begun["delivery_url"].startswith("/delivery/")
    assert "works once" in tool.err
    assert "warning: the link leads to the admin listener" in tool.err
    tool("keys", "rotate", a_key(tool), "--deliver-in", "2d", "--output", "table")
    assert tool.out.splitlines()[-1].startswith("/delivery/")
    both = ("--deliver-in", "2d", "--secret-file", str(tmp_path / "other"))
    tool("keys", "rotate", a_key(tool), *both, expect=WRONG_USAGE)
    assert {each["state"] for each in tool("deliveries", "list")} == {"open"}
    assert tool("deliveries", "list", "--key", "key_none") == []


def test_a_compromised_key_is_replaced_and_its_requests_are_told(
    tool: Tool, log: ListedLog, tmp_path: Path
) -> None:
    """HP-12."""
    key_id = a_key(tool)
    log.add(key_id, time.time(), "198.51.100.9", "curl", status=200, method="GET")
    log.add(key_id, time.time(), "198.51.100.9", "curl", status=403, method="GET")
    path = tmp_path / "new"
    told = tool(
        *("keys", "compromise", key_id, "--reason", "leaked", "--since", "2001-01-01T00:00:00Z"),
        *("--secret-file", str(path)),
    )
    assert told["revoked_key"]["state"] == "revoked"
    assert path.read_text().startswith("sk_live_")
    incident = told["incident"]["incident_id"]
    assert tool("incidents", "show", incident)["reason"] == "leaked"
    assert [each["incident_id"] for each in tool("incidents", "list", "--key", key_id)] == [
        incident
    ]
    assert len(tool("incidents", "requests", incident)) == 2
    [refused] = tool("incidents", "requests", incident, "--status", "403")
    assert refused["client_address"] == "198.51.100.9"
    tool("incidents", "requests", incident, "--limit", "1", "--output", "table")
    assert "more requests follow" in tool.err
    with pytest.raises(SystemExit):
        tool("keys", "compromise", key_id)  # IV-28: a reason


def test_a_key_is_only_stopped_without_a_replacement(tool: Tool) -> None:
    told = tool("keys", "compromise", a_key(tool), "--reason", "leaked", "--no-replacement")
    assert told["new_key"] is None
    assert "secret" not in told


def test_a_key_is_suspended_until_extended_and_deleted(tool: Tool) -> None:
    key_id = a_key(tool)
    told = tool("keys", "suspend", key_id, "--reason", "x", "--for", "8h")
    assert told["state"] == "suspended"
    assert tool("keys", "resume", key_id)["state"] == "active"
    tool("keys", "suspend", key_id, "--reason", "x", "--until", "2999-01-01T00:00:00Z")
    tool("keys", "suspend", key_id, "--reason", "x", "--for", "soon", expect=WRONG_USAGE)
    tool("keys", "resume", key_id)
    expiring = tool(*CREATE, "--scope", "read", "--expires", "1h")["key_id"]
    told = tool("keys", "extend", expiring, "--expires", "2999-01-01T00:00:00Z")
    assert told["expires_at"] == "2999-01-01T00:00:00Z"
    assert tool("keys", "delete", key_id, "--reason", "tidying up")["state"] == "revoked"
    assert key_id not in [key["key_id"] for key in tool("keys", "list")]


def imported(n: int) -> dict[str, Any]:
    return {
        "key_id": f"legacy-{n}",
        "tenant_id": "ten_a",
        "name": f"Legacy {n}",
        "format": "imported",
        "environment": "live",
        "digest": PEPPERS.digest(f"secret-{n}".encode()).hex(),
        "pepper_id": PEPPERS.current,
        "scopes": ["read"],
    }


def test_keys_are_imported_in_parts_that_the_gateway_takes(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text("".join(f"{json.dumps(imported(n))}\n" for n in range(150)))
    assert len(tool("keys", "import", str(path))) == 150
    assert "150 keys imported" in tool.err
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([imported(1)])))
    assert [key["key_id"] for key in tool("keys", "import", "-")] == ["legacy-1"]
    for text in ("{", "", "[]"):
        path.write_text(text)
        tool("keys", "import", str(path), expect=WRONG_USAGE)
    tool("keys", "import", str(tmp_path / "none"), expect=WRONG_USAGE)
    path.write_text(json.dumps([{**imported(2), "scopes": ["raed"]}]))
    tool("keys", "import", str(path), expect=REFUSED)
    assert "/keys/0/scopes/0" in tool.err


def test_a_dry_run_changes_nothing(tool: Tool, tmp_path: Path) -> None:
    key_id = a_key(tool)
    tool("keys", "revoke", key_id, "--reason", "x", "--dry-run")
    tool("keys", "rotate", key_id, "--dry-run", "--secret-file", str(tmp_path / "s"))
    assert not (tmp_path / "s").exists()
    tool(*CREATE, "--scope", "read", "--dry-run")
    [key] = tool("keys", "list")
    assert key["state"] == "active"


def test_a_change_may_be_tied_to_a_revision(tool: Tool) -> None:
    key_id = a_key(tool)
    revision = str(tool("keys", "show", key_id)["revision"])
    tool("keys", "update", key_id, "--name", "A", "--if-match", revision)
    tool("keys", "update", key_id, "--name", "B", "--if-match", revision, expect=REFUSED)
    assert tool("keys", "show", key_id)["name"] == "A"
    with pytest.raises(SystemExit):
        tool("keys", "update", key_id, "--name", "B", "--if-match", "yesterday")


def test_templates_are_listed(tool: Tool) -> None:
    assert "ci" in [each["name"] for each in tool("templates", "list")]
    tool("templates", "list", "--output", "yaml")
    assert "granted_scopes:" in tool.out


def test_keys_are_listed_by_what_they_are(tool: Tool) -> None:
    """HP-17."""
    one = tool(*CREATE, "--scope", "read", "--tag", "ci")
    two = tool(*CREATE, "--template", "ci", "--environment", "test")
    tool("keys", "delete", two["key_id"], "--reason", "x")

    def listed(*arguments: str) -> set[str]:
        return {key["key_id"] for key in tool("keys", "list", *arguments)}

    assert listed("--tag", "ci") == listed("--search", one["key_id"]) == {one["key_id"]}
    assert listed("--lineage", one["lineage_id"], "--kind", "regular") == {one["key_id"]}
    assert listed("--template", "ci") == set()
    assert listed("--template", "ci", "--deleted") == {two["key_id"]}
    assert listed("--environment", "test", "--pepper", "p1", "--deleted") == set()


def test_a_new_key_is_handed_over_with_a_link(tool: Tool) -> None:
    key = tool(*CREATE, "--scope", "read", "--deliver-in", "1d")
    assert "secret" not in key
    assert key["delivery_url"].startswith("/delivery/thd_")
    tool(*CREATE, "--scope", "read", "--deliver-in", "999d", expect=REFUSED)
    assert "/deliver_in:" in tool.err


def test_a_duration_is_counted_back_from_now() -> None:
    assert moment("2027-01-31T00:00:00Z") == "2027-01-31T00:00:00Z"
    then = datetime.fromisoformat(moment("36h"))
    ago = datetime.now(UTC) - then
    assert timedelta(hours=36) <= ago < timedelta(hours=36, minutes=1)
    with pytest.raises(argparse.ArgumentTypeError, match="2027-01-31T00:00:00Z"):
        moment("some time ago")
