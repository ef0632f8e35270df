"""Keys are found wherever they stand, nothing else is, and none of them is printed."""

from __future__ import annotations

import io
import json
import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.client import DONE, REFUSED, WRONG_USAGE
from gateway.cli.main import main
from gateway.cli.scan import CHUNK_BYTES, FINDINGS_MAX, Finding, TokenFinder
from gateway.domain.key_format import BASE62, KeyFormat
from tests.config.sample import HEAD, write

SK = KeyFormat("sk", "sk", ("live", "test"))
JH = KeyFormat("jobhive", "jh", ("dev", "live"))
BARE = KeyFormat("bare", "bb", ("live",), has_checksum=False)
FOREIGN = KeyFormat("foreign", "", ("live",), has_checksum=False)


def a_token(each: KeyFormat = SK, environment: str = "live", seed: int = 0) -> str:
    characters = random.Random(seed).choices(BASE62, k=each.random_length)
    return each.mint(environment, "".join(characters))


def found(data: bytes, *formats: KeyFormat) -> list[Finding]:
    return list(TokenFinder(formats or (SK, JH)).scan(io.BytesIO(data), "x"))


def test_no_look_alike_of_100_000_is_taken_for_a_key() -> None:
    """D9: the checksum leaves no false positives."""
    chance = random.Random(1)
    lines = [
        f"KEY=sk_{chance.choice(('live', 'test'))}_{''.join(chance.choices(BASE62, k=49))}"
        for _ in range(100_000)
    ]
    assert found("\n".join(lines).encode()) == []


def test_every_key_among_them_is_found_with_its_line() -> None:
    chance = random.Random(2)
    lines, expected = [], []
    for n in range(1, 20_001):
        if n % 100 == 0:
            lines.append(f'{{"key": "{a_token(SK, "test", n)}"}}')
            expected.append(n)
        else:
            lines.append(f"sk_live_{''.join(chance.choices(BASE62, k=49))}")
    assert [each.line for each in found("\n".join(lines).encode())] == expected


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "x{}",
        "{}x",
        "Bearer%20{}",
        "https://x/?k={}&a=1",
        "sk_live_{}",
        "\0{}\0",
        "…{}…",
        "{}\r",
    ],
)
def test_a_key_is_found_whatever_stands_around_it(around: str) -> None:
    token = a_token()
    [each] = found(f"\n{around.format(token)}\n".encode())
    assert (each.line, each.format, each.environment) == (2, "sk", "live")
    assert each.key == SK.display(token)
    assert token not in repr(each)


@given(before=st.integers(CHUNK_BYTES - 700, CHUNK_BYTES + 100), many=st.integers(1, 3))
def test_a_key_is_found_once_also_across_parts_of_a_large_file(before: int, many: int) -> None:
    tokens = [a_token(seed=n) for n in range(many)]
    data = b"\n" * before + " ".join(tokens).encode() + b"\n" * CHUNK_BYTES
    assert [(each.key, each.line) for each in found(data)] == [
        (SK.display(token), before + 1) for token in tokens
    ]


def test_of_one_environment_edited_into_another_nothing_is_left() -> None:
    assert found(a_token().replace("live", "test").encode()) == []


def test_formats_without_a_checksum_are_not_looked_for() -> None:
    finder = TokenFinder((SK, BARE, FOREIGN))
    assert finder.without_checksum == ["bare", "foreign"]
    assert list(finder.scan(io.BytesIO(a_token(BARE).encode()), "x")) == []


# The command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = "key_formats: {sk: {prefix: sk, environments: [live, test]}}\n"
    return write(tmp_path, HEAD + text)


def scanned(config: Path, *paths: str, expect: int) -> None:
    assert main(["keys", "scan", *paths, "--config", str(config)]) == expect


def test_what_is_found_is_told_by_place_and_masked(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = a_token()
    write(tmp_path, f"a\nb {token}\n", "src/deep/app.env")
    write(tmp_path, "nothing\n", "src/other.py")
    (tmp_path / "src" / "link").symlink_to(tmp_path / "src" / "deep" / "app.env")
    scanned(config, str(tmp_path / "src"), expect=REFUSED)
    told = capsys.readouterr()
    file = str(tmp_path / "src" / "deep" / "app.env")
    assert json.loads(told.out) == [
        {
            "place": f"{file}:2",
            "file": file,
            "line": 2,
            "key": SK.display(token),
            "format": "sk",
            "environment": "live",
        }
    ]
    assert told.err == "1 key found\n"
    scanned(config, str(tmp_path / "src"), "--output", "table", expect=REFUSED)
    assert f"{file}:2" in capsys.readouterr().out


def test_standard_input_is_read(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(f"+{a_token()}\n".encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    scanned(config, "-", expect=REFUSED)
    assert json.loads(capsys.readouterr().out)[0]["place"] == "-:1"


def test_nothing_found_is_success(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scanned(config, str(write(tmp_path, "sk_live_short\n", "a.txt")), expect=DONE)
    assert capsys.readouterr().err == "0 keys found\n"


def test_what_cannot_be_read_is_named_and_no_success(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scanned(config, str(tmp_path / "nowhere"), expect=WRONG_USAGE)
    assert "not read:" in capsys.readouterr().err
    scanned(tmp_path / "no.yaml", "-", expect=WRONG_USAGE)


def test_a_scan_ends_when_more_findings_say_nothing_new(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, f"{a_token()}\n" * (FINDINGS_MAX + 5), "many.txt")
    scanned(config, str(path), expect=REFUSED)
    assert f"stopped after {FINDINGS_MAX} findings" in capsys.readouterr().err


def test_a_pipe_in_a_folder_is_left_alone(config: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    os.mkfifo(tmp_path / "src" / "pipe")
    scanned(config, str(tmp_path / "src"), expect=DONE)
