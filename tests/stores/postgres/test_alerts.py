from __future__ import annotations

import asyncio

import pytest

from gateway.ports import AuditTrail, KeptAlerts
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.alerts import PostgresAlerts
from gateway.stores.postgres.opening import opened
from gateway.stores.postgres.store import PostgresStore
from tests.alert_samples import NOW, an_alert
from tests.contracts.alert_store import AlertStoreContract, a_notice
from tests.postgres import inserts_wait


class TestPostgresAlerts(AlertStoreContract):
    """Runs the contract against a database."""

    @pytest.fixture
    def kept(self, store: PostgresStore) -> KeptAlerts:
        return store.alerts

    @pytest.fixture
    def trail(self, store: PostgresStore) -> AuditTrail:
        return store.audit


async def test_an_alert_that_is_over_stays_over_whatever_another_gateway_still_writes(
    store: PostgresStore,
) -> None:
    await store.alerts.commit([an_alert(resolved_at=NOW + 9)])
    await store.alerts.commit([an_alert(last_seen_at=NOW + 60)])
    assert await store.alerts.alert("alr_1") == an_alert(resolved_at=NOW + 9)
    assert await store.alerts.open_alerts(10) == []


async def test_of_two_gateways_that_queue_notices_the_lower_number_is_seen_first(
    store: PostgresStore, access: Access, url: str
) -> None:
    async with (
        opened(access, 4) as another_database,
        inserts_wait(url, "alert_notices", "NEW.content LIKE '%alr_1%'") as one_waits,
    ):
        late = asyncio.create_task(store.alerts.commit([], [a_notice(number=1)]))
        await one_waits()
        other = PostgresAlerts(another_database)
        later = asyncio.create_task(other.commit([], [a_notice(number=2)]))
        await asyncio.wait([later], timeout=0.3)
        assert (await store.alerts.waiting("ops", 10)).total == 0
    await asyncio.gather(late, later)
    waiting = await store.alerts.waiting("ops", 10)
    assert [each["alert_id"] for each in waiting.notices] == ["alr_1", "alr_2"]
