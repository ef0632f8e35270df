from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.client import REFUSED, WRONG_USAGE
from tests.cli.serving import served
from tests.cli.test_keys import Tool


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock") as address:
        yield Tool(address, capsys)


LIVE = ("--environment", "live", "--scope", "read")


def test_a_tenant_lives_its_life(tool: Tool) -> None:
    tenant = tool("tenants", "create", "--id", "acme", "--name", "Acme", "--plan", "pro")
    assert (tenant["tenant_id"], tenant["plan"]) == ("acme", "pro")
    assert tool("tenants", "show", "acme") == tenant
    changed = tool(
        *("tenants", "update", "acme", "--name", "Acme Inc.", "--ip", "10.0.0.0/8"),
        *("--ip-allowlist", "on", "--metadata", '{"n": 1}'),
    )
    assert (changed["name"], changed["ip_allowlist"]) == ("Acme Inc.", ["10.0.0.0/8"])
    assert (changed["ip_allowlist_enabled"], changed["metadata"]) == (True, {"n": 1})
    assert not tool("tenants", "update", "acme", "--ip-allowlist", "off")["ip_allowlist_enabled"]
    assert tool("tenants", "update", "acme", "--no-ip")["ip_allowlist"] == []
    assert tool("tenants", "suspend", "acme", "--reason", "unpaid")["state"] == "suspended"
    assert tool("tenants", "resume", "acme")["state"] == "active"


def test_a_tenant_is_deleted_when_nothing_stands_in_the_way_or_all_of_it_shall_go(
    tool: Tool,
) -> None:
    tool("tenants", "create", "--id", "acme", "--name", "Acme")
    tool("tenants", "create", "--id", "child", "--name", "Child", "--parent", "acme")
    tool("keys", "create", "--tenant", "child", "--name", "K", *LIVE)
    tool("tenants", "delete", "acme", "--reason", "left", expect=REFUSED)
    assert "1 child (" in tool.err
    every = ("--reason", "left", "--revoke-keys", "--delete-children")
    would = tool("tenants", "delete", "acme", *every, "--dry-run")
    assert (would["dry_run"], would["keys_revoked"], would["children_deleted"]) == (True, 1, 1)
    gone = tool("tenants", "delete", "acme", *every)
    assert (gone["state"], gone["keys_revoked"], gone["children_deleted"]) == ("deleted", 1, 1)
    assert [each["tenant_id"] for each in tool("tenants", "list")] == ["ten_a"]
    deleted = tool("tenants", "list", "--state", "deleted")
    assert [each["tenant_id"] for each in deleted] == ["acme", "child"]
    with pytest.raises(SystemExit):
        tool("tenants", "delete", "ten_a")


def test_a_new_tenant_gets_an_id(tool: Tool) -> None:
    assert tool("tenants", "create", "--name", "Acme")["tenant_id"].startswith("ten_")


def test_tenants_are_listed(tool: Tool) -> None:
    tool("tenants", "create", "--id", "acme", "--name", "Acme", "--ip", "10.0.0.1")
    assert [tenant["tenant_id"] for tenant in tool("tenants", "list")] == ["acme", "ten_a"]
    tool("tenants", "list", "--limit", "1")
    assert "more tenants follow" in tool.err
    tool("tenants", "list", "--output", "table")
    assert [line.split()[0] for line in tool.out.splitlines()] == ["TENANT_ID", "acme", "ten_a"]
    tool("tenants", "show", "acme", "--output", "table")
    assert "ip_allowlist_enabled  no" in tool.out


def test_what_is_refused_is_told(tool: Tool) -> None:
    tool("tenants", "create", "--id", "ten_a", "--name", "Again", expect=REFUSED)
    tool("tenants", "show", "nobody", expect=REFUSED)
    assert "there is no tenant 'nobody'" in tool.err
    tool("tenants", "update", "ten_a", expect=WRONG_USAGE)
    with pytest.raises(SystemExit):
        tool("tenants", "suspend", "ten_a")
