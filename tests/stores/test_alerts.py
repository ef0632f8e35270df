from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ports import AuditTrail, KeptAlerts
from gateway.stores.memory_alerts import MemoryAlerts
from gateway.stores.sqlite import SqliteStore, opened
from tests.alert_samples import an_alert
from tests.contracts.alert_store import AlertStoreContract, a_notice


class TestMemoryAlerts(AlertStoreContract):
    """Runs the contract in memory."""

    @pytest.fixture
    def kept(self) -> KeptAlerts:
        return MemoryAlerts()

    @pytest.fixture
    def trail(self, kept: MemoryAlerts) -> AuditTrail:
        return kept.audit


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path / "tollhouse.db") as store:
        yield store


class TestSqliteAlerts(AlertStoreContract):
    """Runs the contract against a file."""

    @pytest.fixture
    async def kept(self, store: SqliteStore) -> KeptAlerts:
        return store.alerts

    @pytest.fixture
    async def trail(self, store: SqliteStore) -> AuditTrail:
        return store.audit


async def test_alerts_and_what_is_to_be_told_survive_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "tollhouse.db") as store:
        await store.alerts.commit([an_alert()], [a_notice()])
    async with opened(tmp_path / "tollhouse.db") as store:
        assert await store.alerts.open_alerts(10) == [an_alert()]
        assert (await store.alerts.waiting("ops", 10)).total == 1


async def test_questions_about_alerts_read_an_index(store: SqliteStore, tmp_path: Path) -> None:
    del store
    with sqlite3.connect(tmp_path / "tollhouse.db") as file:
        for question, index in (
            ("resolved_at < 1", "alerts_by_end"),
            ("tenant_id = 'a' AND seq < 9 ORDER BY seq DESC LIMIT 5", "alerts_by_tenant"),
            ("rule = 'a' AND tenant_id = 'b' AND key_id = 'c' AND subject = 'd'", "alerts_"),
        ):
            plan = file.execute(f"EXPLAIN QUERY PLAN SELECT * FROM alerts WHERE {question}")
            assert index in " ".join(str(row) for row in plan), question
