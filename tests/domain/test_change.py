from __future__ import annotations

from dataclasses import fields, replace

from gateway.domain.change import (
    KEY_FIELD_EVENTS,
    TENANT_FIELD_EVENTS,
    Actor,
    ChangeType,
    Order,
    described,
    differences,
)
from tests.key_samples import a_key, a_tenant


def test_an_event_never_holds_a_digest() -> None:
    told = described(a_key(scopes=("read",)))
    assert told["scopes"] == ("read",)
    assert "digest" not in told
    assert not any(isinstance(value, bytes) for value in told.values())
    assert described(a_tenant())["name"] == "Tenant ten_a"


def test_each_changed_field_is_told_by_its_event_with_before_and_after() -> None:
    """IV-27, IV-29."""
    before = a_key(scopes=("read",), expires_at=None)
    after = replace(before, name="New", tags=("a",), scopes=("write",), revision=9)
    assert differences(before, after, KEY_FIELD_EVENTS) == {
        ChangeType.KEY_UPDATED: (
            {"name": before.name, "tags": ()},
            {"name": "New", "tags": ("a",)},
        ),
        ChangeType.KEY_SCOPES_CHANGED: ({"scopes": ("read",)}, {"scopes": ("write",)}),
    }
    assert differences(before, before, KEY_FIELD_EVENTS) == {}


def test_the_tables_name_fields_that_exist() -> None:
    assert set(KEY_FIELD_EVENTS) < {each.name for each in fields(a_key())}
    assert set(TENANT_FIELD_EVENTS) < {each.name for each in fields(a_tenant())}


def test_a_secret_in_the_reason_of_an_order_is_not_kept() -> None:
    order = Order(actor=Actor(kind="admin", name="me"), reason="leaked: sk_live_" + "aB3" * 16)
    assert order.reason == "leaked: sk_live_[redacted]"
    assert replace(order, reason="sk_live_" + "aB3" * 16).reason == "sk_live_[redacted]"
