from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.client import DONE, REFUSED
from gateway.domain.admin_tokens import is_well_formed
from tests.cli.serving import command, served
from tests.cli.test_keys import Tool, config  # noqa: F401 - a fixture

CREATE = ("admin", "tokens", "create", "--name", "CI", "--role")


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock") as address:
        yield Tool(address, capsys)


def test_the_first_token_is_printed_once_and_opens_everything(tool: Tool) -> None:
    token = tool("admin", "bootstrap")
    assert (token["name"], token["role"], token["tenant_id"]) == ("bootstrap", "admin", "")
    assert is_well_formed(token["secret"].encode())
    assert tool.out.count(token["secret"]) == 1
    assert token["secret"] not in tool.err
    assert "shown this once" in tool.err
    assert "secret" not in tool("admin", "tokens", "list")[0]


def test_a_second_bootstrap_is_refused_unless_it_is_forced(tool: Tool) -> None:
    first = tool("admin", "bootstrap", "--name", "root")
    tool("admin", "bootstrap", expect=REFUSED)
    assert f"there is an admin token already: {first['token_id']}" in tool.err
    assert tool("admin", "bootstrap", "--force")["name"] == "bootstrap"


def test_tokens_that_open_less_do_not_stand_in_the_way_of_the_first(tool: Tool) -> None:
    tool(*CREATE, "viewer")
    tool(*CREATE, "admin", "--tenant", "ten_a")
    revoked = tool(*CREATE, "admin")
    tool("admin", "tokens", "revoke", revoked["token_id"], "--reason", "lost")
    assert tool("admin", "bootstrap")["role"] == "admin"


def test_offline_the_first_token_is_minted_in_the_file_itself(
    config: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret_file = config.parent / "token"
    offline = ("--offline", "--config", str(config))
    assert command("admin", "bootstrap", "--secret-file", str(secret_file), *offline) == DONE
    output = capsys.readouterr()
    secret = secret_file.read_text().strip()
    assert is_well_formed(secret.encode())
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    assert secret not in output.out + output.err
    files = [each for each in (config.parent / "data").iterdir() if each.is_file()]
    assert not any(secret.encode() in each.read_bytes() for each in files)
    assert command("admin", "bootstrap", *offline) == REFUSED


def test_tokens_are_made_listed_and_revoked(tool: Tool) -> None:
    made = tool(*CREATE, "operator", "--tenant", "ten_a", "--expires", "30d")
    until = tool(*CREATE, "auditor", "--expires", "2030-01-31T00:00:00Z")
    assert (made["tenant_id"], made["expires_at"]) == ("ten_a", "2023-12-14T22:13:20Z")
    assert until["expires_at"] == "2030-01-31T00:00:00Z"
    assert [each["role"] for each in tool("admin", "tokens", "list", "--tenant", "ten_a")] == [
        "operator"
    ]
    tool("admin", "tokens", "list", "--limit", "1")
    assert "more tokens follow" in tool.err
    tool("admin", "tokens", "list", "--output", "table")
    assert tool.out.split()[:3] == ["TOKEN_ID", "NAME", "ROLE"]
    ended = tool("admin", "tokens", "revoke", made["token_id"], "--reason", "left")
    assert not ended["is_usable"]


def test_what_is_refused_is_told(tool: Tool, tmp_path: Path) -> None:
    tool(*CREATE, "viewer", "--tenant", "nobody", expect=REFUSED)
    assert "/tenant_id: there is no tenant 'nobody'" in tool.err
    tool("admin", "tokens", "revoke", "adm_x", "--reason", "x", expect=REFUSED)
    assert "there is no admin token 'adm_x'" in tool.err
    secret_file = tmp_path / "token"
    tool(*CREATE, "viewer", "--expires", "0d", "--secret-file", str(secret_file), expect=REFUSED)
    assert not secret_file.exists()
    with pytest.raises(SystemExit):
        tool(*CREATE, "god")


def test_a_stored_token_opens_a_listener_on_tcp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(None, "tha_" + "x" * 40) as address:
        monkeypatch.setenv("TOLLHOUSE_ADMIN_TOKEN", "tha_" + "x" * 40)
        tool = Tool(address, capsys)
        made = tool(*CREATE, "viewer")
        token_file = tmp_path / "token"
        token_file.write_text(made["secret"])
        assert tool("admin", "whoami", "--token-file", str(token_file))["role"] == "viewer"
        assert json.loads(tool.out)["token_id"] == made["token_id"]
        tool("admin", "bootstrap", "--token-file", str(token_file), expect=REFUSED)
        assert "This needs the role admin; yours is viewer." in tool.err


def test_a_dry_run_makes_no_token_and_revokes_none(tool: Tool, tmp_path: Path) -> None:
    made = tool(*CREATE, "viewer")
    path = tmp_path / "token"
    tried = tool(*CREATE, "admin", "--dry-run", "--secret-file", str(path))
    assert (tried["role"], "secret" in tried, path.exists()) == ("admin", False, False)
    revoke = ("admin", "tokens", "revoke", made["token_id"], "--reason", "left", "--dry-run")
    assert not tool(*revoke)["is_usable"]
    assert [each["is_usable"] for each in tool("admin", "tokens", "list")] == [True]


def test_tokens_are_sorted_from_either_end(tool: Tool) -> None:
    for name in ("b", "c", "a"):
        tool("admin", "tokens", "create", "--name", name, "--role", "viewer")

    def names(*options: str) -> list[str]:
        return [each["name"] for each in tool("admin", "tokens", "list", *options)]

    assert names("--sort", "name") == ["a", "b", "c"]
    assert names("--sort", "name", "--reverse", "--limit", "2") == ["c", "b"]
