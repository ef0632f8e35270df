"""A rotation may take scopes and addresses away (D13), and never gives any."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.key_rules import Refused
from gateway.domain.policies import KeyMatch, LifetimeRule, PolicyRules
from gateway.keyring.narrowing import SAME, Narrowing
from gateway.keyring.rotations import Rotated
from tests.key_samples import ORDER, a_tenant
from tests.keyring.house import DAY, House

HAS: dict[str, Any] = {
    "scopes": ("read", "jobs:write"),
    "ip_allowlist": ("203.0.113.0/24", "2001:db8::/32"),
}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


async def rotated(house: House, has: dict[str, Any] = HAS, **less: Any) -> Rotated:
    key_id = (await house.minted(**has)).record.key_id
    return await house.keyring.rotations.start(key_id, ORDER, narrowing=Narrowing(**less))


async def refused(house: House, has: dict[str, Any] = HAS, **less: Any) -> list[tuple[str, str]]:
    before = await house.store.revision()
    with pytest.raises(Refused) as caught:
        await rotated(house, has, **less)
    assert await house.store.revision() == before + 1  # the key that was minted, and nothing else
    assert house.events == []
    return list(caught.value.problems)


def test_nothing_is_taken_away_unless_somebody_says_so() -> None:
    assert SAME.values == {}


async def test_the_new_key_has_less_and_the_old_one_what_it_had(house: House) -> None:
    """D13."""
    begun = await rotated(house, scopes=("jobs:read",), ip_allowlist=("203.0.113.7 # office",))
    assert begun.new.scopes == ("jobs:read",)
    assert begun.new.ip_allowlist == ("203.0.113.7 # office",)
    assert (begun.old.scopes, begun.old.ip_allowlist) == (HAS["scopes"], HAS["ip_allowlist"])
    assert begun.new.lineage_id == begun.old.lineage_id


async def test_what_is_not_named_is_taken_over(house: House) -> None:
    begun = await rotated(house, scopes=())
    assert (begun.new.scopes, begun.new.ip_allowlist) == ((), HAS["ip_allowlist"])
    begun = await rotated(house, ip_allowlist=("203.0.113.0/25",))
    assert (begun.new.scopes, begun.new.ip_allowlist) == (HAS["scopes"], ("203.0.113.0/25",))


async def test_the_record_of_the_new_key_tells_what_it_may_do(house: House) -> None:
    await rotated(house, scopes=("jobs:read",))
    assert tuple(house.changes[0].after["scopes"]) == ("jobs:read",)


@pytest.mark.parametrize("scopes", [("write",), ("jobs:read", "candidates:write"), ("*",)])
async def test_a_scope_that_the_key_does_not_have_is_refused(
    house: House, scopes: tuple[str, ...]
) -> None:
    problems = await refused(house, scopes=scopes)
    assert len(problems) == 1
    pointer, text = problems[0]
    assert pointer == f"/scopes/{len(scopes) - 1}"
    assert "takes away and never gives" in text


async def test_names_that_together_grant_no_more_are_no_more(house: House) -> None:
    begun = await rotated(house, {"scopes": ("read",)}, scopes=("*:read",))
    assert begun.new.scopes == ("*:read",)


async def test_a_scope_that_is_not_declared_is_refused(house: House) -> None:
    assert "unknown scope" in (await refused(house, scopes=("nonsense",)))[0][1]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        (("198.51.100.1",), "/ip_allowlist/0"),
        (("203.0.113.1", "203.0.112.0/23"), "/ip_allowlist/1"),
        (("0.0.0.0/0",), "/ip_allowlist/0"),
        (("2001:db8::/31",), "/ip_allowlist/0"),
        ((), "/ip_allowlist"),
        (("nowhere",), "/ip_allowlist/0"),
    ],
)
async def test_an_address_that_the_key_does_not_allow_is_refused(
    house: House, wanted: tuple[str, ...], pointer: str
) -> None:
    assert [where for where, _ in await refused(house, ip_allowlist=wanted)] == [pointer]


async def test_a_key_without_a_list_may_be_given_any(house: House) -> None:
    begun = await rotated(house, {}, ip_allowlist=("198.51.100.0/24",))
    assert begun.new.ip_allowlist == ("198.51.100.0/24",)
    assert (await rotated(house, {}, ip_allowlist=())).new.ip_allowlist == ()


async def test_the_life_of_the_new_key_is_that_of_keys_like_it() -> None:
    """A rule that is about what the old key could do says nothing about one that cannot."""
    writers = KeyMatch(scopes=("jobs:write",))
    rules = PolicyRules(expiry=(LifetimeRule(match=writers, seconds_max=10 * DAY),))
    house = House(policies=rules)
    await house.store.save_tenant(a_tenant())
    end = house.clock.now() + 5 * DAY
    key_id = (await house.minted(**HAS, expires_at=end)).record.key_id
    for narrowing in (SAME, Narrowing(scopes=("jobs:read",))):
        begun = await house.keyring.rotations.start(
            key_id, ORDER, narrowing=narrowing, grace_seconds=0
        )
        assert begun.new.expires_at == end
        key_id = begun.new.key_id
