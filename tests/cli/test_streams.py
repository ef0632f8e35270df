from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.domain.streams import StreamKind
from tests.cli.serving import command, served
from tests.open_streams import OneStream, SomeStreams

OPEN = SomeStreams(
    OneStream(1, StreamKind.SSE, "key_a"), OneStream(2, StreamKind.WEBSOCKET, "key_b")
)


def listed(folder: Path, *options: str) -> int:
    with served(folder / "admin.sock", streams=OPEN) as address:
        return command("streams", "list", "--admin", address, *options)


def test_open_streams_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(tmp_path, "--output", "table") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["SINCE", "KIND", "KEY_ID", "TENANT_ID"]
    assert [row.split()[1:3] for row in rows] == [["sse", "key_a"], ["websocket", "key_b"]]


@pytest.mark.parametrize(
    "options",
    [
        ("--key", "key_b"),
        ("--lineage", "lin_of_key_b"),
        ("--kind", "websocket"),
        ("--tenant", "ten_a", "--route", "jobs", "--key", "key_b"),
    ],
)
def test_options_narrow_the_list(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(tmp_path, "--output", "json", *options) == 0
    (stream,) = json.loads(capsys.readouterr().out)
    assert stream["stream_id"] == "req_2"


def test_limit_says_that_there_is_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(tmp_path, "--limit", "1") == 0
    assert "more streams follow" in capsys.readouterr().err


def test_store_without_a_gateway_has_no_streams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock") as address:  # what `--offline` talks to
        assert command("streams", "list", "--admin", address) == 1
    assert "only a running one has streams" in capsys.readouterr().err


def test_unknown_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(tmp_path, "--kind", "news") == 1
    assert "long_poll" in capsys.readouterr().err
