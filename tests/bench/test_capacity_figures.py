"""What `make bench-capacity` measures is counted as it says, and it can be run."""

from __future__ import annotations

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench.capacity_figures import _in_sqlite, bytes_of
from bench.capacity_page import EXAMPLES, Found, page
from bench.capacity_stores import LISTS
from bench.postgres_server import statements_of

LOG = b"""\
41 LOG:  database system is ready to accept connections
52 LOG:  statement: BEGIN;
52 LOG:  execute __asyncpg_stmt_1__: SELECT * FROM keys
\tWHERE digest = $1
52 DETAIL:  parameters: $1 = 'x'
52 LOG:  statement: COMMIT;
53 LOG:  execute <unnamed>: INSERT INTO nodes VALUES ($1)
53 LOG:  statement: SELECT 1
"""


def test_every_statement_is_counted_and_frames_of_transactions_are_not() -> None:
    assert [" ".join(each.split()) for each in statements_of(LOG)] == [
        "SELECT * FROM keys WHERE digest = $1", "INSERT INTO nodes VALUES ($1)", "SELECT 1",
    ]  # fmt: skip


def test_the_bytes_of_a_table_are_those_of_its_indexes_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as file:
        file.execute("CREATE TABLE a (x TEXT)")
        file.execute("CREATE TABLE b (x TEXT)")
        try:
            before = bytes_of(file, "a")
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite cannot tell ({error}), so bytes of tables are NOT tested")
        file.executemany("INSERT INTO a VALUES (?)", [("x" * 1000,)] * 100)
        table = bytes_of(file, "a")
        assert table > before + 100_000
        file.execute("CREATE INDEX i ON a (x)")
        assert bytes_of(file, "a") > 1.8 * table
        assert bytes_of(file, "b") == before


@pytest.mark.slow
def test_a_store_is_weighed_started_and_backed_up(tmp_path: Path) -> None:
    """The first part of the command, with few keys."""
    found = Found()
    _in_sqlite(argparse.Namespace(keys=[2_200], folder=tmp_path, starts=1), found)
    [row] = found.sizes
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "SQLite, 2,200 keys"
    assert 500 < float(cells[2].replace(",", "")) < 5_000
    assert (cells[4].endswith(" s"), cells[6].endswith(" us")) == (True, True)
    assert not list(tmp_path.rglob("backup.db"))
    [(_, told)] = found.stores
    assert told.lists.keys() == LISTS.keys()
    assert told.late < 60
    text = page(found, 0.5)
    assert all(f"| {name} | " in text for name in LISTS)
    assert "| SQLite, 2,200 keys: first page |" in text


def test_the_page_says_what_was_not_measured_and_what_follows() -> None:
    text = page(Found(sizes=["| SQLite | 1 | 2 | 3 | 4 | 5 | 6 | 7 |"], absent="no server"), 0.5)
    assert "PostgreSQL was not measured: no server" in text
    assert all(f"### {title}" in text for title, _ in EXAMPLES)
    assert "| what ends first |" in text
