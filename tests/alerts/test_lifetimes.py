"""Reminders and overdue rotations: told when their time has come, however many keys there are. IV-16, X-16, HP-10,
IV-18.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleBook
from gateway.domain.alerts import Identity, Patience
from gateway.domain.keys import KeyRecord
from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from gateway.domain.queries import ANY_KEY, KeyQuery
from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore
from tests.alert_samples import DAY, NOW, some_settings
from tests.alerts.watching import Watching
from tests.key_samples import a_key

HOUR = 3_600.0
ENDS, OVERDUE = "ApiKeyExpiringSoon", "ApiKeyRotationOverdue"
POLICIES = PolicyRules(
    reminders=(30 * DAY, 7 * DAY, DAY),
    rotation=(
        RotationRule(match=KeyMatch(scopes=("*:write",)), every_seconds=90 * DAY),
        RotationRule(every_seconds=180 * DAY),
    ),
)


async def watching(keys_per_round: int = 5_000) -> Watching:
    watch = Watching(settings=some_settings(policies=POLICIES), keys_per_round=keys_per_round)
    await watch.add_tenant()
    return watch


async def test_iv_16_x_16_each_lead_time_is_told_once_over_restarts() -> None:
    watch = await watching()
    await watch.add_key("key_a", expires_at=NOW + 31 * DAY)
    told = [0]
    while len(told) <= 32:
        watch.start()
        for _ in range(3):
            await watch.look(DAY / 3)
        told.append(len(await watch.told()))
    days = [day for day in range(1, len(told)) if told[day] > told[day - 1]]
    assert days == [1, 24, 30]  # 30, 7 and 1 day before
    assert told[-1] == 3
    assert await watch.alerts("firing") == []  # it has ended


async def test_x_16_a_gateway_that_was_down_sends_one_reminder_and_not_all() -> None:
    watch = await watching()
    await watch.add_key("key_a", expires_at=NOW + 31 * DAY)
    await watch.look()
    await watch.look(30.5 * DAY)
    assert await watch.told() == [("fired", ENDS)]
    alert = await watch.kept.alert("alr_1")
    assert alert.subject.startswith("86400s before")


async def test_iv_16_an_extended_key_is_reminded_of_its_new_end() -> None:
    watch = await watching()
    await watch.add_key("key_a", expires_at=NOW + 6 * DAY)
    await watch.look()
    key = await watch.store.get_key("key_a")
    await watch.add_key("key_a", created_at=key.created_at, expires_at=NOW + 60 * DAY)
    await watch.look()
    assert await watch.alerts("firing") == []
    await watch.look(31 * DAY)
    assert await watch.told() == [("fired", ENDS), ("fired", ENDS)]


async def test_hp_10_iv_18_an_overdue_key_is_told_until_it_is_rotated() -> None:
    watch = await watching()
    await watch.add_key("key_w", created_at=NOW - 89 * DAY, scopes=("jobs:write",))
    await watch.add_key("key_r", created_at=NOW - 89 * DAY, scopes=("jobs:read",))
    await watch.look()
    assert await watch.alerts() == []
    await watch.look(DAY)
    assert await watch.alerts("firing") == [(OVERDUE, "key_w", "")]
    await watch.look(91 * DAY)
    assert (OVERDUE, "key_r", "") in await watch.alerts("firing")
    await watch.store.save_key(a_key("key_w", state="revoked", created_at=NOW - 89 * DAY))
    await watch.look()
    assert await watch.alerts("firing") == [(OVERDUE, "key_r", "")]


async def test_a_large_store_is_looked_through_in_parts_and_nothing_seems_to_be_over() -> None:
    watch = await watching(keys_per_round=200)
    for number in range(450):
        await watch.add_key(f"key_{number:03d}", created_at=NOW - 200 * DAY)
    counts = []
    for _ in range(6):
        await watch.look()
        counts.append(len(await watch.alerts("firing")))
    assert counts == [200, 400, 450, 450, 450, 450]
    assert len(await watch.alerts()) == 450
    await watch.store.save_key(a_key("key_300", state="revoked"))
    await watch.look()
    assert len(await watch.alerts("firing")) == 449


class CountedStore(MemoryStore):
    """Counts the keys that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        found = await super().list_keys(query, after=after, limit=limit)
        self.read += len(found)
        return found


async def among_many(keys_per_round: int = 20) -> Watching:
    """Return a watch over 400 keys, more than it looks through in an hour, long after its start."""
    watch = Watching(
        settings=some_settings(policies=POLICIES),
        store=CountedStore(),
        keys_per_round=keys_per_round,
    )
    await watch.add_tenant()
    for number in range(400):
        await watch.add_key(f"key_{number:03}", expires_at=NOW + 50 * DAY + number)
    for _ in range(3):
        await watch.look()
    watch.store.read = 0
    return watch


