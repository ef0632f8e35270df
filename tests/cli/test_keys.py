from __future__ import annotations

import io
import json
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.cli.client import DONE, REFUSED, UNREACHABLE, WRONG_USAGE
from tests.cli.serving import command, served

TOKEN = "tha_" + "x" * 40
CREATE = ("keys", "create", "--tenant", "ten_a", "--name", "CI", "--environment", "live")


class Tool:
    """Runs commands against one gateway and keeps what they print."""

    def __init__(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.address = address
        self._capsys = capsys
        self.status = DONE
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str, expect: int = DONE) -> Any:
        self.status = command(*arguments, "--admin", self.address)
        self.out, self.err = self._capsys.readouterr()
        assert self.status == expect, self.err
        return json.loads(self.out) if self.out.startswith(("{", "[")) else None


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock") as address:
        yield Tool(address, capsys)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_new_key_is_printed_with_its_secret_once(tool: Tool) -> None:
    key = tool(*CREATE, "--scope", "read", "--scope", "jobs:write", "--ip", "10.0.0.0/8")
    assert key["scopes"] == ["read", "jobs:write"]
    assert tool.out.count(key["secret"]) == 1
    assert key["secret"] not in tool.err
    assert "shown this once" in tool.err
    assert "secret" not in tool("keys", "show", key["key_id"])


def test_a_table_ends_with_a_line_to_paste(tool: Tool) -> None:
    """HP-18: customers keep the key in a variable."""
    tool(*CREATE, "--scope", "read", "--output", "table")
    lines = tool.out.splitlines()
    assert lines[-1].startswith("export SK_API_KEY=sk_live_")
    assert any(line.split() == ["state", "active"] for line in lines)
    tool(*CREATE, "--scope", "read", "--output", "table", "--export-name", "HIREPANDA_API_KEY")
    assert tool.out.splitlines()[-1].startswith("export HIREPANDA_API_KEY=sk_live_")


