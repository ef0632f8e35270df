"""The Markdown reference of all keys."""

from __future__ import annotations

from gateway.config.fields import keys
from gateway.config.model import Config
from gateway.config.reference import render_reference

PAGE = render_reference()


def test_every_key_has_a_row_with_its_default_and_description() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    every = list(keys())
    assert len(rows) == len(every)
    for row, key in zip(rows, every, strict=True):
        assert row.startswith(f"| `{key.path}` | ")
        assert (f"| `{key.default}` |" if key.default else "| required |") in row


def test_every_top_level_key_has_a_section() -> None:
    sections = [line for line in PAGE.splitlines() if line.startswith("## ")]
    assert sections == [f"## `{name}`" for name in Config.model_fields]


def test_tables_are_well_formed() -> None:
    for line in PAGE.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 6, line


def test_page_is_the_same_each_time() -> None:
    assert render_reference() == PAGE
