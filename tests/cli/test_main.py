"""The verbs are all there, and none pays for another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.cli.main import VERBS, build_parser, main

_NOT_FOR_RUN = (
    "gateway.cli.client",
    "gateway.cli.docs",
    "gateway.config.reference",
    "gateway.config.schema",
)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_alone_explains_itself_as_among_all(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for parser in (build_parser(), build_parser(verb)):
        with pytest.raises(SystemExit):
            parser.parse_args([verb, "--help"])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.parametrize("arguments", [["fly"], [], ["--help"]])
def test_whoever_asks_for_no_verb_is_told_all(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    told = "".join(capsys.readouterr())
    assert "VERB" in told
    assert arguments == [] or all(verb in told for verb in VERBS)


def test_a_gateway_that_runs_imports_nothing_of_the_other_verbs() -> None:
    code = f"""
import sys
from gateway.cli.main import build_parser
build_parser("run")
print([name for name in {_NOT_FOR_RUN!r} if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


_MOST_OF_A_GATEWAY = ("aiohttp.web", "gateway.admin.app", "gateway.assembly.gateway", "aiosqlite")


@pytest.mark.parametrize(
    ("verb", "unwanted"),
    [
        ("keys", _MOST_OF_A_GATEWAY),
        ("reload", _MOST_OF_A_GATEWAY),
        ("fmt", ("aiohttp", "pydantic")),
        ("version", ("aiohttp", "pydantic")),
    ],
)
def test_a_command_that_only_asks_a_gateway_does_not_bring_one_along(
    verb: str, unwanted: tuple[str, ...]
) -> None:
    code = f"""
import sys
from gateway.cli.main import build_parser
build_parser({verb!r})
print([name for name in {unwanted!r} if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
