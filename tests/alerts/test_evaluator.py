"""One round after the other: what is found fires once, is kept, audited and told, also when the store fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.alert_messages import told
from gateway.domain.alert_routing import ChannelTerms
from gateway.domain.alert_rules.health import Health
from gateway.domain.alerts import AlertEvent, Severity
from gateway.domain.policies import PolicyRules
from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.memory_alerts import MemoryAlerts
from tests.alert_samples import DAY, NOW, a_book, an_alert, some_settings
from tests.alerts.watching import Watching, watching
from tests.key_samples import a_tenant

FIRED, RESOLVED = "fired", "resolved"
ERRORS = "ApiKeyHighErrorRate"
QUICK = a_book(
    ApiKeyHighErrorRate={"resolve_after": 0}, GatewayStoreUnavailable={"resolve_after": 60}
)


class FailingAlerts(MemoryAlerts):
    """A store that can be told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    async def commit(self, *args: Any, **values: Any) -> None:
        if self.error is not None:
            raise self.error
        await super().commit(*args, **values)


async def failing() -> Watching:
    watch = await watching(kept=FailingAlerts(), settings=some_settings(QUICK))
    assert isinstance(watch.kept, FailingAlerts)
    return watch


# ---- from a finding to who is told


async def test_what_is_found_is_kept_audited_and_told() -> None:
    watch = await watching()
    await watch.use(requests=100, denied=60)
    await watch.look()
    assert await watch.alerts("firing") == [(ERRORS, "key_a", "denied")]
    assert await watch.told() == [(FIRED, ERRORS)]
    assert watch.teller.woken == ["ops"]
    [record] = await watch.kept.audit.audit_records()
    content = record.content()
    assert (record.type, record.tenant_id, record.key_id) == ("alert.fired", "ten_a", "key_a")
    assert content["actor"]["name"] == "alerts"
    assert content["subject_id"] == "alr_1"
    assert content["after"] == {
        "rule": ERRORS,
        "severity": "warning",
        "subject": "denied",
        "summary": 'Key "key_a" (key_a) of ten_a has 60% errors: 60 of 100 requests were refused by the'
        " gateway",
    }


async def test_it_is_told_once_however_often_it_is_found_and_once_that_it_is_over() -> None:
    watch = await watching(settings=some_settings(QUICK))
    await watch.use(requests=100, denied=60)
    for _ in range(10):
        await watch.look()
    assert await watch.told() == [(FIRED, ERRORS)]
    await watch.look(900)
    assert await watch.alerts("resolved") == [(ERRORS, "key_a", "denied")]
    assert await watch.told() == [(FIRED, ERRORS), (RESOLVED, ERRORS)]
    assert await watch.audited() == ["alert.fired", "alert.resolved"]
    await watch.look()
    assert len(await watch.told()) == 2


async def test_after_a_restart_open_alerts_go_on_and_nothing_is_told_again() -> None:
    watch = await watching()
    await watch.use(requests=100, denied=60)
    await watch.look()
    watch.start()
    await watch.look()
    assert await watch.told() == [(FIRED, ERRORS)]
    assert len(await watch.alerts()) == 1


async def test_a_pending_alert_waits_over_a_restart_as_well() -> None:
    book = a_book(ApiKeyHighErrorRate={"fire_after": 120})
    watch = await watching(settings=some_settings(book))
    await watch.use(requests=100, denied=60)
    await watch.look()
    assert await watch.alerts("pending") == [(ERRORS, "key_a", "denied")]
    watch.start()
    await watch.look(120)
    assert await watch.told() == [(FIRED, ERRORS)]


async def test_acknowledging_changes_nothing_about_the_end() -> None:
    watch = await watching(settings=some_settings(QUICK))
    await watch.use(requests=100, denied=60)
    await watch.look()
    alert = await watch.kept.alert("alr_1")
    await watch.kept.acknowledge("alr_1", NOW, replace(_ack(), at=NOW))
    await watch.look()
    assert await watch.alerts("acknowledged") == [(ERRORS, "key_a", "denied")]
    await watch.look(900)
    found = await watch.kept.alert(alert.alert_id)
    assert (found.state, found.acknowledged_by) == ("resolved", "ann")


def _ack() -> Any:
    from tests.contracts.alert_store import a_change

    return a_change()


# ---- who is told


async def test_channels_hear_what_they_want() -> None:
    book = a_book(
        ApiKeyHighErrorRate={"channels": ["all", "urgent", "others", "gone"], "resolve_after": 0}
    )
    channels = {
        "all": ChannelTerms(),
        "urgent": ChannelTerms(severity_min=Severity.CRITICAL),
        "others": ChannelTerms(tenants=frozenset({"ten_b"})),
        "ops": ChannelTerms(),
    }
    watch = await watching(settings=some_settings(book, channels=channels))
    await watch.use(requests=100, denied=60)
    await watch.look()
    assert [len(await watch.told(name)) for name in ("all", "urgent", "others", "ops", "gone")] == [
        *(1, 0, 0, 0, 0)
    ]


