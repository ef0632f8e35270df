"""What operators do with alerts."""

from __future__ import annotations

import asyncio

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.desk import Tried
from gateway.domain.alert_messages import MESSAGE_DEAD, MESSAGE_WAITING
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alerts import AlertState
from tests.alert_samples import NOW, an_alert
from tests.alerts.desk_samples import Room
from tests.contracts.alert_store import a_message
from tests.key_samples import a_tenant, an_order


async def test_an_acknowledgement_says_who_and_why_and_is_audited() -> None:
    room = Room()
    await room.kept.commit([an_alert()])
    alert = await room.desk.acknowledge(an_alert(), an_order("on it"))
    assert alert is not None
    assert (alert.state, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, "tester")
    [record] = await room.kept.audit.audit_records()
    content = record.content()
    assert (record.type, content["reason"], content["subject_id"]) == (
        "alert.acknowledged",
        "on it",
        "alr_1",
    )


async def test_a_dry_run_acknowledges_nothing() -> None:
    room = Room()
    await room.kept.commit([an_alert()])
    alert = await room.desk.acknowledge(an_alert(), an_order("x", is_dry_run=True))
    assert alert is not None
    assert alert.state is AlertState.ACKNOWLEDGED
    stored = await room.desk.get("alr_1")
    assert stored is not None
    assert stored.state is AlertState.FIRING
    over = an_alert(resolved_at=NOW)
    assert await room.desk.acknowledge(over, an_order(is_dry_run=True)) is None
    assert await room.desk.acknowledge(an_alert("alr_9"), an_order()) is None


def test_rules_are_told_as_the_gateway_or_a_tenant_has_them() -> None:
    room = Room()
    assert [each.name for each in room.desk.rules()] == [*RuleName]
    tenant = a_tenant(alerts={"rules": {"ApiKeyUnusualVolume": {"factor": 9}}})
    of_tenant = {each.name: each for each in room.desk.rules(tenant)}
    assert of_tenant[RuleName.UNUSUAL_VOLUME]["factor"] == 9
    assert all(RULES[name].is_of_tenant for name in of_tenant)
    broken = {each.name: each for each in room.desk.rules(a_tenant(alerts={"rules": 1}))}
    assert broken[RuleName.UNUSUAL_VOLUME]["factor"] == 3


def test_a_test_goes_to_the_channel_or_to_those_of_a_rule() -> None:
    room = Room(UpstreamDown={"channels": ["mail", "gone"]}, ApiKeyClientSideUse={"channels": []})
    assert room.desk.channels_of(channel="mail") == ["mail"]
    assert room.desk.channels_of(channel="gone") == []
    assert room.desk.channels_of(rule="UpstreamDown") == ["mail"]
    assert room.desk.channels_of(rule="ApiKeyHighErrorRate") == ["ops"]
    assert room.desk.channels_of(rule="ApiKeyClientSideUse") == []


async def test_a_test_is_marked_as_one_and_says_what_came_of_it() -> None:
    room = Room()
    room.postmen.errors = {"mail": Undelivered("the server refused the login (535)")}
    assert await room.desk.test(["ops", "mail"]) == [
        Tried("ops"),
        Tried("mail", "the server refused the login (535)"),
    ]
    [(name, content)] = room.postmen.sent
    [alert] = content["alerts"]
    assert (name, alert["event"], alert["rule"]) == ("ops", "test", "Test")
    assert alert["summary"] == "This is a test: whoever reads it is told of alerts."
    assert "runbook_url" not in alert


async def test_a_test_of_a_rule_looks_like_it() -> None:
    room = Room()
    await room.desk.test(["ops"], "UpstreamDown")
    [alert] = room.postmen.sent[0][1]["alerts"]
    assert (alert["rule"], alert["severity"]) == ("UpstreamDown", "critical")
    assert alert["runbook_url"] == "https://w/r/UpstreamDown.md"
    assert alert["summary"].startswith("This is a test: An upstream has no target")


async def test_a_test_that_takes_too_long_is_told() -> None:
    room = Room()
    room.postmen.errors = {"ops": TimeoutError()}
    assert await room.desk.test(["ops"]) == [Tried("ops", "no answer within 25 s")]
    assert await asyncio.wait_for(room.desk.test([]), 1) == []


async def test_a_dead_letter_is_sent_again_with_all_its_attempts() -> None:
    room = Room()
    dead = a_message(state=MESSAGE_DEAD, attempts=10, error="no")
    await room.kept.pack(dead, 0)
    assert await room.desk.messages(state="dead", channel="", after="", limit=5) == [dead]
    tried = await room.desk.retry(dead, an_order(is_dry_run=True))
    assert (tried.state, room.postmen.woken) == (MESSAGE_WAITING, [])
    assert await room.desk.message("msg_1") == dead
    again = await room.desk.retry(dead, an_order())
    assert (again.state, again.attempts, again.due_at) == (MESSAGE_WAITING, 0, NOW)
    assert await room.desk.message("msg_1") == again
    assert room.postmen.woken == ["ops"]
