"""Messages are sent once, tried again, given up, bounded, and delay nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.deliverer import (
    IDLE_SECONDS,
    SHARED_SECONDS,
    URGENT_MAX,
    WAITING_MAX,
    Deliverer,
)
from gateway.domain.alert_messages import ALERTS_MAX, MESSAGE_DEAD
from gateway.domain.alert_routing import ChannelTerms
from gateway.ports import StoreUnavailable
from gateway.stores.memory_alerts import MemoryAlerts
from tests.alert_samples import NOW, some_settings
from tests.clock import FakeClock
from tests.contracts.alert_store import a_message, a_notice
from tests.wire import until


class Spoken:
    """A channel that says what was sent, or fails as it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent.append((message_id, content))

    @property
    def told(self) -> list[list[str]]:
        """The ids of the alerts of each message."""
        return [[each["alert_id"] for each in content["alerts"]] for _, content in self.sent]


class Office:
    """A deliverer over an outbox in memory."""

    def __init__(self, **terms: ChannelTerms) -> None:
        self.clock = FakeClock(NOW)
        self.outbox: Any = MemoryAlerts()
        self.channels = {name: Spoken() for name in terms or ("ops",)}
        self.settings = some_settings(channels=dict(terms) or {"ops": ChannelTerms()})
        self.counted: list[tuple[str, str]] = []
        self.ids = count(1)
        self.leads = True
        self.idle_seconds = IDLE_SECONDS
        self.start()

    def start(self) -> None:
        self.deliverer = Deliverer(
            settings=lambda: self.settings,
            channels=lambda: self.channels,
            outbox=self.outbox,
            clock=self.clock,
            new_id=lambda: f"msg_{next(self.ids)}",
            count=lambda channel, outcome: self.counted.append((channel, outcome)),
            random=lambda: 0.5,
            leads=lambda: self.leads,
            idle_seconds=self.idle_seconds,
        )

    @property
    def ops(self) -> Spoken:
        return self.channels["ops"]

    async def add(self, *numbers: int, channel: str = "ops") -> None:
        """Put notices into the outbox, as the evaluator does."""
        await self.outbox.commit([], [a_notice(channel, number) for number in numbers])
        self.deliverer.wake([channel])

    async def look(self, after: float = 0.0) -> None:
        """Let time pass; give each channel its turn, and wait for it."""
        self.clock.advance(after)
        async with asyncio.TaskGroup() as tasks:
            await self.deliverer.look(tasks)

    async def run(self, seconds: int) -> None:
        """Let the channels have their turns for so long, once a second."""
        for _ in range(seconds):
            await self.look(1.0)


async def test_what_waits_is_sent_and_forgotten() -> None:
    office = Office()
    await office.add(1)
    await office.look()
    assert office.ops.told == [["alr_1"]]
    assert office.counted == [("ops", "delivered")]
    assert await office.outbox.messages() == []
    await office.run(200)
    assert len(office.ops.sent) == 1


async def test_what_comes_within_a_minute_is_told_together() -> None:
    office = Office()
    await office.add(1)
    await office.look()
    for number in range(2, 32):
        await office.add(number)
        await office.look(1.0)
    assert office.ops.told == [["alr_1"]]
    await office.run(30)
    assert office.ops.told == [["alr_1"], [f"alr_{n}" for n in range(2, 32)]]


async def test_a_thousand_notices_are_one_message() -> None:
    office = Office()
    await office.add(*range(1000))
    await office.run(120)
    [(_, content)] = office.ops.sent
    assert len(content["alerts"]) == ALERTS_MAX
    assert content["more"] == [
        {"event": "fired", "rule": "ApiKeyHighErrorRate", "count": 1000 - ALERTS_MAX}
    ]
    assert (await office.outbox.waiting("ops", 1)).total == 0


