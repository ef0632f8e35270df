"""What a query for keys says about how its keys are found."""

from __future__ import annotations

import pytest

from gateway.domain.queries import KeyQuery, Sort

BY_NAME = Sort(field="name")


@pytest.mark.parametrize(
    ("query", "tenant_id"),
    [
        (KeyQuery(), ""),
        (KeyQuery(tenant_id="a"), "a"),
        (KeyQuery(tenant_ids=("a",)), "a"),
        (KeyQuery(tenant_ids=("a", "b")), ""),
        (KeyQuery(tenant_id="b", tenant_ids=("a", "b")), "b"),
        (KeyQuery(tenant_id="c", tenant_ids=("a",)), ""),
        (KeyQuery(tenant_ids=()), ""),
    ],
)
def test_one_tenant_is_named_only_where_no_other_is_asked_for_or_may_be_seen(
    query: KeyQuery, tenant_id: str
) -> None:
    assert query.one_tenant == tenant_id


@pytest.mark.parametrize(
    "query",
    [
        KeyQuery(),
        KeyQuery(sort=BY_NAME),
        KeyQuery(tenant_id="a", sort=BY_NAME),
        KeyQuery(state="active"),
        KeyQuery(lineage_id="l", tag="x", sort=BY_NAME),
        KeyQuery(tenant_ids=("a", "b"), text="x"),
        KeyQuery(tenant_id="c", tenant_ids=("a",), text="x"),
    ],
)
def test_what_an_index_holds_or_others_must_not_see_is_not_looked_for_among_all(
    query: KeyQuery,
) -> None:
    assert not query.is_sifted


@pytest.mark.parametrize(
    "query",
    [
        KeyQuery(text="x"),
        KeyQuery(tag="x"),
        KeyQuery(environment="live"),
        KeyQuery(template="x"),
        KeyQuery(kind="regular"),
        KeyQuery(pepper_id="p"),
        KeyQuery(not_pepper_id="p"),
        KeyQuery(expired_at=1.0),
        KeyQuery(state="active", sort=BY_NAME),
        KeyQuery(state="active", tenant_id="a"),
        KeyQuery(tenant_ids=("a",), text="x"),
    ],
)
def test_what_no_index_holds_is_looked_for_one_after_the_other(query: KeyQuery) -> None:
    assert query.is_sifted
