from __future__ import annotations

from typing import Any

from gateway.domain.address_rules import judge_address, neighbourhoods
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.domain.shadow import shadow_rules
from tests.key_samples import a_key, a_tenant

HERE = ("192.0.2.0/24",)


def judged(address: str, **subjects: Any) -> list[tuple[str, str, bool, bool]]:
    wanted: dict[str, Any] = {"route": None, "tenant": None, "key": None}
    found = judge_address(address, **(wanted | subjects))
    return [(each.rule, each.mode, each.is_allowed, each.refuses) for each in found]


def route(mode: str) -> Route:
    allowlist = Allowlist(HERE, "route")
    if mode == "shadow":
        return Route(name="r", pattern="/r", shadow=shadow_rules(allowlists=(allowlist,)))
    return Route(name="r", pattern="/r", allowlist=allowlist)


def test_every_list_of_route_tenant_and_key_is_asked() -> None:
    """HP-22, X-18."""
    tenant = a_tenant(ip_allowlist=("198.51.100.0/24",), ip_allowlist_enabled=True)
    found = judge_address(
        "192.0.2.7", route=route("enforce"), tenant=tenant, key=a_key(ip_allowlist=HERE)
    )
    assert [(each.rule, each.is_allowed, each.network) for each in found] == [
        ("route_ip", True, "192.0.2.0/24"),
        ("tenant_ip", False, ""),
        ("key_ip", True, "192.0.2.0/24"),
    ]
    assert [each.refuses for each in found] == [False, True, False]


def test_a_list_in_shadow_mode_or_switched_off_is_asked_and_refuses_nobody() -> None:
    """HP-20."""
    shadow = a_tenant(ip_allowlist=HERE, ip_allowlist_enabled=True, ip_allowlist_mode="shadow")
    off = a_tenant(ip_allowlist=HERE, ip_allowlist_enabled=False)
    elsewhere = "203.0.113.1"
    assert judged(elsewhere, tenant=shadow) == [("tenant_ip", "shadow", False, False)]
    assert judged(elsewhere, tenant=off) == [("tenant_ip", "off", False, False)]
    assert judged(elsewhere, route=route("shadow")) == [("route_ip", "shadow", False, False)]
    key = a_key(ip_allowlist=HERE, ip_allowlist_mode="shadow")
    assert judged(elsewhere, key=key) == [("key_ip", "shadow", False, False)]


def test_who_has_no_list_is_not_asked() -> None:
    assert judged("192.0.2.7") == []
    plain = Route(name="r", pattern="/r")
    assert judged("192.0.2.7", route=plain, tenant=a_tenant(), key=a_key()) == []


def test_addresses_of_one_place_count_once() -> None:
    found = neighbourhoods(["192.0.2.1", "192.0.2.200", "2001:db8::1", "2001:db8:0:9::1", ""])
    assert found == {"192.0.2.0/24", "2001:db8::/48"}
