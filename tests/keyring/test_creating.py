"""Templates, kinds, policies and warnings: what is decided when a key is created or changed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyRecord
from gateway.domain.policies import KeyMatch, LifetimeRule, PolicyRules, RotationRule
from tests.key_samples import HIREPANDA, ORDER, a_key, a_tenant, an_order
from tests.keyring.house import DAY, House, a_wish

PRIVILEGED = KeyMatch(scopes=("*:write", "*:delete"))


def _lifetime(*, is_enforced: bool) -> PolicyRules:
    rule = LifetimeRule(match=PRIVILEGED, seconds_max=90 * DAY, is_enforced=is_enforced)
    return PolicyRules(expiry=(rule,))


async def _house(**values: Any) -> House:
    house = House(**values)
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
async def house() -> House:
    return await _house()


# Templates


async def test_the_record_keeps_the_name_of_its_template(house: House) -> None:
    """HP-16, IV-12: the class of a key, by which it is listed and policies judge it."""
    assert (await house.minted(template="ci")).record.template == "ci"
    assert (await house.minted()).record.template == ""


@pytest.mark.parametrize(
    ("bundle", "atoms"),
    [
        ("read", {"jobs:read", "candidates:read"}),
        ("write", {"jobs:read", "candidates:read", "jobs:write", "candidates:write"}),
        (
            "admin",
            {"jobs:read", "candidates:read", "jobs:write", "candidates:write", "jobs:delete"},
        ),
    ],
)
async def test_tiers_build_on_each_other(house: House, bundle: str, atoms: set[str]) -> None:
    """HP-7, HP-8, HP-9."""
    record = (await house.minted(scopes=(bundle,))).record
    assert record.scopes == (bundle,)
    assert HIREPANDA.granted(record.scopes) == atoms


async def test_a_key_without_scopes_is_made_from_the_default_template_of_its_tenant(
    house: House,
) -> None:
    """JH-18, JH-20, X-17."""
    await house.keyring.tenants.update("ten_a", {"default_template": "all"}, ORDER)
    record = (await house.minted(scopes=None)).record
    assert (record.template, record.scopes) == ("all", ("admin",))
    exact = (await house.minted(scopes=("jobs:read",))).record
    assert (exact.template, exact.scopes) == ("", ("jobs:read",))
    assert (await house.minted(scopes=None, template="ci")).record.template == "ci"


async def test_the_default_template_of_a_tenant_is_a_known_one(house: House) -> None:
    with pytest.raises(Refused, match="/default_template: unknown template 'alle'"):
        await house.keyring.tenants.update("ten_a", {"default_template": "alle"}, ORDER)
    with pytest.raises(Refused, match="/default_template"):
        await house.keyring.tenants.create(a_tenant("ten_b", default_template="x"), ORDER)


async def test_the_templates_in_force_can_be_read(house: House) -> None:
    assert set(house.keyring.templates.by_name) == {"ci", "all", "ats"}


async def test_a_second_key_of_the_same_name_is_warned_of(house: House) -> None:
    """HP-3: unique per tenant is advisable."""
    await house.store.save_tenant(a_tenant("ten_b"))
    first = await house.minted(name="Billing")
    assert first.warnings == ()
    second = await house.minted(name="Billing")
    assert second.warnings == (f"another key of the tenant has this name: {first.record.key_id}",)
    assert (await house.minted(name="Billing", tenant_id="ten_b")).warnings == ()
    for each in (first, second):
        await house.keyring.revoke_key(each.record.key_id, an_order("gone"))
    assert (await house.minted(name="Billing")).warnings == ()


# Kinds


async def test_a_multi_tenant_key_names_the_tenants_that_it_acts_for(house: House) -> None:
    """IV-14."""
    await house.store.save_tenant(a_tenant("ten_b"))
    record = (await house.minted(kind="multi_tenant", tenants=("ten_b",))).record
    assert (record.kind, record.tenants) == (KeyKind.MULTI_TENANT, ("ten_b",))
    changed = await house.keyring.update_key(record.key_id, {"tenants": ()}, ORDER)
    assert changed.record.tenants == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"tenants": ("ten_a",)}, "/tenants: only a key of kind multi_tenant has any"),
        ({"kind": "any"}, "/kind: is one of regular, multi_tenant"),
        (
            {"kind": "multi_tenant", "tenants": ("ten_a", "ten_x")},
            "/tenants/1: there is no tenant 'ten_x'",
        ),
        ({"kind": "multi_tenant", "tenants": ("t",) * 1_001}, "/tenants: has 1001 entries"),
    ],
)
async def test_tenants_of_a_key_that_cannot_be_are_refused(
    house: House, values: dict[str, Any], problem: str
) -> None:
    """IV-13: a regular key is for one company."""
    with pytest.raises(Refused) as caught:
        await house.keyring.create_key(a_wish(**values), ORDER)
    assert str(caught.value).startswith(problem)


async def test_a_regular_key_is_not_given_tenants_later(house: House) -> None:
    key = (await house.minted()).record
    with pytest.raises(Refused, match="/tenants: only"):
        await house.keyring.update_key(key.key_id, {"tenants": ("ten_a",)}, ORDER)
    await house.store.save_key(a_key(kind=KeyKind.MULTI_TENANT))
    with pytest.raises(Refused, match="/tenants/0: there is no tenant 'ten_x'"):
        await house.keyring.update_key("key_a", {"tenants": ("ten_x",)}, ORDER)


async def test_what_kind_of_key_a_wish_leads_to_can_be_asked_before(house: House) -> None:
    """IV-14: whoever may not administer is refused before anything is minted, also by way of a template."""
    kinds = [
        await house.keyring.kind_of(a_wish(**values))
        for values in ({}, {"kind": "multi_tenant"}, {"template": "ats"}, {"kind": "nonsense"})
    ]
    assert kinds == ["regular", "multi_tenant", "multi_tenant", "regular"]
    await house.keyring.tenants.update("ten_a", {"default_template": "ats"}, ORDER)
    assert await house.keyring.kind_of(a_wish(scopes=None)) == "multi_tenant"


# Policies


async def test_a_privileged_key_needs_an_end_where_that_is_enforced() -> None:
    """IV-16."""
    house = await _house(policies=_lifetime(is_enforced=True))
    now = house.clock.now()
    for expires_at in (None, now + 91 * DAY):
        with pytest.raises(Refused, match="/expires_at: keys like this one live 90 days at most"):
            await house.keyring.create_key(a_wish(scopes=("write",), expires_at=expires_at), ORDER)
    assert (await house.minted(scopes=("write",), expires_at=now + 90 * DAY)).warnings == ()
    assert (await house.minted(scopes=("read",), name="B")).record.expires_at is None


async def test_in_shadow_mode_a_policy_only_warns() -> None:
    house = await _house(policies=_lifetime(is_enforced=False))
    minted = await house.minted(scopes=("write",))
    [warning] = minted.warnings
    assert warning.startswith("keys like this one live 90 days at most: send an expires_at")


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({"name": "New"}, False),
        ({"scopes": ("read",)}, False),
        ({"scopes": ("write", "jobs:delete")}, True),
        ({"tags": ("x",)}, True),
        ({"expires_at": None}, False),  # as it is: nothing changes
        ({"scopes": ("admin",), "expires_at": 1_700_000_000.0 + DAY}, False),
    ],
)
async def test_a_key_from_before_the_policy_is_judged_when_it_is_changed(
    changes: Any, is_refused: bool
) -> None:
    house = await _house(policies=_lifetime(is_enforced=True))
    await house.store.save_key(a_key(scopes=("write",), created_at=house.clock.now() - 5))
    if is_refused:
        with pytest.raises(Refused, match="/expires_at"):
            await house.keyring.update_key("key_a", changes, ORDER)
    else:
        await house.keyring.update_key("key_a", changes, ORDER)


async def test_when_a_key_is_due_for_rotation_can_be_asked() -> None:
    """HP-10."""
    rules = PolicyRules(rotation=(RotationRule(match=PRIVILEGED, every_seconds=90 * DAY),))
    house = await _house(policies=rules)
    privileged: KeyRecord = (await house.minted(scopes=("write",))).record
    assert house.keyring.rotation_due(privileged) == privileged.created_at + 90 * DAY
    assert house.keyring.rotation_due((await house.minted(name="B")).record) is None
    rotated = await house.keyring.rotations.start(privileged.key_id, ORDER)
    assert house.keyring.rotation_due(rotated.old) is None
    assert house.keyring.rotation_due(rotated.new) == rotated.new.created_at + 90 * DAY
