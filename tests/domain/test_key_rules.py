from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.key_rules import (
    METADATA_BYTES_MAX,
    Refused,
    Rules,
    merged,
    require_reason,
    settled,
)
from tests.key_samples import HIREPANDA, a_key, a_tenant

NOW = 1_700_000_000.0
RULES = Rules(HIREPANDA, {"pro", "free"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x" * 100, "tags": ("größe",), "scopes": ("read", "*:write", "jobs:delete")},
        {"ip_allowlist": ("203.0.113.7", "10.0.0.0/8", "2001:db8::/32"), "plan": "pro"},
        {"plan": "", "metadata": {"a": {"b": [1, None]}}, "expires_at": NOW + 1},
        {"expires_at": None, "reason": "maintenance", "tenant_id": "acme-1.eu_x"},
        {"ip_allowlist_enabled": True, "unknown to the rules": object()},
    ],
)
def test_proper_values_pass(values: dict[str, Any]) -> None:
    assert RULES.problems(values, NOW) == []
    RULES.require(values, NOW)


@pytest.mark.parametrize(
    ("values", "pointer", "text"),
    [
        ({"name": ""}, "/name", "must not be empty"),
        ({"name": " \t"}, "/name", "must not be empty"),
        ({"name": "x" * 101}, "/name", "has 101 characters; 100 is the most"),
        ({"name": "a\x1b[2J"}, "/name", "printable"),
        ({"name": "sk_live_" + "aB3" * 16}, "/name", "secret"),
        ({"reason": ""}, "/reason", "must not be empty"),
        ({"reason": "x" * 501}, "/reason", "500 is the most"),
        ({"tags": ("ok", "")}, "/tags/1", "must not be empty"),
        ({"tags": ("t",) * 21}, "/tags", "has 21 entries; 20 is the most"),
        ({"scopes": ("read", "raed")}, "/scopes/1", "did you mean 'read'"),
        ({"scopes": ("read",) * 257}, "/scopes", "256 is the most"),
        ({"plan": "gold"}, "/plan", "unknown plan 'gold' (declared: free, pro)"),
        ({"ip_allowlist": ("10.0.0.1", "10.0.0.0/99")}, "/ip_allowlist/1", "10.0.0.0/99"),
        ({"ip_allowlist": ("10.0.0.1",) * 257}, "/ip_allowlist", "256 is the most"),
        ({"metadata": {"a": float("nan")}}, "/metadata", "JSON object"),
        ({"metadata": {"a": object()}}, "/metadata", "JSON object"),
        ({"metadata": {"a": "x" * METADATA_BYTES_MAX}}, "/metadata", "4096 bytes"),
        ({"expires_at": NOW}, "/expires_at", "future"),
        ({"expires_at": float("inf")}, "/expires_at", "future"),
        ({"tenant_id": "a:b"}, "/tenant_id", "letters, digits"),
        ({"tenant_id": ""}, "/tenant_id", "letters, digits"),
    ],
)
def test_a_broken_rule_is_told_with_its_place(
    values: dict[str, Any], pointer: str, text: str
) -> None:
    [(found, message)] = RULES.problems(values, NOW)
    assert found == pointer
    assert text in message


def test_everything_wrong_is_told_at_once() -> None:
    values = {"name": "", "scopes": ("a", "b"), "plan": "x", "expires_at": 0.0}
    with pytest.raises(Refused) as caught:
        RULES.require(values, NOW)
    pointers = [pointer for pointer, _ in caught.value.problems]
    assert pointers == ["/name", "/scopes/0", "/scopes/1", "/plan", "/expires_at"]
    assert str(caught.value).startswith("/name: must not be empty; /scopes/0: unknown scope 'a'")


def test_a_config_without_plans_says_so() -> None:
    [(_, text)] = Rules(HIREPANDA, ()).problems({"plan": "x"}, NOW)
    assert text == "unknown plan 'x' (declared: none)"


