"""All keys are looked at, in parts: reminders and overdue rotations. IV-16, X-16, HP-10, IV-18."""

from __future__ import annotations

from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from tests.alert_samples import DAY, NOW, some_settings
from tests.alerts.watching import Watching
from tests.key_samples import a_key

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
    counts = []
    for _ in range(3):
        await watch.look()
        counts.append(len(await watch.alerts("firing")))
    assert counts == [450, 449, 449]  # when its turn has come


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
