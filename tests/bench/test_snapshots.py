from __future__ import annotations

from pathlib import Path

from bench.key_store import built
from bench.snapshots import measure, table
from gateway.stores.sqlite import opened


async def test_the_snapshot_of_a_small_store_is_measured(tmp_path: Path) -> None:
    found = await measure(opened(built(tmp_path, 500)), 500, tmp_path, is_paced=True)
    assert found.keys == 500
    assert found.size > 100_000
    assert found.paced_seconds is not None
    assert "| 500 |" in table([found])
