from __future__ import annotations

from gateway.alerts.settings import rule_book
from gateway.alerts.tenants import OwnSettings
from gateway.config import model
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.tenants import deleted
from gateway.stores.memory import MemoryStore
from tests.key_samples import a_tenant

ALERTS = {"rules": {"ApiKeyHighErrorRate": {"requests_min": 7}}}


async def test_a_deleted_tenant_has_no_settings_of_its_own_any_more() -> None:
    store, book = MemoryStore(), rule_book(model.Alerts())
    await store.save_tenant(a_tenant(alerts=ALERTS))
    settings = OwnSettings(store)
    own = (await settings.under(book))["ten_a"]
    assert own.book[RuleName.HIGH_ERROR_RATE]["requests_min"] == 7
    await store.save_tenant(deleted(a_tenant(alerts=ALERTS), 1.0, "left"))
    assert await settings.under(book) == {}
