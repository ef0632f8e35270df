"""An upgrade that somebody noticed is told as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.upgrade.__main__ import report
from bench.upgrade.scenes import Upgraded
from bench.upgrade.versions import later
from gateway import __version__
from gateway.stores.migrations import newest

GOOD = Upgraded(
    how="restart",
    asked=1000,
    failed=0,
    why=(),
    longest=1.5,
    seconds=2.0,
    short=4,
    whole=4,
    endless=2,
    cut=2,
    changes=2,
    kept=2,
)


def test_an_upgrade_that_nobody_noticed_is_told_in_a_line() -> None:
    text = report([GOOD], 0.5)
    line = "| restart | 1,000 | 0 | 1.50 s | 2.0 s | 4 of 4 | 2 of 2 | 2 of 2 |"
    assert line in text
    assert GOOD.is_kept


@pytest.mark.parametrize("what", [{"failed": 1}, {"whole": 3}, {"kept": 1}])
def test_what_somebody_noticed_is_no_success(what: dict[str, int]) -> None:
    bad = replace(GOOD, why=("ConnectionResetError",), **what)  # type: ignore[arg-type]
    assert not bad.is_kept
    assert "restart: ConnectionResetError" in report([bad], 0.5)


@pytest.mark.pure
def test_a_later_version_is_another_one_with_a_newer_schema(tmp_path: Path) -> None:
    made = later(tmp_path / "new", "7.0.0")
    package = made.folder / "gateway"
    assert '__version__ = "7.0.0"' in (package / "__init__.py").read_text()
    assert __version__ != "7.0.0"
    assert (package / "stores" / "schema" / f"{newest() + 1:03}_upgrade.sql").exists()
    assert not list(package.rglob("__pycache__"))
