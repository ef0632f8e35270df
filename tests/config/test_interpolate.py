"""Placeholders in values."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.interpolate import SECRET_FILE_BYTES_MAX, Interpolator, UnresolvedError
from gateway.config.sections.values import Interpolated

ENVIRON = {"NAME": "value", "EMPTY": ""}


def resolve(text: str, folder: Path = Path()) -> str:
    return Interpolator(ENVIRON, folder).resolve(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${NAME}", "value"),
        ("a-${NAME}-${NAME}", "a-value-value"),
        ("${NAME:-other}", "value"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-http://x:-1}", "http://x:-1"),
        ("$${NAME}", "${NAME}"),
        ("$$", "$"),
        ("^/v1/[a-z]+$", "^/v1/[a-z]+$"),
        ("cost: 5$", "cost: 5$"),
    ],
)
def test_placeholder_is_replaced(text: str, result: str) -> None:
    assert resolve(text) == result


def test_only_what_came_from_outside_is_marked() -> None:
    assert isinstance(resolve("${NAME}"), Interpolated)
    assert not isinstance(resolve("$$5"), Interpolated)
    assert not isinstance(resolve("plain"), Interpolated)


def test_value_that_looks_like_a_placeholder_is_not_read_again() -> None:
    assert Interpolator({"A": "${B}", "B": "x"}, Path()).resolve("${A}") == "${B}"


def test_missing_variable_names_itself_and_the_way_out() -> None:
    with pytest.raises(UnresolvedError, match=r"UNSET is not set.*\$\{UNSET:-default\}"):
        resolve("${UNSET}")


@pytest.mark.parametrize("text", ["${}", "${1X}", "${NAME-x}", "${file:}", "${a b}"])
def test_placeholder_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UnresolvedError, match="not a placeholder"):
        resolve(text)


def test_placeholder_that_is_not_closed_is_refused() -> None:
    with pytest.raises(UnresolvedError, match="not closed"):
        resolve("a ${NAME")


def test_file_is_read_relative_to_the_folder_without_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b" line \r\n")
    assert resolve("${file:secret}", tmp_path) == " line "
    assert resolve(f"${{file:{tmp_path / 'secret'}}}", Path("/nowhere")) == " line "


def test_missing_file_needs_a_default(tmp_path: Path) -> None:
    assert resolve("${file:absent:-x}", tmp_path) == "x"
    with pytest.raises(UnresolvedError, match="absent' does not exist"):
        resolve("${file:absent}", tmp_path)


def test_file_that_cannot_be_a_secret_is_refused_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00secret")
    (tmp_path / "large").write_bytes(b"x" * (SECRET_FILE_BYTES_MAX + 1))
    with pytest.raises(UnresolvedError, match="not UTF-8") as caught:
        resolve("${file:binary}", tmp_path)
    assert "secret" not in str(caught.value).replace("binary", "")
    with pytest.raises(UnresolvedError, match="larger than 64 KiB"):
        resolve("${file:large}", tmp_path)
    with pytest.raises(UnresolvedError, match="cannot be read: Is a directory"):
        resolve("${file:.}", tmp_path)
    with pytest.raises(UnresolvedError, match="cannot be read: not a path"):
        resolve("${file:a\0b}", tmp_path)


@given(st.text(alphabet="$ {}:-aNAMEfile/", max_size=30))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    with contextlib.suppress(UnresolvedError):
        assert "${" not in resolve(text, Path("/nonexistent")) or "$$" in text


@given(st.text())
def test_escaped_text_stands_for_itself(text: str) -> None:
    assert resolve(text.replace("$", "$$")) == text
