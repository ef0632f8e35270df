from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.key_rules import METADATA_BYTES_MAX, Refused, Rules, merged, settled
from tests.key_samples import HIREPANDA

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
    changes = {"tags": ["a"], "plan": "pro", "metadata": {"b": 2}}
    assert settled({"a": 1}, changes) == {
        "tags": ("a",),
        "plan": "pro",
        "metadata": {"a": 1, "b": 2},
    }
    assert settled({"a": 1}, {"metadata": None}) == {"metadata": {}}
    assert settled({"a": 1}, {}) == {}
