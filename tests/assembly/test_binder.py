from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assembly import policy
from gateway.assembly.binder import Binder
from gateway.config.problems import ConfigErrors
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.limiters.memory import MemoryLimiter
from tests.clock import FakeClock
from tests.config.sample import loaded
from tests.key_samples import a_key, a_tenant

CONFIG = (
    "environments: {live: {}, test: {forward: {X-Environment: test}}, free: {plan: unlimited}}\n"
    "key_formats: {tollhouse: {prefix: sk, environments: [live, test, free]}}\n"
    "scopes:\n"
    "  atoms: ['jobs:read', 'jobs:write']\n"
    "  bundles: {reader: ['*:read']}\n"
    "plans:\n"
    "  pro: {rate: {per_minute: 300}, concurrency: 5, owners: [lineage, tenant]}\n"
    "  small: {rate: {per_minute: 6}}\n"
    "  pooled: {rate: {per_minute: 9}, owners: [tenant]}\n"
    "  unlimited: {}\n"
    "  gate: {concurrency: 9, owners: [route]}\n"
)


def made(folder: Path, more: str = "") -> Binder:
    config = loaded(folder, CONFIG + more)
    return Binder(config, policy.plans(config), policy.scopes(config))


@pytest.fixture(scope="module")
def binder(tmp_path_factory: pytest.TempPathFactory) -> Binder:
    return made(tmp_path_factory.mktemp("binder"))


def buckets(binder: Binder, record: KeyRecord, tenant: Tenant) -> set[str]:
    claims = binder(record, tenant).claims
    assert len({claim.bucket for claim in claims}) == len(claims)
    return {claim.bucket for claim in claims}


# ---- what a key may do, and from where


def test_a_bound_key_is_its_record_and_tenant_with_its_scopes_spelled_out(binder: Binder) -> None:
    record, tenant = a_key(scopes=("reader", "jobs:write")), a_tenant()
    key = binder(record, tenant)
    assert key.record is record
    assert key.tenant is tenant
    assert key.scopes == {"jobs:read", "jobs:write"}


def test_a_scope_that_left_the_config_grants_nothing(binder: Binder) -> None:
    assert binder(a_key(scopes=("gone:read", "jobs:read")), a_tenant()).scopes == {"jobs:read"}


@pytest.mark.parametrize(
    ("of_key", "of_tenant", "is_enabled", "count"),
    [
        ((), (), True, 0),
        (("192.0.2.1",), (), True, 1),
        ((), ("192.0.2.0/24",), True, 1),
        (("192.0.2.1",), ("192.0.2.0/24",), True, 2),
        (("192.0.2.1",), ("192.0.2.0/24",), False, 1),
    ],
)
def test_the_lists_of_key_and_tenant_stay_apart_so_that_both_must_agree(
    of_key: tuple[str, ...],
    of_tenant: tuple[str, ...],
    is_enabled: bool,
    count: int,
    binder: Binder,
) -> None:
    tenant = a_tenant(ip_allowlist=of_tenant, ip_allowlist_enabled=is_enabled)
    allowlists = binder(a_key(ip_allowlist=of_key), tenant).allowlists
    assert len(allowlists) == count
    assert all(allowlist.allows("192.0.2.1") for allowlist in allowlists)
    assert not any(allowlist.allows("198.51.100.1") for allowlist in allowlists)


def test_a_list_that_cannot_be_read_refuses_the_key_instead_of_opening_it(binder: Binder) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        binder(a_key(ip_allowlist=("nonsense",)), a_tenant())


# ---- limits


def test_a_key_without_any_plan_draws_on_nothing(binder: Binder) -> None:
    assert binder(a_key(), a_tenant()).claims == ()


def test_a_key_is_limited_by_the_plan_of_its_tenant_when_it_has_none(binder: Binder) -> None:
    assert buckets(binder, a_key(), a_tenant(plan="small")) == {"lineage:lin_key_a:small:minute"}


def test_a_plan_may_limit_the_key_and_its_tenant_as_a_whole(binder: Binder) -> None:
    assert buckets(binder, a_key(), a_tenant(plan="pro")) == {
        "lineage:lin_key_a:pro:minute",
        "lineage:lin_key_a:pro:concurrency",
        "tenant:ten_a:pro:minute",
        "tenant:ten_a:pro:concurrency",
    }


def test_the_plan_of_a_key_stands_in_for_its_tenant_s_but_the_tenant_s_own_bucket_stays(
    binder: Binder,
) -> None:
    assert buckets(binder, a_key(plan="small"), a_tenant(plan="pro")) == {
        "lineage:lin_key_a:small:minute",
        "tenant:ten_a:pro:minute",
        "tenant:ten_a:pro:concurrency",
    }


def test_a_key_on_a_plan_that_counts_per_tenant_is_limited_all_the_same(binder: Binder) -> None:
    assert buckets(binder, a_key(plan="pooled"), a_tenant()) == {"tenant:ten_a:pooled:minute"}
    assert buckets(binder, a_key(plan="pooled"), a_tenant(plan="small")) == {
        "tenant:ten_a:pooled:minute"
    }


