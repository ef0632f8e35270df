from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.client import REFUSED, UNREACHABLE, WRONG_USAGE
from gateway.cli.main import main
from tests.config.sample import HEAD, write

PROFILE = "scopes: {atoms: ['jobs:read']}\n"


class Tool:
    """`tollhouse` on the files of a gateway that does not run."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._config = str(write(folder, HEAD + PROFILE))
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str, expect: int = 0) -> Any:
        options = ("--output", "json", "--config", self._config, "--offline")
        return self.bare(*arguments[:2], *options, *arguments[2:], expect=expect)

    def bare(self, *arguments: str, expect: int = 0) -> Any:
        status = main(arguments)
        self.out, self.err = self._capsys.readouterr()
        assert status == expect, self.err
        try:
            return json.loads(self.out)
        except ValueError:
            return self.out

    def sql(self, statement: str) -> None:
        """Change the store behind the gateway's back."""
        with closing(sqlite3.connect(self.folder / "data" / "tollhouse.db")) as store, store:
            store.execute(statement)


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    tool = Tool(tmp_path, capsys)
    tool("tenants", "create", "--id", "acme", "--name", "Acme")
    tool("tenants", "suspend", "acme", "--reason", "unpaid")
    tool("tenants", "resume", "acme")
    return tool


def test_what_commands_did_is_in_the_trail_with_who_and_why(tool: Tool) -> None:
    records = tool("audit", "query")
    assert [record["type"] for record in records] == [
        "tenant.resumed",
        "tenant.suspended",
        "tenant.created",
    ]
    assert records[1]["reason"] == "unpaid"
    assert records[1]["actor"]["name"] == f"uid:{os.getuid()}"
    assert [each["seq"] for each in tool("audit", "query", "--type", "tenant.s*")] == [2]
    assert tool("audit", "query", "--since", "1h", "--until", "30m") == []
    assert [each["seq"] for each in tool("audit", "tail", "--limit", "2")] == [2, 3]
    assert len(tool("audit", "query", "--tenant", "acme", "--limit", "1")) == 1
    assert "more records follow" in tool.err


def test_a_table_of_the_trail_names_the_actor(tool: Tool) -> None:
    tool("audit", "query", "--output", "table")
    assert tool.out.splitlines()[0].split() == [
        "TS",
        "TYPE",
        "ACTOR",
        "TENANT_ID",
        "KEY_ID",
        "REASON",
        "ID",
    ]
    assert f"uid:{os.getuid()}" in tool.out


def test_a_trail_that_is_intact_is_verified(tool: Tool) -> None:
    found = tool("audit", "verify")
    assert (found["result"], found["records"], found["signed_seq"]) == ("intact", 3, 3)


@pytest.mark.parametrize(
    ("tampering", "seq"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE seq = 2", 2),
        ("UPDATE audit SET body = replace(body, 'unpaid', 'unpai.') WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("UPDATE audit SET seq = 9 WHERE seq = 1", 1),
    ],
)
def test_a_change_behind_its_back_is_found_in_its_record(
    tool: Tool, tampering: str, seq: int
) -> None:
    tool.sql("DELETE FROM audit_checkpoints WHERE seq < 3")
    tool.sql(tampering)
    found = tool("audit", "verify", expect=REFUSED)
    assert (found["result"], found["fault"]["seq"]) == ("changed", seq)
    assert f"at record {seq}:" in tool.err


def test_an_export_is_verified_without_the_gateway_and_its_files(
    tool: Tool, tmp_path: Path
) -> None:
    export = tmp_path / "export.jsonl"
    tool("audit", "export", "--file", str(export), "--reason", "yearly")
    public = tmp_path / "data" / "audit.pub"
    found = tool.bare("audit", "verify", str(export), "--public-key", str(public))
    assert (found["result"], found["records"], found.get("fault")) == ("intact", 4, None)
    assert tool.err == ""
    tool.bare("audit", "verify", str(export))
    assert "compare the fingerprint" in tool.err
    tool("audit", "export", "--file", str(export), expect=WRONG_USAGE)
    tool("audit", "export")
    assert tool.out.count('"kind":"record"') == 5
    export.write_bytes(export.read_bytes().replace(b"unpaid", b"unpaiD"))
    found = tool.bare("audit", "verify", str(export), expect=REFUSED)
    assert (found["fault"]["kind"], found["fault"]["seq"]) == ("edited", 2)


def test_what_cannot_be_verified_is_named(tool: Tool, tmp_path: Path) -> None:
    tool.bare("audit", "verify", str(tmp_path / "missing"), expect=WRONG_USAGE)
    assert "missing" in tool.err
    config = str(tmp_path / "config.yaml")
    tool.bare("audit", "verify", config, "--public-key", config, expect=WRONG_USAGE)
    assert "--public-key" in tool.err
    tool("audit", "verify", "--public-key", config, expect=WRONG_USAGE)
    tool.bare("audit", "verify", config, expect=REFUSED)


def test_pruning_keeps_a_trail_that_can_be_verified(tool: Tool) -> None:
    before = ("--before", "2100-01-01", "--reason", "a year")
    assert tool("audit", "prune", *before, "--dry-run")["records"] == 3
    assert tool("audit", "prune", *before) == {"records": 3, "through_seq": 3}
    [record] = tool("audit", "query")
    assert (record["type"], record["seq"]) == ("audit.pruned", 4)
    assert tool("audit", "verify")["first_seq"] == 4


def test_a_key_file_that_is_broken_is_named(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "data" / "audit.key").write_text("broken")
    tool("audit", "verify", expect=UNREACHABLE)
    assert "audit.key" in tool.err


@pytest.mark.parametrize("moment", ["yesterday", "1 fortnight", ""])
def test_a_time_that_is_none_is_wrong_usage(
    moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["audit", "query", "--since", moment])
    assert stop.value.code == WRONG_USAGE
    assert "how long ago" in capsys.readouterr().err


def test_more_requests_than_a_page_has_are_all_found_in_their_order(tool: Tool) -> None:
    from tests.telemetry.test_request_log import START, Disk, line

    disk = Disk(tool.folder / "data" / "requests")
    disk.clock.wall = START + 2_500
    disk.writer().write([line(START + n, request_id=f"req_{n}") for n in range(2_500)])
    newest_first = [f"req_{n}" for n in range(2_499, -1, -1)]
    for limit in (999, 1_000, 1_001, 9_999):
        found = [row["request_id"] for row in tool("requests", "query", "--limit", str(limit))]
        assert found == newest_first[:limit]
        assert ("more requests follow" in tool.err) is (limit < 2_500)
    found = [row["request_id"] for row in tool("requests", "tail", "--limit", "1500")]
    assert found == newest_first[:1_500][::-1]


def test_requests_are_searched_on_the_files_alone(tool: Tool) -> None:
    from tests.telemetry.test_request_log import START, Disk

    disk = Disk(tool.folder / "data" / "requests")
    writer = disk.writer()
    for number in range(3):
        disk.write(writer, START + number, request_id=f"req_{number}", status=200 + number)
    assert [row["request_id"] for row in tool("requests", "query")] == ["req_2", "req_1", "req_0"]
    assert [row["status"] for row in tool("requests", "query", "--status", "201")] == [201]
    assert [row["status"] for row in tool("requests", "tail", "--limit", "2")] == [201, 202]
    assert tool("requests", "query", "--key", "key_z", "--since", "2h") == []
    tool("requests", "query", "--limit", "1")
    assert "more requests follow" in tool.err
    tool("requests", "query", "--output", "table")
    assert "REQUEST_ID" in tool.out