async def test_every_channel_keeps_its_own_pace() -> None:
    office = Office(ops=ChannelTerms(), mail=ChannelTerms(every_seconds=300.0))
    for number in range(10):
        await office.add(number)
        await office.add(number, channel="mail")
        await office.run(30)
    assert (len(office.ops.sent), len(office.channels["mail"].sent)) == (5, 1)


# ---- again, and given up


async def test_what_is_not_taken_is_tried_again_with_growing_pauses() -> None:
    office = Office()
    office.ops.error = Undelivered("the receiver answered 503")
    await office.add(1)
    await office.look()
    started, tried = office.clock.now(), []
    for _ in range(1000):
        before = len(office.counted)
        await office.look(1.0)
        if len(office.counted) > before:
            tried.append(office.clock.now() - started)
    assert tried == [5, 20, 65, 200, 605]  # 5, 15, 45, 135, 405 later
    assert set(office.counted) == {("ops", "retried")}
    [message] = await office.outbox.messages()
    assert (message.attempts, message.error) == (6, "the receiver answered 503")
    office.ops.error = None
    await office.run(2000)
    assert office.ops.told == [["alr_1"]]
    assert office.ops.sent[0][0] == message.message_id


async def test_pauses_differ_so_that_not_everything_comes_back_at_once() -> None:
    pauses = []
    for random in (0.0, 0.5, 1.0):
        office = Office()
        office.deliverer._random = lambda random=random: random  # type: ignore[misc]
        office.ops.error = Undelivered("no")
        await office.add(1)
        await office.look()
        [message] = await office.outbox.messages()
        pauses.append(message.due_at - NOW)
    assert pauses == [4.0, 5.0, 6.0]


async def test_a_receiver_that_asks_for_a_pause_gets_it() -> None:
    office = Office()
    office.ops.error = Undelivered("busy", retry_after_seconds=120.0)
    await office.add(1)
    await office.look()
    office.ops.error = None
    await office.run(119)
    assert office.ops.sent == []
    await office.run(2)
    assert len(office.ops.sent) == 1


async def test_after_the_last_attempt_a_message_is_a_dead_letter() -> None:
    office = Office(ops=ChannelTerms(attempts_max=3))
    office.ops.error = Undelivered("no")
    await office.add(1)
    await office.run(60)
    [message] = await office.outbox.messages()
    assert (message.state, message.attempts) == (MESSAGE_DEAD, 3)
    assert [outcome for _, outcome in office.counted] == ["retried", "retried", "dead"]
    office.ops.error = None
    await office.run(300)
    assert office.ops.sent == []


async def test_what_nobody_will_ever_take_is_given_up_at_once() -> None:
    office = Office()
    office.ops.error = Undelivered("the receiver answered 410", is_final=True)
    await office.add(1)
    await office.look()
    assert (await office.outbox.messages())[0].state == MESSAGE_DEAD


async def test_one_message_that_is_not_taken_does_not_keep_back_the_next() -> None:
    office = Office()
    office.ops.error = Undelivered("no")
    await office.add(1)
    await office.look()
    office.ops.error = None
    await office.outbox.keep(a_message("msg_far", due_at=NOW + 3600))
    await office.add(2)
    await office.run(61)
    assert ["alr_2"] in office.ops.told


async def test_a_dead_channel_makes_no_more_than_so_many_messages() -> None:
    office = Office()
    office.ops.error = Undelivered("no")
    for number in range(WAITING_MAX + 10):
        await office.add(number)
        await office.run(61)
    waiting = await office.outbox.messages(limit=1000)
    assert len(waiting) == WAITING_MAX
    assert (await office.outbox.waiting("ops", 1)).total == 10
    office.ops.error = None
    await office.run(4000)
    assert sum(map(len, office.ops.told)) == WAITING_MAX + 10


# ---- restarts


async def test_after_a_restart_what_was_not_taken_is_sent() -> None:
    office = Office()
    office.ops.error = Undelivered("no")
    await office.add(1)
    await office.look()
    await office.add(2)
    office.ops.error = None
    office.start()
    await office.run(70)
    assert office.ops.told == [["alr_2"], ["alr_1"]] or office.ops.told == [["alr_1"], ["alr_2"]]