async def test_iv_16_a_key_among_many_is_told_of_in_the_minute_of_its_lead_time() -> None:
    watch = await among_many()
    await watch.add_key("key_z", expires_at=watch.clock.now() + 7 * DAY + 90)
    await watch.look()
    [(_, key_id, subject)] = await watch.alerts("firing")
    assert (key_id, subject.split()[0]) == ("key_z", "2592000s")
    await watch.look()
    [(_, key_id, subject)] = await watch.alerts("firing")
    assert (key_id, subject.split()[0]) == ("key_z", "604800s")
    assert watch.store.read < 50  # two parts of the round through all, and no more


async def test_hp_10_a_key_among_many_is_overdue_in_the_minute_when_it_is() -> None:
    watch = await among_many()
    created = watch.clock.now() - 180 * DAY + 90
    await watch.add_key("key_z", created_at=created, scopes=("jobs:read",))
    await watch.look()
    assert await watch.alerts() == []
    await watch.look()
    assert await watch.alerts("firing") == [(OVERDUE, "key_z", "")]


async def test_a_changed_key_among_many_is_judged_by_the_next_look() -> None:
    watch = await among_many()
    await watch.add_key("key_390", expires_at=watch.clock.now() + 5 * DAY)
    await watch.look()
    assert [alert[1] for alert in await watch.alerts("firing")] == ["key_390"]
    await watch.store.save_key(a_key("key_390", state="revoked"))
    await watch.look()
    assert await watch.alerts("firing") == []


async def test_a_gateway_that_stood_still_for_less_than_a_day_is_not_late_by_a_round() -> None:
    watch = await among_many()
    await watch.add_key("key_z", expires_at=watch.clock.now() + 7 * DAY + 3 * HOUR)
    watch.start()
    await watch.look(5 * HOUR)
    assert [alert[1] for alert in await watch.alerts("firing")] == ["key_z"]


async def test_more_keys_than_a_look_sees_whose_time_has_come_are_seen_by_the_next() -> None:
    watch = await among_many()
    counts = []
    for after in (20 * DAY, 60.0, 60.0, 60.0):
        await watch.look(after)
        told = [alert for alert in await watch.alerts("firing") if alert[1] < "key_100"]
        counts.append(len(told))
    assert counts == [40, 80, 100, 100]  # by their time, and by the round through all


async def test_what_could_not_be_taken_is_found_again_by_the_next_look() -> None:
    watch = await among_many()
    await watch.add_key("key_z", expires_at=watch.clock.now() + 7 * DAY + 30)
    told = watch.kept.told
    watch.kept.told = _unavailable
    with pytest.raises(StoreUnavailable):
        await watch.look()
    assert [alert for alert in await watch.alerts() if alert[1]] == []
    watch.kept.told = told
    await watch.look()
    assert [alert[1] for alert in await watch.alerts("firing") if alert[1]] == ["key_z"]


async def _unavailable(identities: object) -> set[Identity]:
    raise StoreUnavailable("it is away")


async def test_an_alert_that_waits_before_it_fires_does_so_among_many_keys() -> None:
    watch = await among_many()
    rule = watch.settings.book[RuleName.EXPIRING]
    patient = replace(rule, patience=Patience(fire_after_seconds=300))
    book = RuleBook({name: watch.settings.book[name] for name in RuleName} | {rule.name: patient})
    watch.settings = replace(watch.settings, book=book)
    await watch.add_key("key_z", expires_at=watch.clock.now() + 7 * DAY + 30)
    for _ in range(5):
        await watch.look()
        assert await watch.alerts("firing") == []
    await watch.look()
    assert [alert[1] for alert in await watch.alerts("firing")] == ["key_z"]


async def test_a_thousand_keys_that_expire_on_one_day_are_told_together() -> None:
    watch = await watching()
    for number in range(1000):
        await watch.add_key(f"key_{number:04d}", expires_at=NOW + 6 * DAY)
    await watch.look()
    waiting = await watch.kept.waiting("ops", 50)
    assert waiting.counts == {("fired", ENDS): 1000}


async def test_without_policies_nothing_is_due_and_nothing_is_found() -> None:
    watch = Watching(settings=some_settings(policies=PolicyRules(reminders=())))
    await watch.add_tenant()
    await watch.add_key("key_a", created_at=0.0, expires_at=NOW + DAY)
    await watch.look()
    assert await watch.alerts() == []