def test_rotated_keys_share_the_bucket_of_their_lineage(binder: Binder) -> None:
    one = a_key("key_a", plan="small", lineage_id="lin_x")
    two = a_key("key_b", plan="small", lineage_id="lin_x")
    assert buckets(binder, one, a_tenant()) == buckets(binder, two, a_tenant())


@given(uses=st.lists(st.booleans(), min_size=7, max_size=40))
def test_both_keys_of_a_rotation_together_never_exceed_the_one_limit(
    uses: list[bool], binder: Binder
) -> None:
    """D3: overlap never doubles a limit, and rotating never resets one."""
    limiter = MemoryLimiter(FakeClock())
    old, new = (
        binder(a_key(f"key_{name}", plan="small", lineage_id="lin_x"), a_tenant())
        for name in ("old", "new")
    )
    admitted = [limiter.acquire((new if is_new else old).claims).refused is None for is_new in uses]
    assert admitted == [True] * 6 + [False] * (len(uses) - 6)


def test_the_plan_of_an_environment_stands_in_for_every_other(binder: Binder) -> None:
    key = a_key(environment="free", plan="small")
    assert buckets(binder, key, a_tenant(plan="pro")) == set()


@pytest.mark.parametrize(
    ("record", "tenant"),
    [
        (a_key(plan="gone"), a_tenant()),
        (a_key(), a_tenant(plan="gone")),
        (a_key(plan="small"), a_tenant(plan="gone")),
        (a_key(plan="gate"), a_tenant()),
        (a_key(environment="gone", plan="small"), a_tenant()),
    ],
    ids=["key", "tenant", "tenant behind key", "route plan", "environment"],
)
def test_a_plan_or_environment_that_left_the_config_refuses_the_key_and_never_unlimits_it(
    record: KeyRecord, tenant: Tenant, binder: Binder
) -> None:
    with pytest.raises(LookupError, match=r"key_a .* which the config does not declare"):
        binder(record, tenant)


# ---- identity


def test_the_upstream_is_told_who_the_caller_is(binder: Binder) -> None:
    key = binder(a_key(scopes=("jobs:write", "jobs:read"), environment="test"), a_tenant())
    assert key.identity == (
        b"X-Gateway-Key-Id: key_a\r\n"
        b"X-Gateway-Lineage: lin_key_a\r\n"
        b"X-Gateway-Tenant: ten_a\r\n"
        b"X-Gateway-Scopes: jobs:read jobs:write\r\n"
        b"X-Gateway-Environment: test\r\n"
        b"X-Environment: test\r\n"
    )


def test_identity_headers_can_be_renamed_and_left_out(tmp_path: Path) -> None:
    binder = made(
        tmp_path,
        "identity_headers: {key_id: X-Consumer, lineage: '', scopes: '', environment: ''}\n",
    )
    assert binder(a_key(), a_tenant()).identity == (
        b"X-Consumer: key_a\r\nX-Gateway-Tenant: ten_a\r\n"
    )


UNPRINTABLE = st.text(min_size=1).filter(lambda text: not (text.isascii() and text.isprintable()))


@given(
    evil=UNPRINTABLE | st.sampled_from(["a\r\nX-Gateway-Tenant: root", "a\nb", "a\0", "ä", "a\x7f"])
)
@pytest.mark.parametrize("field", ["key_id", "lineage_id", "tenant_id"])
def test_no_value_of_a_record_can_become_a_header_of_its_own(
    field: str, evil: str, binder: Binder
) -> None:
    values: dict[str, Any] = {field: f"x{evil}x"}
    record = a_key(values.pop("key_id", "key_a"), **values)
    with pytest.raises(ValueError, match="no header may have"):
        binder(record, a_tenant(record.tenant_id))


@given(granted=st.lists(st.text()), environment=st.text())
def test_scopes_and_environment_of_a_record_are_told_only_as_far_as_the_config_declares_them(
    granted: list[str], environment: str, binder: Binder
) -> None:
    record = a_key(scopes=(*granted, "a\r\nX-Evil: 1"), environment=environment)
    if environment not in ("live", "test", "free"):
        with pytest.raises(LookupError):
            binder(record, a_tenant())
    record = a_key(scopes=(*granted, "a\r\nX-Evil: 1"))
    assert b"Evil" not in binder(record, a_tenant()).identity


@pytest.mark.parametrize(
    "text",
    [
        'environments: {live: {forward: {X-Env: "a\\r\\nX-Gateway-Tenant: root"}}, test: {}}\n',
        "environments: {live: {forward: {X-Env: 'ä'}}, test: {}}\n",
        "environments: {live: {forward: {X-Gateway-Tenant: root}}, test: {}}\n",
        'identity_headers: {tenant: "X-T: root\\r\\nX"}\n',
        'scopes: {atoms: ["a b"]}\n',
        'scopes: {atoms: ["a\\r\\nX-Evil:1"]}\n',
    ],
)
def test_the_config_lets_no_value_in_that_could_become_a_header(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors):
        loaded(tmp_path, text)
