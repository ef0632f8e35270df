"""Shells complete what the parsers know. Bash is asked; the other two are read, unless they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.completion import SHELLS, script
from gateway.cli.main import VERBS, build_parser, main

PARSER = build_parser()

_ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_tollhouse
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "tollhouse.bash"
    path.write_text(script("bash", PARSER))
    return path


def completed(path: Path, *words: str, cwd: Path | None = None) -> list[str]:
    """Return what bash offers for the last of `words`."""
    told = subprocess.run(
        ["bash", "--norc", "-c", _ASK, "bash", str(path), "tollhouse", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
    )
    assert told.stderr == ""
    return told.stdout.split()


def test_every_verb_is_offered_at_its_place(bash_script: Path) -> None:
    assert set(completed(bash_script, "")) == set(VERBS)
    assert completed(bash_script, "ten") == ["tenants"]
    assert set(completed(bash_script, "keys", "s")) == {"show", "suspend", "scan"}
    assert completed(bash_script, "rotations", "cl") == ["clients"]


def test_options_are_offered_after_a_dash_and_their_values_after_them(bash_script: Path) -> None:
    assert completed(bash_script, "keys", "rotate", "key_a", "--gr") == ["--grace"]
    assert completed(bash_script, "keys", "list", "--output", "") == ["table", "json", "yaml"]
    assert completed(bash_script, "tenants", "update", "--ip-allowlist", "o") == ["on", "off"]
    assert completed(bash_script, "completion", "") == list(SHELLS)
    assert completed(bash_script, "keys", "rotate", "--grace", "") == []


def test_files_are_offered_where_a_file_is_meant(bash_script: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.json").touch()
    assert completed(bash_script, "keys", "scan", "ke", cwd=tmp_path) == ["keys.json"]
    assert completed(bash_script, "keys", "import", "ke", cwd=tmp_path) == ["keys.json"]
    assert completed(bash_script, "run", "--config", "ke", cwd=tmp_path) == ["keys.json"]


def test_the_value_of_an_option_is_taken_for_no_verb(bash_script: Path) -> None:
    offered = completed(bash_script, "keys", "create", "--name", "list", "--t")
    assert set(offered) == {"--tenant", "--template", "--tag", "--token-file"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_and_its_shell_can_read_it(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == script(shell, PARSER)
    assert all(verb in text for verb in VERBS)
    if shutil.which(shell) is not None:
        (tmp_path / "script").write_text(text)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_fish_is_told_what_each_option_is_for() -> None:
    text = script("fish", PARSER)
    at = "complete -c tollhouse -n '__tollhouse_at \"keys rotate\"'"
    assert f"{at} -l grace -x -d 'how long the old key goes on; 0s stops it now'" in text
    assert f"{at} -l output -x -a 'table json yaml'" in text
    assert "%(default)s" not in text
