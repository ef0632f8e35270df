"""A command line becomes a page that depends on nothing but its declaration."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.cli.docs import FOLDER, generate, register, render_cli_reference, stale


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="toll", description="a gate")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    run = verbs.add_parser("run", help="serve requests")
    run.add_argument("--config", default="config.yaml", metavar="FILE", help="what to serve")
    run.add_argument("--secret-door", help=argparse.SUPPRESS)
    keys = verbs.add_parser("keys", help="keys").add_subparsers(metavar="VERB", required=True)
    create = keys.add_parser(
        "create", aliases=["mint"], description="Mint a key.\nThe secret is printed once."
    )
    create.add_argument("name", help="for people | not for machines")
    create.add_argument("tags", nargs="*", help="for searching")
    create.add_argument("-t", "--tenant", required=True, help="owner")
    create.add_argument("--scope", action="append", help="at 100%% strength")
    create.add_argument("--output", choices=("table", "json"), default="table", help="shape")
    create.add_argument("--log-level", choices=("info", "debug"), metavar="LEVEL", help="volume")
    create.add_argument("--pair", nargs=2, metavar=("FROM", "TO"), help="two values")
    create.add_argument("--many", nargs="+", help="several values")
    create.add_argument("--dry-run", action="store_true", help="change nothing")
    hidden = keys.add_parser("hidden", help=argparse.SUPPRESS)
    hidden.add_argument("--x")
    return parser


def test_every_verb_has_a_section_with_its_usage(parser: argparse.ArgumentParser) -> None:
    page = render_cli_reference(parser)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## `toll`",
        "## `toll run`",
        "## `toll keys create`",
    ]
    assert "```text\ntoll {run,keys}\n```" in page
    assert "```text\ntoll run [options]\n```" in page
    assert "toll keys create --tenant TENANT [options] NAME [TAGS ...]" in page


@pytest.mark.parametrize(
    "row",
    [
        "| `--config FILE` | What to serve. | `config.yaml` |",
        "| `NAME` | For people \\| not for machines. |  |",
        "| `[TAGS ...]` | For searching. |  |",
        "| `-t TENANT`, `--tenant TENANT` | Owner. | required |",
        "| `--scope SCOPE` | At 100% strength. May be given more than once. |  |",
        "| `--output {table,json}` | Shape. | `table` |",
        "| `--log-level LEVEL` | Volume. One of `info`, `debug`. |  |",
        "| `--pair FROM TO` | Two values. |  |",
        "| `--many MANY ...` | Several values. |  |",
        "| `--dry-run` | Change nothing. |  |",
    ],
)
def test_every_argument_has_a_row(parser: argparse.ArgumentParser, row: str) -> None:
    assert row in render_cli_reference(parser).splitlines()


def test_suppressed_verbs_and_options_stay_out(parser: argparse.ArgumentParser) -> None:
    page = render_cli_reference(parser)
    assert "secret-door" not in page
    assert "hidden" not in page


def test_an_alias_is_no_verb_of_its_own(parser: argparse.ArgumentParser) -> None:
    assert render_cli_reference(parser).count("mint") == 0


def test_a_description_becomes_one_line(parser: argparse.ArgumentParser) -> None:
    assert "Mint a key. The secret is printed once.\n" in render_cli_reference(parser)


def test_width_of_the_terminal_changes_nothing(
    parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = render_cli_reference(parser)
    monkeypatch.setenv("COLUMNS", "20")
    assert render_cli_reference(parser) == wide


def test_generate_writes_what_differs_and_then_nothing(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    written = generate(tmp_path, parser)
    assert sorted(path.name for path in written) == [
        "admin-problems.md",
        "cli.md",
        "config.md",
        "metrics.md",
        "reasons.md",
    ]
    assert generate(tmp_path, parser) == []
    page = tmp_path / FOLDER / "reasons.md"
    page.write_text("edited by hand", "utf-8")
    assert stale(tmp_path, parser) == [page]
    assert generate(tmp_path, parser) == [page]


def test_check_fails_until_the_pages_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    check = parser.parse_args(["docs", "--check", "--root", str(tmp_path)])
    assert check.run(check) == 1
    assert "run `make docs`" in capsys.readouterr().err
    write = parser.parse_args(["docs", "--root", str(tmp_path)])
    assert write.run(write) == 0
    assert "wrote" in capsys.readouterr().err
    assert check.run(check) == 0