async def test_iv_16_of_reminders_it_is_not_told_that_they_are_over() -> None:
    settings = some_settings(policies=PolicyRules(reminders=(DAY,)))
    watch = await watching(settings=settings)
    await watch.add_key("key_b", expires_at=NOW + DAY)
    await watch.look()
    await watch.look(2 * DAY)
    assert await watch.told() == [(FIRED, "ApiKeyExpiringSoon")]
    assert await watch.audited() == ["alert.fired", "key.expiry_notified", "alert.resolved"]
    notified = (await watch.kept.audit.audit_records())[1].content()
    assert notified["key_id"] == "key_b"
    assert notified["after"] == {"expires_at": "2023-11-15T22:13:20Z", "lead_seconds": DAY}


async def test_keys_with_a_tag_that_is_left_out_are_left_alone() -> None:
    book = a_book(ApiKeyHighErrorRate={"except_tags": ["batch", "ci"]})
    watch = await watching(settings=some_settings(book))
    await watch.add_key("key_b", tags=("ci",))
    for key_id in ("key_a", "key_b"):
        await watch.use(key_id, requests=100, denied=60)
    await watch.look()
    assert await watch.alerts() == [(ERRORS, "key_a", "denied")]


async def test_a_key_that_is_gone_from_the_store_is_told_by_its_id() -> None:
    watch = await watching()
    await watch.use("key_gone", requests=100, denied=60)
    await watch.look()
    alert = await watch.kept.alert("alr_1")
    assert alert.summary.startswith("Key (key_gone) of ten_a has 60% errors")


# ---- settings


async def test_a_tenant_sets_rules_for_itself_and_changes_count_at_the_next_look() -> None:
    watch = await watching()
    await watch.add_tenant("ten_b", alerts={"rules": {ERRORS: {"denied_ratio": 0.1}}})
    await watch.add_key("key_b", tenant_id="ten_b")
    for key_id, tenant_id in (("key_a", "ten_a"), ("key_b", "ten_b")):
        await watch.use(key_id, requests=100, denied=20, tenant_id=tenant_id)
    await watch.look()
    assert await watch.alerts("firing") == [(ERRORS, "key_b", "denied")]
    own = {"rules": {ERRORS: {"enabled": False}}}
    await watch.store.save_tenant(a_tenant("ten_b", alerts=own))
    await watch.look()
    assert await watch.alerts("resolved") == [(ERRORS, "key_b", "denied")]
    await watch.store.save_tenant(a_tenant("ten_b"))
    await watch.use("key_b", requests=100, denied=90, tenant_id="ten_b")
    await watch.look()
    assert await watch.alerts("firing") == [(ERRORS, "key_b", "denied")]


async def test_a_rule_that_is_switched_off_finds_nothing_and_ends_what_it_found() -> None:
    watch = await watching()
    await watch.use(requests=100, denied=60)
    await watch.look()
    watch.settings = some_settings(a_book(ApiKeyHighErrorRate={"enabled": False}))
    await watch.look()
    assert await watch.alerts("firing") == []
    assert await watch.told() == [(FIRED, ERRORS), (RESOLVED, ERRORS)]


async def test_with_alerts_switched_off_nothing_is_looked_at_and_everything_is_over() -> None:
    watch = await watching()
    await watch.use(requests=100, denied=60)
    watch.health = Health(is_audit_intact=False)
    await watch.look()
    assert len(await watch.alerts("firing")) == 2
    watch.settings = replace(watch.settings, is_enabled=False)
    await watch.look()
    await watch.use(requests=100, denied=100)
    await watch.look()
    assert await watch.alerts("firing") == []
    assert len(await watch.alerts("resolved")) == 2


async def test_x_16_a_reminder_is_sent_once_also_when_its_rule_was_off_in_between() -> None:
    on = some_settings(policies=PolicyRules(reminders=(7 * DAY,)))
    off = replace(on, book=a_book(ApiKeyExpiringSoon={"enabled": False}))
    watch = await watching(settings=on)
    await watch.add_key("key_b", expires_at=NOW + 7 * DAY)
    for settings in (on, off, on):
        watch.settings = settings
        watch.start()
        await watch.look()
    assert await watch.told() == [(FIRED, "ApiKeyExpiringSoon")]


# ---- the gateway itself, and the store


async def test_the_gateways_own_readings_are_judged() -> None:
    watch = await watching()
    watch.health = Health(upstreams={"jobs": False}, lost={"access log": 1.0})
    await watch.look()
    watch.health = Health(upstreams={"jobs": False}, lost={"access log": 3.0})
    await watch.look()
    assert await watch.alerts("firing") == [
        ("UpstreamDown", "", "jobs"),
        ("GatewayAccessLogLoss", "", "access log"),
    ]
    alert = await watch.kept.alert("alr_1")
    assert alert.summary == (
        "The gateway knows no target of the upstream jobs that should get requests"
    )
    assert watch.evaluator.firing["UpstreamDown"] == 1
    assert watch.evaluator.firing[ERRORS] == 0


