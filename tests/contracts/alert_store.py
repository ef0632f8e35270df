"""What every `AlertStore` and `Outbox` promises. An adapter's test gives `kept` and `trail`, empty at the start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.domain.alert_messages import MESSAGE_DEAD, Message, Notice, told
from gateway.domain.alerts import Alert, AlertEvent, AlertQuery, AlertState, Severity
from gateway.domain.change import Actor, Change, ChangeType
from gateway.ports import AuditTrail, Conflict, KeptAlerts
from tests.alert_samples import NOW, an_alert


def a_change(**values: Any) -> Change:
    given: dict[str, Any] = {
        "type": ChangeType.ALERT_FIRED,
        "actor": Actor(kind="admin", name="ann"),
        "tenant_id": "ten_a",
        "subject_id": "alr_1",
        "reason": "on it",
        "at": NOW,
    }
    return Change(**(given | values))


def a_notice(channel: str = "ops", number: int = 1, **values: Any) -> Notice:
    alert = an_alert(f"alr_{number}", **values)
    return Notice(channel=channel, content=told(alert, AlertEvent.FIRED))


def a_message(message_id: str = "msg_1", **values: Any) -> Message:
    given: dict[str, Any] = {
        "channel": "ops",
        "content": {"alerts": [], "more": []},
        "created_at": NOW,
        "due_at": NOW,
    }
    return Message(message_id=message_id, **(given | values))


async def ids(kept: KeptAlerts, query: AlertQuery | None = None, **page: Any) -> list[str]:
    found = await kept.alerts(query or AlertQuery(), **page)
    return [alert.alert_id for alert in found.alerts]


ONE = an_alert("alr_1")
OTHER = an_alert("alr_2", subject="upstream", tenant_id="ten_b", key_id="key_b")


class AlertStoreContract:
    """The suite for alerts."""

    async def test_an_alert_comes_back_as_it_was_stored(self, kept: KeptAlerts) -> None:
        whole = an_alert(
            severity=Severity.CRITICAL,
            details={"network": "192.0.2.0/24", "n": 1.5, "grüße": [None, True]},
            fired_at=NOW + 1,
            absent_since=NOW + 2,
            occurrences=3,
        )
        await kept.commit([whole])
        assert await kept.alert("alr_1") == whole
        assert await kept.alert("alr_2") is None
        assert await kept.open_alerts(10) == [whole]

    async def test_a_later_write_replaces_an_alert(self, kept: KeptAlerts) -> None:
        await kept.commit([an_alert(fired_at=None)])
        later = an_alert(last_seen_at=NOW + 60, summary="worse", severity=Severity.INFO)
        await kept.commit([later])
        assert await kept.alert("alr_1") == later
        assert await ids(kept) == ["alr_1"]

    async def test_open_alerts_are_those_that_are_not_resolved(self, kept: KeptAlerts) -> None:
        pending = an_alert("alr_0", fired_at=None, subject="x")
        await kept.commit([pending, ONE, an_alert("alr_3", subject="y", resolved_at=NOW), OTHER])
        assert await kept.open_alerts(10) == [pending, ONE, OTHER]
        assert await kept.open_alerts(2) == [pending, ONE]

    async def test_what_is_open_is_open_once(self, kept: KeptAlerts) -> None:
        await kept.commit([ONE], [a_notice()], [a_change()])
        with pytest.raises(Conflict):
            await kept.commit([OTHER, an_alert("alr_9")], [a_notice()], [a_change()])
        assert await ids(kept) == ["alr_1"]
        assert (await kept.waiting("ops", 10)).total == 1

    async def test_one_may_begin_when_the_one_before_is_over(self, kept: KeptAlerts) -> None:
        await kept.commit([ONE])
        await kept.commit([an_alert("alr_9"), an_alert("alr_1", resolved_at=NOW + 1)])
        assert await ids(kept) == ["alr_9", "alr_1"]

    async def test_what_is_forgotten_leaves_and_makes_room(self, kept: KeptAlerts) -> None:
        await kept.commit([an_alert(fired_at=None)])
        await kept.commit([an_alert("alr_9", fired_at=None)], forgotten=["alr_1", "alr_none"])
        assert await ids(kept, AlertQuery(state="pending")) == ["alr_9"]

    async def test_all_is_stored_together_with_the_audit_trail(
        self, kept: KeptAlerts, trail: AuditTrail
    ) -> None:
        await kept.commit([ONE], [a_notice()], [a_change(), a_change(subject_id="alr_2")])
        records = await trail.audit_records()
        assert [(each.type, each.seq) for each in records] == [
            ("alert.fired", 1),
            ("alert.fired", 2),
        ]
        assert records[0].content()["subject_id"] == "alr_1"

    # ---- lists

    async def test_alerts_are_listed_the_newest_first_in_pages(self, kept: KeptAlerts) -> None:
        await kept.commit([an_alert(f"alr_{n}", subject=str(n)) for n in range(5)])
        first = await kept.alerts(limit=2)
        assert [each.alert_id for each in first.alerts] == ["alr_4", "alr_3"]
        second = await kept.alerts(before=first.cursor, limit=2)
        assert [each.alert_id for each in second.alerts] == ["alr_2", "alr_1"]
        last = await kept.alerts(before=second.cursor, limit=2)
        assert ([each.alert_id for each in last.alerts], last.cursor) == (["alr_0"], 0)
        assert (await kept.alerts(limit=5)).cursor == 0

    async def test_alerts_are_found_by_their_state(self, kept: KeptAlerts) -> None:
        states: dict[str, Alert] = {
            "pending": an_alert("alr_p", subject="p", fired_at=None),
            "firing": an_alert("alr_f", subject="f"),
            "acknowledged": an_alert("alr_a", subject="a", acknowledged_at=NOW),
            "resolved": an_alert("alr_r", subject="r", resolved_at=NOW),
        }
        await kept.commit([each for each in states.values() if each.acknowledged_at is None])
        await kept.commit([an_alert("alr_a", subject="a")])
        await kept.acknowledge("alr_a", NOW, a_change())
        for state, alert in states.items():
            assert await ids(kept, AlertQuery(state=state)) == [alert.alert_id]
        assert sorted(await ids(kept)) == ["alr_a", "alr_f", "alr_r"]

    async def test_alerts_are_found_by_what_they_are_about(self, kept: KeptAlerts) -> None:
        gateways = an_alert("alr_3", rule="UpstreamDown", tenant_id="", key_id="", subject="jobs")
        await kept.commit([ONE, OTHER, gateways])
        assert await ids(kept, AlertQuery(rule="UpstreamDown")) == ["alr_3"]
        assert await ids(kept, AlertQuery(tenant_id="ten_a")) == ["alr_1"]
        assert await ids(kept, AlertQuery(key_id="key_b")) == ["alr_2"]
        assert await ids(kept, AlertQuery(tenant_ids=("ten_b", "ten_c"))) == ["alr_2"]
        assert await ids(kept, AlertQuery(tenant_ids=())) == []
        assert await ids(kept, AlertQuery(tenant_id="ten_a", key_id="key_b")) == []

    async def test_what_has_fired_is_remembered_after_its_end(self, kept: KeptAlerts) -> None:
        pending = an_alert("alr_0", fired_at=None, subject="x")
        await kept.commit([an_alert("alr_1", resolved_at=NOW), OTHER, pending])
        asked = [ONE.identity, OTHER.identity, pending.identity, ("a", "b", "c", "d")]
        assert await kept.told(asked) == {ONE.identity, OTHER.identity}
        assert await kept.told([]) == set()

    # ---- acknowledging

    async def test_an_acknowledgement_says_who_and_why_and_stays(
        self, kept: KeptAlerts, trail: AuditTrail
    ) -> None:
        await kept.commit([ONE])
        change = a_change(type=ChangeType.ALERT_ACKNOWLEDGED)
        found = await kept.acknowledge("alr_1", NOW + 5, change)
        assert found is not None
        assert (found.state, found.acknowledged_at) == (AlertState.ACKNOWLEDGED, NOW + 5)
        assert (found.acknowledged_by, found.acknowledged_reason) == ("ann", "on it")
        await kept.commit([an_alert(last_seen_at=NOW + 60)])
        again = await kept.alert("alr_1")
        assert again is not None
        assert (again.acknowledged_by, again.last_seen_at) == ("ann", NOW + 60)
        assert [each.type for each in await trail.audit_records()] == ["alert.acknowledged"]

    async def test_only_what_fires_is_acknowledged(
        self, kept: KeptAlerts, trail: AuditTrail
    ) -> None:
        await kept.commit([an_alert("alr_1", fired_at=None), an_alert("alr_2", resolved_at=NOW)])
        for alert_id in ("alr_1", "alr_2", "alr_3"):
            assert await kept.acknowledge(alert_id, NOW, a_change()) is None
        assert await trail.audit_records() == []

    async def test_resolved_alerts_leave_when_they_are_old(self, kept: KeptAlerts) -> None:
        await kept.commit([an_alert(f"alr_{n}", resolved_at=NOW + n) for n in range(3)])
        await kept.commit([an_alert("alr_open")])
        assert await kept.prune_alerts(NOW + 2) == 2
        assert await ids(kept) == ["alr_open", "alr_2"]

    # ---- what is yet to be told

    async def test_notices_wait_per_channel_and_are_counted(self, kept: KeptAlerts) -> None:
        await kept.commit(
            [],
            [
                *(a_notice(number=n) for n in range(3)),
                a_notice(rule="UpstreamDown"),
                a_notice("mail"),
            ],
        )
        waiting = await kept.waiting("ops", 2)
        assert [each["alert_id"] for each in waiting.notices] == ["alr_0", "alr_1"]
        assert waiting.counts == {("fired", "ApiKeyHighErrorRate"): 3, ("fired", "UpstreamDown"): 1}
        assert waiting.total == 4
        assert (await kept.waiting("mail", 10)).total == 1
        nothing = await kept.waiting("chat", 10)
        assert (nothing.notices, nothing.total) == ([], 0)

    async def test_a_message_takes_the_place_of_its_notices_and_of_no_others(
        self, kept: KeptAlerts
    ) -> None:
        await kept.commit([], [a_notice(), a_notice("mail")])
        waiting = await kept.waiting("ops", 10)
        await kept.commit([], [a_notice(number=7)])
        await kept.pack(a_message(), waiting.through)
        left = await kept.waiting("ops", 10)
        assert [each["alert_id"] for each in left.notices] == ["alr_7"]
        assert (await kept.waiting("mail", 10)).total == 1
        assert await kept.messages() == [a_message()]
        # What comes later is never taken for what was there before.
        await kept.pack(a_message("msg_2"), left.through)
        await kept.commit([], [a_notice(number=8)])
        await kept.pack(a_message("msg_3"), left.through)
        assert (await kept.waiting("ops", 10)).total == 1

    async def test_messages_are_found_by_channel_state_and_page(self, kept: KeptAlerts) -> None:
        dead = a_message("msg_3", state=MESSAGE_DEAD, error="the receiver answered 500")
        for message in (a_message("msg_2"), a_message("msg_1", channel="mail"), dead):
            await kept.pack(message, 0)
        assert [each.message_id for each in await kept.messages()] == ["msg_1", "msg_2", "msg_3"]
        assert [each.message_id for each in await kept.messages(after="msg_1", limit=1)] == [
            "msg_2"
        ]
        assert await kept.messages(state=MESSAGE_DEAD) == [dead]
        assert [each.message_id for each in await kept.messages(channel="mail")] == ["msg_1"]
        assert await kept.message("msg_3") == dead
        assert await kept.message("msg_9") is None
        assert await kept.message_counts() == {
            ("ops", "waiting"): 1,
            ("ops", "dead"): 1,
            ("mail", "waiting"): 1,
        }

    async def test_the_message_that_waits_for_the_longest_is_due_first(
        self, kept: KeptAlerts
    ) -> None:
        for number, seconds in ((1, 5), (2, 3), (3, 9)):
            await kept.pack(a_message(f"msg_{number}", due_at=NOW + seconds), 0)
        await kept.pack(a_message("msg_4", state=MESSAGE_DEAD), 0)
        assert await kept.due("ops", NOW) is None
        assert await kept.due("mail", NOW + 100) is None
        due = await kept.due("ops", NOW + 5)
        assert due is not None
        assert due.message_id == "msg_2"

    async def test_what_became_of_a_message_is_kept(self, kept: KeptAlerts) -> None:
        await kept.pack(a_message(), 0)
        tried = a_message(attempts=1, due_at=NOW + 5, error="no answer within 10 s")
        await kept.keep(tried)
        assert await kept.messages() == [tried]
        await kept.remove("msg_1")
        await kept.remove("msg_1")
        assert await kept.messages() == []

    async def test_writes_at_once_lose_nothing(self, kept: KeptAlerts) -> None:
        await asyncio.gather(
            *(
                kept.commit([an_alert(f"alr_{n}", subject=str(n))], [a_notice(number=n)])
                for n in range(20)
            )
        )
        assert len(await ids(kept)) == 20
        assert (await kept.waiting("ops", 100)).total == 20
