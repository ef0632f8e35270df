"""`tollhouse plan`, of a gateway that answers what it is told to, and of two files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import plan
from gateway.config.problems import Problem
from gateway.config.reloading import ReloadRefused
from tests.cli.serving import served
from tests.cli.test_reload import DONE, Attempts
from tests.config.sample import HEAD, UPSTREAM, write

MISTAKE = Problem(file="config.yaml", line=3, column=9, path="routes", message="must be a list")
OLD = (
    "scopes: {atoms: [a, b]}\nplans: {p: {rate: {per_minute: 60}}}\n" + UPSTREAM + "routes:\n"
    "  - {name: one, match: {methods: [GET], path: /one}, scopes: [a], upstream: u}\n"
    "  - {name: two, match: {methods: [GET], path: /two}, upstream: u}\n"
)
NEW = (
    "scopes: {atoms: [a, b]}\nplans: {p: {rate: {per_minute: 30}}}\nworkers: 2\n"
    "upstreams: {u: {targets: ['http://127.0.0.1:9001']}}\nreload: {poll: 2s}\nroutes:\n"
    "  - {name: one, match: {methods: [GET], path: /one}, scopes: [b], upstream: u}\n"
    "  - {name: two, match: {methods: [GET], path: /two}, auth: none, upstream: u}\n"
    "  - {name: new, match: {methods: [GET], path: /new}, upstream: u}\n"
)


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="tollhouse")
    plan.register(parser.add_subparsers(required=True))
    options = parser.parse_args(["plan", *arguments])
    status: int = options.run(options)
    return status


def compared(folder: Path, *arguments: str, old: str = OLD, new: str = NEW) -> int:
    paths = [write(folder, HEAD + text, f"{name}.yaml") for name, text in (("o", old), ("n", new))]
    return command(*map(str, paths), *arguments)


def test_it_tells_a_person_what_changes_and_for_whom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock", config=Attempts(DONE).routes()) as address:
        assert command("--admin", address, "--output", "table") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "routes:",
        "  + jobs  GET /jobs",
        "upstreams:",
        "  - u; gone: http://a:1",
        "limits:",
        "  ~ p/minute lets through less: no limit -> 1 per minute (1 key)",
        "keys:",
        "  of 2 keys, 1 would lose and 0 gain access",
        "  - key_a (A, ten_a, live)",
        "      - jobs: no_route",
        "waiting for a restart:",
        "  ! store.path",
    ]
    assert told.err == "2 changes; nothing was taken; 2 keys looked at\n"


def test_it_asks_for_as_many_keys_as_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = Attempts(DONE)
    with served(tmp_path / "admin.sock", config=attempts.routes()) as address:
        assert command("--admin", address, "--first", "7") == 0
    assert attempts.asked == ["plan 7"]
    assert json.loads(capsys.readouterr().out)["result"] == "planned"


def test_a_configuration_that_would_be_refused_is_told_with_its_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing = Attempts(ReloadRefused("the configuration has 1 problem", (MISTAKE,)))
    with served(tmp_path / "admin.sock", config=refusing.routes()) as address:
        assert command("--admin", address, "--output", "table") == 1
    assert capsys.readouterr().out == "config.yaml:3:9: routes: must be a list\n"


def test_two_files_are_compared_without_a_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, "--output", "table") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "routes:",
        "  ~ one  GET /one; scopes; needs now b; needs no longer a",
        "  ~ two  GET /two; auth; OPEN TO EVERYBODY: it needs no key",
        "  + new  GET /new",
        "upstreams:",
        "  ~ u; targets; new: http://127.0.0.1:9001; gone: http://127.0.0.1:9000",
        "limits:",
        "  ~ p/minute lets through less: 60 per minute, 60 at once, for each lineage -> 30 per minute,"
        " 30 at once, for each lineage (0 keys)",
        "without a key:",
        "  + two: was missing_credentials",
        "other settings:",
        "  ~ reload.poll",
        "waiting for a restart:",
        "  ! workers",
    ]
    assert "nothing was taken; keys: there is no store at" in told.err


def test_a_program_gets_the_same_shape_from_files_as_from_a_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shape(value: Any) -> Any:
        return sorted(value) if isinstance(value, dict) else None

    assert compared(tmp_path, "--output", "json") == 0
    of_files = json.loads(capsys.readouterr().out)
    with served(tmp_path / "admin.sock", config=Attempts(DONE).routes()) as address:
        command("--admin", address)
    of_gateway = json.loads(capsys.readouterr().out)
    assert shape(of_files) == shape(of_gateway)
    assert shape(of_files["callers"]) == shape(of_gateway["callers"])


def test_equal_files_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, "--output", "table", new=OLD) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("nothing has changed")


def test_files_with_mistakes_and_other_numbers_of_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, "--output", "table", new="rutes: []\n") == 1
    assert "rutes: unknown key" in capsys.readouterr().out
    assert command("one.yaml") == 2
    assert "name two files" in capsys.readouterr().err