async def test_that_the_store_is_down_is_told_at_once_and_without_it() -> None:
    watch = await failing()
    await watch.look()
    watch.kept.error = StoreUnavailable("disk full")
    watch.health = Health(store_fault="disk full")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await watch.look()
    [notice] = watch.teller.now
    assert notice.channel == "ops"
    assert notice.content["rule"] == "GatewayStoreUnavailable"
    assert notice.content["summary"] == "The gateway cannot use its key store: disk full"
    assert watch.evaluator.firing["GatewayStoreUnavailable"] == 1
    watch.kept.error, watch.health = None, Health()
    await watch.look()
    assert await watch.alerts("firing") == [("GatewayStoreUnavailable", "", "")]
    assert await watch.told() == []  # it was told
    assert await watch.audited() == ["alert.fired"]
    await watch.look()
    await watch.look()
    assert await watch.told() == [(RESOLVED, "GatewayStoreUnavailable")]


async def test_what_concerns_the_gateway_is_told_while_the_store_is_down_before_that_is_asked() -> (
    None
):
    watch = await failing()
    watch.kept.error = StoreUnavailable("locked")
    told_before: list[list[str]] = []

    async def slow(limit: int) -> Any:
        told_before.append([each.content["rule"] for each in watch.teller.now])
        raise StoreUnavailable("no answer in time")

    watch.kept.open_alerts = slow

    async def look(seconds: float) -> None:
        with pytest.raises(StoreUnavailable):
            await watch.look(seconds)

    await look(60)
    watch.health = Health(upstreams={"jobs": False})
    await look(60)
    down = ["GatewayStoreUnavailable", "UpstreamDown"]
    assert told_before == [[], down]
    watch.health = Health(upstreams={"jobs": True})
    for _ in range(3):
        await look(600)
    said = [(each.content["event"], each.content["rule"]) for each in watch.teller.now]
    assert said == [(FIRED, down[0]), (FIRED, down[1]), (RESOLVED, down[1])]


async def test_what_was_found_of_keys_while_the_store_was_down_is_told_when_it_is_back() -> None:
    watch = await failing()
    await watch.use(requests=100, denied=60)
    watch.kept.error = StoreUnavailable("locked")
    with pytest.raises(StoreUnavailable):
        await watch.look()
    assert [each.content["rule"] for each in watch.teller.now] == ["GatewayStoreUnavailable"]
    watch.kept.error = None
    await watch.look()
    assert await watch.told() == [(FIRED, ERRORS)]


async def test_a_store_that_cannot_be_read_at_the_start_is_told_as_well() -> None:
    watch = await watching()
    await watch.kept.commit([an_alert("alr_before", subject="upstream")])

    async def broken(limit: int) -> Any:
        raise StoreUnavailable("no such disk")

    working, watch.kept.open_alerts = watch.kept.open_alerts, broken
    with pytest.raises(StoreUnavailable):
        await watch.look()
    assert await watch.told() == [(FIRED, "GatewayStoreUnavailable")]
    watch.kept.open_alerts = working
    await watch.look()
    assert {each for each, _, _ in await watch.alerts("firing")} == {
        ERRORS,
        "GatewayStoreUnavailable",
    }


async def test_usage_that_cannot_be_read_ends_no_alert() -> None:
    watch = await watching(settings=some_settings(QUICK))
    await watch.use(requests=100, denied=60)
    await watch.look()

    async def broken(query: Any) -> Any:
        raise StoreUnavailable("busy")

    watch.usage.cells = broken
    with pytest.raises(StoreUnavailable):
        await watch.look(900)
    assert (ERRORS, "key_a", "denied") in await watch.alerts("firing")


async def test_alerts_that_somebody_else_changed_are_read_again() -> None:
    watch = await failing()
    await watch.use(requests=100, denied=60)
    watch.kept.error = Conflict("open twice")
    await watch.look()
    assert await watch.told() == []
    watch.kept.error = None
    await watch.kept.commit([an_alert("alr_theirs")])
    await watch.look()
    assert [each for _, _, each in await watch.alerts("firing")] == ["denied"]
    assert (await watch.kept.open_alerts(10))[0].alert_id == "alr_theirs"


async def test_alerts_of_rules_that_this_version_does_not_know_are_passed_over() -> None:
    watch = await watching()
    await watch.kept.commit([an_alert("alr_1", rule="ApiKeyFromTheFuture")])
    await watch.look()
    assert await watch.alerts("firing") == [("ApiKeyFromTheFuture", "key_a", "denied")]


async def test_a_look_says_when_it_was() -> None:
    watch = await watching()
    await watch.look()
    assert watch.evaluator.looked_at == NOW + 60


async def test_a_notice_holds_the_alert_as_it_was_when_it_fired() -> None:
    watch = await watching()
    await watch.use(requests=100, denied=60)
    await watch.look()
    alert = await watch.kept.alert("alr_1")
    [content] = (await watch.kept.waiting("ops", 10)).notices
    assert content == told(alert, AlertEvent.FIRED)
