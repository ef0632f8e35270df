from pathlib import Path

import pytest

from bench import figures
from bench.machine import Unusable
from tests.bench.samples import report


def test_the_short_table_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{figures.README_BEGIN}old\n{figures.README_END}after\n")
    figures.write_into(page, report())
    once = page.read_text()
    figures.write_into(page, report())
    assert page.read_text() == once
    assert once.startswith(f"before\n{figures.README_BEGIN}| subject |")
    assert once.endswith(f"{figures.README_END}after\n")
    assert "| Tollhouse, everything on | 25,000 | 0.50 | 40.0 us | 2.00 | 200 us |" in once
    assert "old" not in once


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("text\n")
    with pytest.raises(Unusable, match="marks"):
        figures.write_into(page, report())
    assert page.read_text() == "text\n"


def test_page_and_chart_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    figures.write(report(), tmp_path / "docs" / "figures")
    written = {path.name for path in (tmp_path / "docs" / "figures").iterdir()}
    assert written == {"peers.md", "peers.svg"}