def test_a_secret_file_is_new_private_and_instead_of_printing(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    key = tool(*CREATE, "--scope", "read", "--secret-file", str(path))
    secret = path.read_text().strip()
    assert secret.startswith("sk_live_")
    assert secret not in tool.out + tool.err
    assert "secret" not in key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tool(*CREATE, "--scope", "read", "--secret-file", str(path), expect=WRONG_USAGE)
    assert path.read_text().strip() == secret
    assert len(tool("keys", "list")) == 1  # no key was minted whose secret had nowhere to go


def test_a_refused_key_leaves_no_secret_file(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    tool(*CREATE, "--scope", "raed", "--secret-file", str(path), expect=REFUSED)
    assert not path.exists()
    assert tool.err.splitlines() == [
        "tollhouse: Some fields cannot be accepted.",
        "  /scopes/0: unknown scope 'raed' (did you mean 'read'?)",
    ]


def test_a_key_that_may_do_more_than_its_template_is_printed_with_a_warning(tool: Tool) -> None:
    tool(*CREATE, "--template", "ci", "--scope", "write")
    assert "warning: the key may do more than template 'ci'" in tool.err


def test_a_key_lives_its_life(tool: Tool) -> None:
    key_id = tool(*CREATE, "--no-scopes", "--expires", "30d", "--tag", "a")["key_id"]
    assert tool("keys", "suspend", key_id, "--reason", "odd")["state"] == "suspended"
    assert tool("keys", "resume", key_id)["state"] == "active"
    changed = tool(
        *("keys", "update", key_id, "--name", "New", "--scope", "read", "--plan", "pro"),
        *("--expires", "never", "--metadata", '{"team": "a"}', "--no-tags", "--ip", "10.0.0.1"),
    )
    assert (changed["name"], changed["scopes"], changed["plan"]) == ("New", ["read"], "pro")
    assert (changed["expires_at"], changed["metadata"]) == (None, {"team": "a"})
    assert (changed["tags"], changed["ip_allowlist"]) == ([], ["10.0.0.1"])
    assert tool("keys", "update", key_id, "--no-scopes", "--no-ip")["ip_allowlist"] == []
    later = tool("keys", "update", key_id, "--expires", "2030-01-01T00:00:00Z")
    assert later["expires_at"] == "2030-01-01T00:00:00Z"
    assert tool("keys", "update", key_id, "--expires", "P1D")["expires_at"].startswith("2023-11-15")
    assert tool("keys", "revoke", key_id, "--reason", "leak")["state"] == "revoked"
    tool("keys", "resume", key_id, expect=REFUSED)
    assert "it is revoked" in tool.err


def test_lists_are_filtered_limited_and_say_that_there_is_more(tool: Tool) -> None:
    ids = sorted(tool(*CREATE, "--scope", "read")["key_id"] for _ in range(3))
    tool("keys", "revoke", ids[0], "--reason", "leak")
    assert [key["key_id"] for key in tool("keys", "list", "--state", "active")] == ids[1:]
    assert [key["key_id"] for key in tool("keys", "list", "--limit", "2")] == ids[:2]
    assert "more keys follow" in tool.err
    assert tool("keys", "list", "--tenant", "ten_x") == []
    tool("keys", "list", "--output", "table")
    header, *rows = tool.out.splitlines()
    assert header.split()[:2] == ["KEY_ID", "NAME"]
    assert [row.split()[0] for row in rows] == ids


def test_yaml_is_data_too(tool: Tool) -> None:
    tool(*CREATE, "--scope", "read", "--metadata", '{"a": {"b": [1, null]}}', "--output", "yaml")
    key = YAML(typ="safe").load(tool.out)
    assert (key["name"], key["metadata"]) == ("CI", {"a": {"b": [1, None]}})


def test_whois_reads_the_secret_from_standard_input_or_a_file(
    tool: Tool, stdin: Callable[[str], None], tmp_path: Path
) -> None:
    key = tool(*CREATE, "--scope", "read")
    stdin(f"{key['secret']}\n")
    assert tool("keys", "whois")["key_id"] == key["key_id"]
    (tmp_path / "secret").write_text(key["secret"])
    assert tool("keys", "whois", "--from", str(tmp_path / "secret"))["key_id"] == key["key_id"]
    stdin("nobody's")
    tool("keys", "whois", expect=REFUSED)
    stdin("")
    tool("keys", "whois", expect=WRONG_USAGE)
    tool("keys", "whois", "--from", str(tmp_path / "gone"), expect=WRONG_USAGE)


def test_a_secret_is_never_an_argument(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tool("keys", "whois", "sk_live_abc")
    assert caught.value.code == WRONG_USAGE
    with pytest.raises(SystemExit):
        tool(*CREATE, "--secret", "sk_live_abc")


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "suspend", "key_a"),
        ("keys", "create", "--tenant", "ten_a"),
        (*CREATE, "--metadata", "{"),
        (*CREATE, "--metadata", "[]"),
        ("keys", "list", "--limit", "0"),
        ("keys", "list", "--output", "xml"),
        ("keys",),
    ],
)
def test_wrong_usage_is_told_before_anyone_is_asked(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(*arguments)
    assert caught.value.code == WRONG_USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "update", "key_a"),
        ("keys", "update", "key_a", "--scope", "read", "--no-scopes"),
        ("keys", "show", "../tenants"),
        ("keys", "show", "sk live"),
        (*CREATE, "--expires", "never"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(tool: Tool, arguments: tuple[str, ...]) -> None:
    tool(*arguments, expect=WRONG_USAGE)


# Connecting


def test_nobody_there_is_its_own_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("keys", "list", "--admin", f"unix:{tmp_path}/none.sock") == UNREACHABLE
    assert f"cannot reach the gateway at unix:{tmp_path}/none.sock" in capsys.readouterr().err
    assert command("keys", "list", "--admin", "127.0.0.1:1") == UNREACHABLE
    assert command("keys", "list", "--admin", "nonsense") == WRONG_USAGE


def test_over_tcp_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    with served(None, TOKEN) as address:
        monkeypatch.delenv("TOLLHOUSE_ADMIN_TOKEN", raising=False)
        listing = ("keys", "list", "--admin", address)
        assert command(*listing) == REFUSED
        assert command(*listing, "--token-file", str(path)) == WRONG_USAGE
        path.write_text("\n")
        assert command(*listing, "--token-file", str(path)) == WRONG_USAGE
        path.write_text(f"{TOKEN}\n")
        assert command(*listing, "--token-file", str(path)) == DONE
        monkeypatch.setenv("TOLLHOUSE_ADMIN_TOKEN", TOKEN)
        assert command(*listing) == DONE
    assert TOKEN not in "".join(capsys.readouterr())


CONFIG = """\
version: 1
listeners:
  admin: {bind: "unix:data/admin.sock"}
store: {path: data/keys.db}
peppers: {current: p1, p1: "${file:pepper}"}
key_formats: {sk: {prefix: sk, environments: [live, test]}}
environments: {live: {}, test: {}}
scopes: {atoms: ["jobs:read"]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "pepper").write_text("a1" * 32)
    (tmp_path / "pepper").chmod(0o600)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


def test_offline_a_key_is_minted_in_the_file_itself(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = ("--offline", "--config", str(config))
    assert command("tenants", "create", "--id", "acme", "--name", "Acme", *offline) == DONE
    capsys.readouterr()
    asked = ("--tenant", "acme", "--name", "CI", "--environment", "live", "--scope", "jobs:read")
    assert command("keys", "create", *asked, *offline) == DONE
    key = json.loads(capsys.readouterr().out)
    assert key["secret"].startswith("sk_live_")
    assert command("keys", "show", key["key_id"], *offline) == DONE
    assert json.loads(capsys.readouterr().out)["name"] == "CI"
    secret = key["secret"].encode()
    files = [each for each in (config.parent / "data").iterdir() if each.is_file()]
    assert files
    assert not any(secret in each.read_bytes() for each in files)  # HP-4


def test_offline_a_store_that_cannot_be_opened_is_unreachable(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "data").mkdir()
    (config.parent / "data" / "keys.db").write_bytes(b"no database" * 100)
    assert command("keys", "list", "--offline", "--config", str(config)) == UNREACHABLE
    assert "not a database" in capsys.readouterr().err


def test_the_socket_is_found_through_the_configuration(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("keys", "list", "--config", str(config)) == UNREACHABLE
    (config.parent / "data").mkdir()
    with served(config.parent / "data" / "admin.sock"):
        assert command("keys", "list", "--config", str(config)) == DONE
    assert json.loads(capsys.readouterr().out) == []


def test_a_broken_configuration_is_told_with_its_places(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("store:", "stoer:"))
    assert command("keys", "list", "--config", str(config)) == REFUSED
    assert f"{config}:4:1" in capsys.readouterr().err


def test_the_process_leaves_no_socket_behind(config: Path) -> None:
    before = _sockets()
    assert command("tenants", "list", "--offline", "--config", str(config)) == DONE
    assert _sockets() <= before


def _sockets() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("tollhouse-*"))
