from __future__ import annotations

from pathlib import Path

import pytest

from gateway.stores.snapshots.counts import read_counts, write_counts
from gateway.stores.snapshots.sealing import Unusable
from tests.stores.snapshots.samples import STORE, seals


def test_counters_come_back(tmp_path: Path) -> None:
    path, mine = tmp_path / "deep" / "counts", seals()
    counts = {f"lineage:{n}:p:day": (86_400 * n, n) for n in range(1_200)}
    for given in ({}, counts):
        write_counts(path, mine.current, STORE, given)
        assert read_counts(path, mine, STORE) == given
    assert path.stat().st_mode & 0o777 == 0o600
    assert len([*path.parent.iterdir()]) == 1


def test_what_was_changed_or_is_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    path, mine = tmp_path / "counts", seals()
    with pytest.raises(Unusable, match="cannot be read"):
        read_counts(path, mine, STORE)
    write_counts(path, mine.current, STORE, {"b": (0, 9)})
    with pytest.raises(Unusable, match="of another store"):
        read_counts(path, mine, "another")
    with pytest.raises(Unusable, match="signature"):
        read_counts(path, seals(b"q" * 32), STORE)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"9", b"1"))
    with pytest.raises(Unusable):
        read_counts(path, mine, STORE)