def test_a_merge_patch_removes_replaces_and_descends() -> None:
    """RFC 7396, appendix A."""
    assert merged({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merged({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merged({"a": [1]}, {"a": {"b": {"c": None}}}) == {"a": {"b": {}}}
    assert merged({"a": "foo"}, {"b": ["x", None]}) == {"a": "foo", "b": ["x", None]}


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_no_more(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = merged(target, patch)
    assert merged(once, patch) == once
    assert merged(target, {}) == target


def test_changes_settle_to_what_a_record_holds() -> None:
    record = a_key(metadata={"a": 1})
    changes = {"tags": ["a"], "plan": "pro", "metadata": {"b": 2}}
    assert settled(record, changes) == {
        "tags": ("a",),
        "plan": "pro",
        "metadata": {"a": 1, "b": 2},
    }
    assert settled(record, {"metadata": None}) == {"metadata": {}}
    assert settled(record, {}) == {}
    assert settled(a_tenant(alerts={"x": 1}), {"alerts": {"x": None}}) == {"alerts": {}}


def test_the_alerts_of_a_tenant_are_judged_with_their_places() -> None:
    rules = Rules(HIREPANDA, ("pro",), (), {"Europe/Berlin": UTC}.get)
    good = {"time_zone": "Europe/Berlin", "rules": {"ApiKeyExpiringSoon": {"enabled": False}}}
    assert rules.problems({"alerts": good}, NOW) == []
    wrong = {"time_zone": "Berlin", "rules": {"ApiKeyUnusualVolume": {"factor": 0}}}
    assert [pointer for pointer, _ in rules.problems({"alerts": wrong}, NOW)] == [
        "/alerts/time_zone",
        "/alerts/rules/ApiKeyUnusualVolume/factor",
    ]
    long = {"holidays": ["2026-12-25"] * 100, "time_zone": "x" * 5000}
    assert ("/alerts", "is longer than 4096 bytes of JSON") in rules.problems({"alerts": long}, NOW)
    without_zones = Rules(HIREPANDA, ())
    assert without_zones.problems({"alerts": {"time_zone": "Europe/Berlin"}}, NOW)


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"kind": "regular", "ip_allowlist_mode": "shadow", "default_template": "ci"}, []),
        ({"kind": "multi_tenant", "tenants": ("ten_b",)}, []),
        ({"kind": "both"}, ["/kind: is one of regular, multi_tenant"]),
        ({"ip_allowlist_mode": "off"}, ["/ip_allowlist_mode: is one of enforce, shadow"]),
        ({"default_template": "cd"}, ["/default_template: unknown template 'cd' (declared: ci)"]),
        (
            {"kind": "regular", "tenants": ("ten_b",)},
            ["/tenants: only a key of kind multi_tenant has any"],
        ),
        ({"tenants": ("ten_b",)}, ["/tenants: only a key of kind multi_tenant has any"]),
        (
            {"kind": "multi_tenant", "tenants": ("-",)},
            [
                "/tenants/0: must be 1 to 64 letters, digits, '_', '.', '-' and start with a letter or digit"
            ],
        ),
        (
            {"kind": "multi_tenant", "tenants": ("t",) * 1001},
            ["/tenants: has 1001 entries; 1000 is the most"],
        ),
        ({"export_name": "ACME_KEY"}, []),
        (
            {"export_name": "1KEY"},
            [
                "/export_name: must be the name of a variable: letters, digits and '_',"
                " not beginning with a digit"
            ],
        ),
    ],
)
def test_what_sets_tenants_and_kinds_of_keys_apart_has_rules(
    values: dict[str, Any], problems: list[str]
) -> None:
    """IV-13, IV-14, JH-18."""
    rules = Rules(HIREPANDA, ("pro",), ("ci",))
    found = rules.problems(values, 1_000.0)
    assert [f"{pointer}: {text}" for pointer, text in found] == problems


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\x00b"])
def test_a_reason_that_says_nothing_that_can_be_recorded_is_refused(reason: str) -> None:
    with pytest.raises(Refused) as caught:
        require_reason(reason)
    assert [pointer for pointer, _ in caught.value.problems] == ["/reason"]


def test_a_reason_is_enough() -> None:
    require_reason("orders fail")
