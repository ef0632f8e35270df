from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.stores.migrations import SchemaError, prepare, require_version, steps
from gateway.stores.postgres.migrations import steps as postgres_steps
from gateway.stores.rows import values_of
from tests.key_samples import a_key, a_tenant


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


def test_the_steps_are_numbered_without_gap() -> None:
    assert [version for version, _ in steps()] == list(range(1, len(steps()) + 1))


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    prepare(path)
    with closing(sqlite3.connect(path)) as file:
        before = list(file.execute("SELECT name, sql FROM sqlite_master ORDER BY name"))
    prepare(path)
    with closing(sqlite3.connect(path)) as file:
        assert list(file.execute("SELECT name, sql FROM sqlite_master ORDER BY name")) == before
    assert _version(path) == steps()[-1][0]


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    prepare(path)
    newest = steps()[-1][0]
    broken = (newest + 1, "CREATE TABLE halfway (a TEXT) STRICT;\nCREATE TABLE broken (;\n")
    with pytest.raises(sqlite3.Error):
        prepare(path, [*steps(), broken])
    assert _version(path) == newest
    with closing(sqlite3.connect(path)) as file:
        tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
    assert "halfway" not in tables


def test_a_file_from_the_step_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    prepare(path)
    newest = steps()[-1][0]
    later = (newest + 1, "CREATE TABLE later (a TEXT) STRICT;\n")
    prepare(path, [*steps(), later])
    assert _version(path) == newest + 1


def test_keys_from_before_they_were_counted_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    prepare(path, [step for step in steps() if step[0] < 2])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        _insert(file, "tenants", values_of(a_tenant()))
        for n, environment in enumerate(("live", "live", "test")):
            _insert(file, "keys", values_of(a_key(f"key_{n}", environment=environment)))
    prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM keys WHERE key_id = 'key_0'")
        counted = list(file.execute("SELECT * FROM key_counts ORDER BY environment"))
    assert counted == [("active", "live", 1), ("active", "test", 1)]


def _insert(file: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    known = {row[1] for row in file.execute(f"PRAGMA table_info({table})")}
    values = {name: value for name, value in values.items() if name in known}
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    file.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)


def test_an_old_sqlite_is_refused_by_name() -> None:
    require_version((3, 38, 0))
    with pytest.raises(SchemaError, match=r"SQLite 3\.37\.2 is too old: install 3\.38\.0"):
        require_version((3, 37, 2))


_TAKES_AWAY = re.compile(
    r"^\s*(DROP|DELETE|TRUNCATE|UPDATE)\b|\bRENAME\b|\bALTER COLUMN\b|\bDROP COLUMN\b|\bDROP CONSTRAINT\b",
    re.MULTILINE | re.IGNORECASE,
)
_NEEDED_COLUMN = re.compile(
    r"ADD COLUMN (?:(?!DEFAULT).)*\bNOT NULL\b(?:(?!DEFAULT).)*$", re.MULTILINE
)


def _bare(script: str) -> str:
    """Return a step without its comments and the bodies of its triggers."""
    script = re.sub(r"--.*", "", script)
    return re.sub(r"^BEGIN\n.*?^END;|\$\$.*?\$\$", "", script, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("known", [steps(), postgres_steps()], ids=["sqlite", "postgres"])
def test_a_later_step_only_adds_so_that_an_older_gateway_that_runs_goes_on(
    known: list[tuple[int, str]],
) -> None:
    for version, script in known[1:]:
        found = _TAKES_AWAY.search(_bare(script))
        assert found is None, f"step {version} takes something away: {found}"
        needed = _NEEDED_COLUMN.search(_bare(script))
        assert needed is None, f"step {version} wants a value that an older gateway does not write"


def test_what_takes_away_is_found() -> None:
    for line in (
        "DROP INDEX keys_by_name;",
        "ALTER TABLE keys RENAME TO old;",
        "ALTER TABLE keys DROP COLUMN plan;",
        "UPDATE keys SET plan = '';",
    ):
        assert _TAKES_AWAY.search(_bare(f"CREATE TABLE t (a TEXT);\n{line}\n"))
    assert _NEEDED_COLUMN.search("ALTER TABLE keys ADD COLUMN a TEXT NOT NULL;")
    assert not _NEEDED_COLUMN.search("ALTER TABLE keys ADD COLUMN a TEXT NOT NULL DEFAULT '';")


def test_checkpoints_from_before_they_were_counted_stay_without_a_number(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    prepare(path, steps()[:7])
    with closing(sqlite3.connect(path)) as file:
        file.execute("INSERT INTO audit_checkpoints VALUES (7, 1.5, zeroblob(32), x'01')")
        file.commit()
    prepare(path)
    with closing(sqlite3.connect(path)) as file:
        # As a gateway that does not know of numbers writes, while others are replaced.
        file.execute(
            "INSERT INTO audit_checkpoints (seq, at, hash, signature)"
            " VALUES (8, 2.5, zeroblob(32), x'02')"
        )
        rows = file.execute("SELECT seq, number, number_signature FROM audit_checkpoints")
        assert list(rows) == [(7, 0, b""), (8, 0, b"")]
