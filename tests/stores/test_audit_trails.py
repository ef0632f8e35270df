from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.audit import GENESIS
from gateway.ports import AuditTrail, Conflict, Write
from gateway.stores.memory_audit import MemoryAudit
from gateway.stores.sqlite import SqliteStore, opened
from tests.contracts.audit_trail import AuditTrailContract, a_change
from tests.key_samples import a_key, a_tenant


class TestMemoryAudit(AuditTrailContract):
    """Runs the contract in memory."""

    @pytest.fixture
    def trail(self) -> AuditTrail:
        return MemoryAudit()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path / "tollhouse.db") as store:
        yield store


class TestSqliteAudit(AuditTrailContract):
    """Runs the contract against a file."""

    @pytest.fixture
    async def trail(self, store: SqliteStore) -> AuditTrail:
        return store.audit


async def test_a_change_that_is_not_committed_leaves_no_record(store: SqliteStore) -> None:
    await store.commit([Write(a_tenant())], [a_change(0)])
    with pytest.raises(Conflict):
        await store.commit([Write(a_key()), Write(a_key(), 0)], [a_change(1)])
    assert [record.seq for record in await store.audit.audit_records()] == [1]


_APPENDING = """
import asyncio, sys
from pathlib import Path
from gateway.stores.sqlite import opened
from tests.contracts.audit_trail import a_change

async def main():
    async with opened(Path(sys.argv[1])) as store:
        for number in range(50):
            await store.audit.append([a_change(number), a_change(number)])

asyncio.run(main())
"""


async def test_two_processes_on_one_file_leave_neither_a_gap_nor_a_fork(
    tmp_path: Path, store: SqliteStore
) -> None:
    path = tmp_path / "tollhouse.db"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", _APPENDING, str(path))
    try:
        for number in range(50):
            await store.audit.append([a_change(number), a_change(number)])
        async with asyncio.timeout(60):
            assert await other.wait() == 0
    finally:
        if other.returncode is None:
            other.kill()
            await other.wait()
    records = await store.audit.audit_records(limit=1000)
    assert [record.seq for record in records] == list(range(1, 201))
    hashes = [GENESIS.hex(), *(record.hash.hex() for record in records)]
    assert [record.content()["prev_hash"] for record in records] == hashes[:-1]
