"""From where keys are used, over hours, restarts and many keys: IV-24."""

from __future__ import annotations

from typing import Any

from gateway.alerts.places import Bounds
from gateway.domain.usage import FacetQuery
from tests.alert_samples import DAY, NOW, a_book, some_settings
from tests.alerts.watching import Watching, watching

RULE = "ApiKeyUnexpectedAddress"
HOME, AWAY = "192.0.2.0/24", "203.0.113.0/24"


async def at_home(days: int = 10, **values: Any) -> Watching:
    watch = await watching(**values)
    for day in range(days, 0, -1):
        await watch.use(network=HOME, at=NOW - day * DAY)
    return watch


async def found(watch: Watching, state: str = "firing") -> list[str]:
    return [subject for rule, _, subject in await watch.alerts(state) if rule == RULE]


async def test_iv_24_a_network_that_was_never_seen_with_a_key_is_told_once() -> None:
    watch = await at_home()
    await watch.use(network=HOME)
    await watch.look()
    assert await found(watch) == []
    for _ in range(5):
        await watch.use(network=AWAY)
        await watch.look(600)
    assert await found(watch) == [AWAY]
    assert await watch.told() == [("fired", RULE)]
    alert = await watch.kept.alert("alr_1")
    assert alert.summary == (
        'Key "key_a" (key_a) of ten_a is used from 203.0.113.0/24, for the first time'
    )


async def test_a_network_that_was_used_before_is_known_although_it_was_not_used_today() -> None:
    watch = await at_home()
    await watch.use(network=AWAY, at=NOW - 9 * DAY)
    await watch.look()
    await watch.use(network=AWAY)
    await watch.look()
    assert await found(watch) == []


async def test_while_a_key_is_learnt_nothing_is_unexpected() -> None:
    watch = await at_home(days=3)
    await watch.use(network=AWAY)
    await watch.look()
    assert await found(watch) == []


async def test_a_tenant_may_set_how_long_keys_are_learnt() -> None:
    watch = await at_home(days=3)
    await watch.add_tenant(alerts={"rules": {RULE: {"learning": "2d"}}})
    await watch.use(network=AWAY)
    await watch.look()
    assert await found(watch) == [AWAY]


async def test_what_is_unexpected_belongs_to_the_key_after_a_day() -> None:
    settings = some_settings(a_book(ApiKeyUnexpectedAddress={"resolve_after": 0}))
    watch = await at_home(settings=settings)
    await watch.use(network=AWAY)
    await watch.look()
    await watch.look(DAY - 120)
    assert await found(watch) == [AWAY]
    await watch.look(120)
    assert (await found(watch), await found(watch, "resolved")) == ([], [AWAY])
    await watch.use(network=AWAY)
    await watch.look()
    assert len(await watch.alerts()) == 1


async def test_after_a_restart_an_open_alert_goes_on_though_the_key_rests() -> None:
    settings = some_settings(a_book(ApiKeyUnexpectedAddress={"resolve_after": 0}))
    watch = await at_home(settings=settings)
    await watch.use(network=AWAY)
    await watch.look()
    watch.start()
    await watch.look(6 * 3600)
    assert await found(watch) == [AWAY]
    assert await watch.told() == [("fired", RULE)]


async def test_what_came_while_nobody_looked_is_found_afterwards() -> None:
    watch = await at_home()
    await watch.look()
    await watch.use(network=AWAY, at=NOW + 3 * 3600)
    await watch.look(8 * 3600)
    assert await found(watch) == [AWAY]


async def test_the_past_of_a_key_is_read_once() -> None:
    watch = await at_home()
    asked: list[FacetQuery] = []
    facets = watch.usage.facets

    async def counting(query: FacetQuery) -> Any:
        asked.append(query)
        return await facets(query)

    watch.usage.facets = counting
    for _ in range(5):
        await watch.use(network=HOME)
        await watch.look()
    assert [query.key_id for query in asked].count("key_a") == 1


async def test_of_very_many_new_keys_some_are_learnt_in_each_round() -> None:
    watch = await watching(bounds=Bounds(histories=2))
    for number in range(5):
        await watch.add_key(f"key_{number}")
        await watch.use(f"key_{number}", at=NOW - 10 * DAY)
        await watch.use(f"key_{number}", network=AWAY)
    counts = []
    for _ in range(3):
        await watch.look()
        counts.append(len(await found(watch)))
    assert counts == [2, 4, 5]


async def test_only_so_many_keys_and_networks_are_remembered() -> None:
    watch = await watching(bounds=Bounds(keys=3, networks=2))
    for number in range(5):
        await watch.add_key(f"key_{number}")
        for network in range(4):
            await watch.use(f"key_{number}", network=f"198.51.{network}.0/24")
    await watch.look()
    known = watch.places._known
    assert len(known) == 3
    assert all(len(place.networks) == 2 for place in known.values())
    await watch.look(40 * DAY)
    assert all(not place.networks for place in watch.places._known.values())


async def test_a_rule_that_is_off_finds_nothing() -> None:
    settings = some_settings(a_book(ApiKeyUnexpectedAddress={"enabled": False}))
    watch = await at_home(settings=settings)
    await watch.use(network=AWAY)
    await watch.refuse("ip_not_allowed")
    await watch.look()
    assert await watch.alerts() == []
