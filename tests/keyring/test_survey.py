from __future__ import annotations

from gateway.domain.keys import KeyState
from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from gateway.keyring.survey import NAMED_MAX, Survey
from tests.key_samples import a_key, a_tenant
from tests.keyring.house import DAY, House

HOUR = 3600.0


async def _house(policies: PolicyRules | None = None) -> House:
    house = House() if policies is None else House(policies=policies)
    await house.store.save_tenant(a_tenant())
    return house


def _survey(house: House, page: int = 300) -> Survey:
    return Survey(lambda: house.keyring, house.store, house.clock, page=page)


async def test_keys_are_counted_by_how_soon_they_expire_and_the_next_are_named() -> None:
    house = await _house()
    now = house.clock.now()
    for name, left in (("a", HOUR), ("b", 3 * DAY), ("c", 20 * DAY), ("d", 40 * DAY)):
        await house.store.save_key(a_key(f"key_{name}", expires_at=now + left))
    await house.store.save_key(a_key("key_never"))
    survey = _survey(house)
    assert not survey.is_complete
    await survey.look()
    assert survey.expiring == {"1d": 1, "7d": 2, "30d": 3}
    assert survey.expiries == {
        "key_a": now + HOUR,
        "key_b": now + 3 * DAY,
        "key_c": now + 20 * DAY,
    }
    assert survey.is_complete


async def test_keys_that_have_ended_are_not_among_them_and_suspended_ones_are() -> None:
    house = await _house()
    soon = house.clock.now() + HOUR
    await house.store.save_key(a_key("key_a", state=KeyState.REVOKED, expires_at=soon))
    await house.store.save_key(a_key("key_b", expires_at=house.clock.now() - 1))
    await house.store.save_key(a_key("key_c", state=KeyState.SUSPENDED, expires_at=soon))
    survey = _survey(house)
    await survey.look()
    assert survey.expiring["1d"] == 1
    assert list(survey.expiries) == ["key_c"]


async def test_of_many_the_first_to_expire_are_named_and_all_are_counted() -> None:
    house = await _house()
    now = house.clock.now()
    for n in range(NAMED_MAX + 20):
        await house.store.save_key(a_key(f"key_{n:03}", expires_at=now + DAY + (997 * n) % 500))
    survey = _survey(house, page=50)
    await survey.look()
    assert survey.expiring["7d"] == NAMED_MAX + 20
    assert len(survey.expiries) == NAMED_MAX
    every = sorted(now + DAY + (997 * n) % 500 for n in range(NAMED_MAX + 20))
    assert sorted(survey.expiries.values()) == every[:NAMED_MAX]


async def test_keys_that_a_policy_wants_replaced_are_counted_once_they_are_due() -> None:
    rules = PolicyRules(
        rotation=(
            RotationRule(match=KeyMatch(tags=("ci",)), every_seconds=30 * DAY),
            RotationRule(every_seconds=90 * DAY),
        )
    )
    house = await _house(rules)
    created = house.clock.now()
    for name, tags in (("a", ("ci",)), ("b", ())):
        await house.store.save_key(a_key(f"key_{name}", tags=tags, created_at=created))
    survey = _survey(house)
    counts = []
    for days in (29, 1, 59, 1):
        house.clock.advance(days * DAY)
        await survey.look()
        counts.append(survey.overdue)
    assert counts == [0, 1, 1, 2]


async def test_a_key_that_is_being_replaced_is_not_overdue() -> None:
    house = await _house(PolicyRules(rotation=(RotationRule(every_seconds=DAY),)))
    await house.store.save_key(
        a_key(created_at=0.0, state=KeyState.ROTATING, retires_at=house.clock.now() + DAY)
    )
    survey = _survey(house)
    await survey.look()
    assert survey.overdue == 0


async def test_a_look_is_bounded_and_what_a_round_found_is_told_at_its_end() -> None:
    house = await _house(PolicyRules(rotation=(RotationRule(every_seconds=DAY),)))
    for n in range(70):
        await house.store.save_key(a_key(f"key_{n:03}", created_at=house.clock.now() - 2 * DAY))
    survey = _survey(house, page=1)
    for _ in range(2):
        await survey.look()
        assert (survey.overdue, survey.is_complete) == (0, False)
    for _ in range(4):
        await survey.look()
        assert (survey.overdue, survey.is_complete) == (70, True)


async def test_keys_that_are_too_young_to_be_overdue_and_those_without_an_end_are_not_read() -> (
    None
):
    house = await _house(PolicyRules(rotation=(RotationRule(every_seconds=90 * DAY),)))
    now = house.clock.now()
    for n in range(50):
        await house.store.save_key(a_key(f"key_{n:03}", created_at=now - n * DAY))
    await house.store.save_key(a_key("key_old", created_at=now - 91 * DAY))
    survey = _survey(house, page=1)
    await survey.look()
    assert (survey.overdue, survey.is_complete) == (1, True)
