from __future__ import annotations

import asyncio
import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.usage import FacetKind
from gateway.ports import KeptUsage
from gateway.stores.memory_usage import MemoryUsage
from tests.cli.serving import command, served
from tests.usage_samples import HOUR, KEPT, NOON, a_cell, a_facet, dimensions

SINCE = ("--since", "2023-11-15T09:00:00Z", "--until", "2023-11-15T13:00:00Z")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    store = MemoryUsage()
    cells = [
        a_cell(NOON - HOUR, 3, denied=1, reasons={"rate_limited": 1}),
        a_cell(NOON, 2, dimensions("key_b", route="users", is_billable=False)),
        a_cell(NOON, 5, dimensions("key_a", route="users"), failed=4),
    ]
    facets = [a_facet(requests=2), a_facet("NZ", kind=FacetKind.COUNTRY)]
    asyncio.run(store.add(cells, facets))
    with served(tmp_path / "admin.sock", usage=KeptUsage(store, lambda: KEPT)) as address:
        yield address


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_usage_is_shown_over_time(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ("usage", "show", "--admin", address, *SINCE, "--interval", "hour")
    assert command(*shown, "--output", "table") == 0
    head, *found = rows(capsys)
    assert head[:5] == ["START", "REQUESTS", "ERRORS", "ERROR_RATIO", "DENIED"]
    assert "P95_MS" in head
    assert [row[:3] for row in found] == [
        ["2023-11-15T11:00:00Z", "3", "1"],
        ["2023-11-15T12:00:00Z", "7", "4"],
    ]
    assert command(*shown, "--output", "json", "--by", "key", "--key", "key_b") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["start"], row["key_id"], row["requests"]) == ("2023-11-15T12:00:00Z", "key_b", 2)


def test_usage_is_summed_up(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = (
        "usage",
        "show",
        "--admin",
        address,
        *SINCE,
        "--interval",
        "total",
        "--output",
        "table",
    )
    assert command(*shown, "--by", "billable") == 0
    assert [row[:2] for row in rows(capsys)[1:]] == [["no", "2"], ["yes", "8"]]
    assert command(*shown, "--tenant", "ten_b") == 0
    assert len(rows(capsys)) == 1


def test_limit_says_that_there_is_more(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ("usage", "show", "--admin", address, *SINCE, "--interval", "hour")
    assert command(*shown, "--limit", "1") == 0
    assert "more rows follow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ((), ["key_a", "8"]),
        (("--by", "route"), ["users", "7"]),
        (("--by", "route", "--sort", "denied"), ["jobs", "3"]),
        (("--by", "reason"), ["rate_limited", "1"]),
        (("--by", "network"), ["192.0.2.0/24", "2"]),
        (("--by", "country", "--key", "key_a"), ["NZ", "1"]),
    ],
)
def test_the_top_is_ranked(
    address: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], first: list[str]
) -> None:
    assert command("usage", "top", "--admin", address, *SINCE, "--output", "table", *options) == 0
    assert rows(capsys)[1][:2] == first


def test_what_is_not_counted_cannot_be_asked_for(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("usage", "top", "--admin", address, "--by", "network", "--route", "jobs")
    assert command(*asked) == 2
    assert "--route" in capsys.readouterr().err
    assert command("usage", "show", "--admin", address, "--by", "nothing") == 2


def test_usage_is_exported_as_csv(
    address: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "usage.csv"
    export = ("usage", "export", "--admin", address, *SINCE, "--interval", "hour")
    assert command(*export, "--file", str(path)) == 0
    found = [*csv.DictReader(io.StringIO(path.read_text()))]
    assert [(row["key_id"], row["route"], row["requests"]) for row in found] == [
        ("key_a", "jobs", "3"),
        ("key_a", "users", "5"),
        ("key_b", "users", "2"),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert command(*export, "--file", str(path)) == 2
    capfdbinary.readouterr()
    assert command(*export) == 0
    assert capfdbinary.readouterr().out == path.read_bytes()
