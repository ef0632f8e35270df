"""The table of what is done without: every mode that means something, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.sample import loaded, said


def test_by_default_known_keys_go_on_and_what_cannot_be_told_is_counted(tmp_path: Path) -> None:
    table = loaded(tmp_path, "").on_failure
    assert (table.keys.mode, table.keys.max_age) == ("last_known_good", None)
    assert (table.limits, table.audit, table.usage) == ("local", "drop_and_count", "drop_and_count")
    assert (table.geoip, table.alerts, table.config) == (
        "last_known_good",
        "drop_and_count",
        "last_known_good",
    )


def test_a_bare_word_stands_for_the_mode(tmp_path: Path) -> None:
    assert loaded(tmp_path, "on_failure: {keys: deny}\n").on_failure.keys.mode == "deny"


def test_a_mode_with_an_age_can_be_written(tmp_path: Path) -> None:
    text = "on_failure: {keys: {mode: last_known_good, max_age: 30m}}\n"
    assert loaded(tmp_path, text).on_failure.keys.max_age == 1800.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keys: local", "on_failure.keys: must be 'last_known_good' or 'deny'"),
        ("audit: local", "on_failure.audit: must be 'drop_and_count' or 'deny'"),
        ("usage: deny", "on_failure.usage: must be 'drop_and_count'"),
        ("geoip: deny", "on_failure.geoip: must be 'last_known_good' or 'drop_and_count'"),
        ("alerts: deny", "on_failure.alerts: must be 'drop_and_count'"),
        ("config: deny", "on_failure.config: must be 'last_known_good'"),
    ],
)
def test_a_mode_that_means_nothing_is_refused_with_those_that_do(
    tmp_path: Path, text: str, message: str
) -> None:
    assert said(tmp_path, f"on_failure: {{{text}}}\n") == [message]
