"""Keys that act for other tenants than their own: what they have to satisfy, and what the upstream is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assembly import policy
from gateway.assembly.binder import Binder
from gateway.domain.keys import KeyKind
from tests.config.sample import loaded
from tests.key_samples import a_key, a_tenant

CONFIG = (
    "environments: {live: {}, test: {billable: false}, free: {plan: pooled}}\n"
    "key_formats: {tollhouse: {prefix: sk, environments: [live, test, free]}}\n"
    "tenancy: {selector: {query: companyId}}\n"
    "plans:\n"
    "  partner: {rate: {per_minute: 600}, owners: [lineage]}\n"
    "  each: {rate: {per_minute: 60}, owners: [lineage, lineage_tenant]}\n"
    "  pair: {rate: {per_minute: 9}, owners: [lineage_tenant]}\n"
    "  pooled: {rate: {per_minute: 90}, owners: [tenant]}\n"
    "  whole: {rate: {per_minute: 900}, owners: [tenant]}\n"
    "  gate: {concurrency: 9, owners: [route]}\n"
)
PLANS = ("", "partner", "each", "pair", "pooled", "whole")


@pytest.fixture(scope="module")
def binder(tmp_path_factory: pytest.TempPathFactory) -> Binder:
    config = loaded(tmp_path_factory.mktemp("acting"), CONFIG)
    return Binder(config, policy.plans(config), policy.scopes(config))


def acting(
    binder: Binder, *, key: str = "", owner: str = "", tenant: str = "", environment: str = "live"
) -> set[str]:
    """Return the buckets of a partner's key on plan `key` that acts for a customer on plan `tenant`."""
    record = a_key(kind=KeyKind.MULTI_TENANT, plan=key, environment=environment)
    own = binder(record, a_tenant(plan=owner))
    return {claim.bucket for claim in binder.act(own, a_tenant("ten_c", plan=tenant)).claims}


def test_iv_14_limits_count_per_key_and_per_key_and_tenant(binder: Binder) -> None:
    assert acting(binder, key="each") == {
        "lineage:lin_key_a:each:minute",
        "lineage_tenant:lin_key_a@ten_c:each:minute",
    }
    assert acting(binder, key="pair") == {"lineage_tenant:lin_key_a@ten_c:pair:minute"}


def test_iv_14_the_acting_tenants_own_plan_counts_in_its_own_bucket(binder: Binder) -> None:
    assert acting(binder, key="partner", tenant="pooled") == {
        "lineage:lin_key_a:partner:minute",
        "tenant:ten_c:pooled:minute",
    }


def test_a_partner_is_limited_as_a_whole_whoever_its_keys_act_for(binder: Binder) -> None:
    assert acting(binder, owner="whole", tenant="pooled") == {
        "tenant:ten_a:whole:minute",
        "tenant:ten_c:pooled:minute",
    }


def test_a_key_that_acts_is_never_on_the_plan_of_the_tenant_that_it_acts_for(
    binder: Binder,
) -> None:
    assert acting(binder, tenant="each") == set()


def test_the_plan_of_an_environment_stands_in_for_the_acting_tenants(binder: Binder) -> None:
    assert acting(binder, key="each", tenant="whole", environment="free") == {
        "tenant:ten_a:pooled:minute",
        "tenant:ten_c:pooled:minute",
    }


@pytest.mark.parametrize("plan", ["gone", "gate"])
def test_an_acting_tenant_whose_plan_left_the_config_is_refused_and_never_unlimited(
    plan: str, binder: Binder
) -> None:
    with pytest.raises(LookupError, match=r"ten_c .* which the config does not declare"):
        acting(binder, tenant=plan)


@given(
    key=st.sampled_from(PLANS),
    owner=st.sampled_from(PLANS),
    tenant=st.sampled_from(PLANS),
    lists=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_iv_14_acting_for_another_only_adds_to_what_has_to_be_satisfied(
    key: str, owner: str, tenant: str, lists: tuple[bool, bool, bool], binder: Binder
) -> None:
    def listed(is_listed: bool) -> tuple[str, ...]:
        return ("192.0.2.0/24",) if is_listed else ()

    record = a_key(kind=KeyKind.MULTI_TENANT, plan=key, ip_allowlist=listed(lists[0]))
    own = binder(
        record, a_tenant(plan=owner, ip_allowlist=listed(lists[1]), ip_allowlist_enabled=True)
    )
    made = binder.act(
        own,
        a_tenant("ten_c", plan=tenant, ip_allowlist=listed(lists[2]), ip_allowlist_enabled=True),
    )
    assert len(own.allowlists) == lists[0] + lists[1]
    assert len(made.allowlists) == sum(lists)
    assert made.scopes is own.scopes
    buckets = {claim.bucket for claim in made.claims}
    assert len(buckets) == len(made.claims)
    for claim in own.claims:
        assert claim.bucket.replace("@ten_a", "@ten_c") in buckets


def test_a_limit_per_key_and_tenant_holds_for_regular_keys_too(binder: Binder) -> None:
    claims = binder(a_key(plan="pair"), a_tenant()).claims
    assert [claim.bucket for claim in claims] == ["lineage_tenant:lin_key_a@ten_a:pair:minute"]
    assert [claim.owner for claim in claims] == ["lineage_tenant"]


def test_iv_14_the_upstream_is_told_the_acting_tenant_and_whose_key_it_is(binder: Binder) -> None:
    own = binder(a_key(kind=KeyKind.MULTI_TENANT), a_tenant())
    made = binder.act(own, a_tenant("ten_c"))
    assert b"X-Gateway-Tenant: ten_c\r\nX-Gateway-Key-Tenant: ten_a\r\n" in made.identity
    assert b"X-Gateway-Tenant: ten_a\r\nX-Gateway-Key-Tenant: ten_a\r\n" in own.identity
    assert b"Key-Tenant" not in binder(a_key(), a_tenant()).identity


def test_the_field_for_the_owner_can_be_renamed_and_left_out(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG + "identity_headers: {key_tenant: ''}\n")
    binder = Binder(config, policy.plans(config), policy.scopes(config))
    own = binder(a_key(kind=KeyKind.MULTI_TENANT), a_tenant())
    assert b"Key-Tenant" not in own.identity


@pytest.mark.parametrize(("environment", "is_billable"), [("live", True), ("test", False)])
def test_jh_7_whether_a_key_is_billable_follows_from_its_environment(
    environment: str, is_billable: bool, binder: Binder
) -> None:
    own = binder(a_key(kind=KeyKind.MULTI_TENANT, environment=environment), a_tenant())
    assert own.is_billable is is_billable
    assert binder.act(own, a_tenant("ten_c")).is_billable is is_billable
