"""Secrets that stand in the text of a configuration are told from those that are only named there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import read
from tests.config.sample import HEAD, write

ENVIRON = {"P": "0123456789abcdef0123456789abcdef", "PW": "hunter2", "T": "Bearer abc"}
NAMED = "version: 1\npeppers: {current: p1, p1: '${P}'}\n"
UPSTREAM = "upstreams: {u: {targets: ['http://x']}}\n"


def secrets(folder: Path, text: str) -> tuple[str, ...]:
    loaded = read(write(folder, text), ENVIRON)
    assert loaded.texts is not None, loaded.problems
    return loaded.texts.secrets


def route(headers: str) -> str:
    return (
        f"{NAMED}{UPSTREAM}routes: [{{name: a, match: {{path: /a}}, upstream: u,"
        f" headers: {{request: {{set: {{{headers}}}}}}}}}]\n"
    )


def test_a_pepper_in_the_text_is_found(tmp_path: Path) -> None:
    assert secrets(tmp_path, HEAD) == ("peppers.p1",)


def test_a_secret_that_is_named_is_none_in_the_text(tmp_path: Path) -> None:
    assert secrets(tmp_path, NAMED) == ()


def test_a_default_stands_in_the_text(tmp_path: Path) -> None:
    text = "version: 1\npeppers: {current: p1, p1: '${GONE:-0123456789abcdef0123456789abcdef}'}\n"
    assert secrets(tmp_path, text) == ("peppers.p1",)


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("postgresql://u@h/d", False),
        ("postgresql://u:${PW}@h/d", False),
        ("postgresql://u:hunter3@h/d", True),
        ("postgresql://u:hunter3@h1:1,h2:2/d", True),
    ],
)
def test_an_address_is_secret_for_the_password_in_it(
    tmp_path: Path, url: str, is_found: bool
) -> None:
    assert secrets(tmp_path, f"{NAMED}store: {{url: '{url}'}}\n") == ("store.url",) * is_found


@pytest.mark.parametrize(
    ("headers", "is_found"),
    [
        ("Authorization: Basic abc", True),
        ("Authorization: '${T}'", False),
        ("X-Api-Key: abc", True),
        ("X-Shape: round", False),
    ],
)
def test_a_header_that_usually_holds_a_secret_is_one(
    tmp_path: Path, headers: str, is_found: bool
) -> None:
    found = secrets(tmp_path, route(headers))
    assert len(found) == is_found
    assert all("headers.request.set" in each for each in found)


def test_the_shipped_configuration_can_be_kept(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "config.yaml").read_text()
    write(tmp_path, "0123456789abcdef" * 4, "data/pepper")
    assert secrets(tmp_path, text) == ()
