"""Leaks on the command line: tokens come from a file or standard input, and none is printed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.client import WRONG_USAGE
from tests.cli.serving import served
from tests.cli.test_keys import CREATE, Tool


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock") as address:
        yield Tool(address, capsys)


def test_tokens_of_a_file_are_reported_and_listed(tool: Tool, tmp_path: Path) -> None:
    made = tool(*CREATE, "--scope", "read")
    found = tmp_path / "found"
    found.write_text(f"{made['secret']}\n\nsomething else\n")
    where = ("--url", "https://git.example/a", "--source", "scanner")
    told = tool("leaks", "report", "--from", str(found), *where, "--reason", "seen")
    assert [each["result"] for each in told["leaks"]] == ["key", "unknown"]
    assert made["secret"] not in tool.out + tool.err
    [leak] = tool("leaks", "list", "--key", made["key_id"])
    assert (leak["url"], leak["source"], leak["reason"]) == (where[1], "scanner", "seen")


def test_a_dry_run_tells_nobody(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tool(*CREATE, "--scope", "read")
    monkeypatch.setattr(sys, "stdin", io.StringIO(made["secret"]))
    assert tool("leaks", "report", "--dry-run")["leaks"][0]["key_id"] == made["key_id"]
    assert tool("leaks", "list") == []


def test_an_admin_token_is_answered_with_how_to_end_it(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tool("admin", "tokens", "create", "--name", "ci", "--role", "viewer")
    monkeypatch.setattr(sys, "stdin", io.StringIO(made["secret"]))
    tool("leaks", "report")
    assert f"tollhouse admin tokens revoke {made['token_id']}" in tool.err


@pytest.mark.parametrize("text", ["", "\n \n", "x\n" * 101])
def test_no_token_or_too_many_are_wrong_usage(
    tool: Tool, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    tool("leaks", "report", expect=WRONG_USAGE)


def test_a_file_that_cannot_be_read_is_named(tool: Tool, tmp_path: Path) -> None:
    tool("leaks", "report", "--from", str(tmp_path / "gone"), expect=WRONG_USAGE)
    assert "gone" in tool.err