async def test_what_somebody_else_put_into_the_outbox_is_found_within_a_minute() -> None:
    office = Office()
    await office.look()
    await office.outbox.commit([], [a_notice()])
    await office.run(60)
    assert len(office.ops.sent) == 1


async def test_of_several_that_share_the_outbox_only_one_tells_what_is_in_it() -> None:
    office = Office()
    office.leads, office.idle_seconds = False, SHARED_SECONDS
    office.start()
    await office.add(1)
    await office.run(100)
    assert office.ops.sent == []
    office.deliverer.tell_now([a_notice(number=2)])  # of this no store knows, and so nobody else
    await office.look()
    assert office.ops.told == [["alr_2"]]
    office.leads = True
    await office.run(6)
    assert office.ops.told == [["alr_2"], ["alr_1"]]


# ---- nobody is delayed


async def test_a_slow_channel_delays_neither_the_others_nor_whoever_looks() -> None:
    office = Office(ops=ChannelTerms(), mail=ChannelTerms())
    office.ops.gate = asyncio.Event()
    await office.add(1)
    await office.add(1, channel="mail")
    async with asyncio.TaskGroup() as tasks:
        async with asyncio.timeout(5):
            await office.deliverer.look(tasks)
        await until(lambda: bool(office.channels["mail"].sent))
        office.clock.advance(600)
        await office.deliverer.look(tasks)  # it is still at it: no second task
        assert office.ops.sent == []
        office.ops.gate.set()
    assert (len(office.ops.sent), len(office.channels["mail"].sent)) == (1, 1)


async def test_closing_ends_what_is_under_way_and_the_message_stays() -> None:
    office = Office()
    office.ops.gate = asyncio.Event()
    await office.add(1)
    async with asyncio.TaskGroup() as tasks:
        await office.deliverer.look(tasks)
        await asyncio.sleep(0)
        await office.deliverer.close()
    assert len(await office.outbox.messages()) == 1
    await office.deliverer.close()


async def test_a_broken_channel_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office(ops=ChannelTerms(), mail=ChannelTerms())
    office.ops.error = RuntimeError("bug")
    await office.add(1)
    await office.add(1, channel="mail")
    await office.look()
    assert len(office.channels["mail"].sent) == 1
    assert "channel ops failed" in caplog.text


async def test_a_channel_that_left_the_configuration_is_not_served() -> None:
    office = Office()
    await office.add(1, channel="gone")
    await office.look()
    assert (await office.outbox.waiting("gone", 1)).total == 1
    assert set(office.deliverer._turns) == {"ops"}


# ---- without a store


async def test_what_no_store_holds_is_told_at_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    office = Office()

    async def down(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("disk full")

    working, office.outbox.due = office.outbox.due, down
    office.ops.error = Undelivered("no")
    office.deliverer.tell_now([a_notice(number=7)])
    await office.look()
    assert office.counted == [("ops", "retried")]
    assert "not delivered, and no store to keep it" in caplog.text
    assert "what it has to tell cannot be read: disk full" in caplog.text
    office.ops.error = None
    await office.look(5)
    assert office.ops.told == [["alr_7"]]
    office.outbox.due = working
    await office.run(100)
    assert len(office.ops.sent) == 1


async def test_what_no_store_holds_is_bounded() -> None:
    office = Office()
    office.deliverer.tell_now([a_notice(number=n) for n in range(URGENT_MAX + 5)])
    await office.look()
    [(_, content)] = office.ops.sent
    total = len(content["alerts"]) + content["more"][0]["count"]
    assert total == URGENT_MAX


async def test_one_message_beside_all_others() -> None:
    office = Office()
    await office.deliverer.send("ops", {"alerts": [], "more": []})
    assert len(office.ops.sent) == 1
    with pytest.raises(KeyError):
        await office.deliverer.send("gone", {})
