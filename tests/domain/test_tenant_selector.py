from __future__ import annotations

from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.paths import read_path
from gateway.domain.routes import Match, Route
from gateway.domain.tenant_selector import TenantSelector
from tests.pipeline.samples import head

ROUTE = Route(name="r", pattern="/v1/companies/{company_id}/jobs")
EVERYWHERE = TenantSelector(query="companyId", header="X-Company-Id", path="company_id")
QUERY = TenantSelector(query="companyId")
HEADER = TenantSelector(header="X-Company-Id")


def match(query: str = "", *fields: tuple[str, str], path: str | None = None, **more: Any) -> Match:
    parameters = {} if path is None else {"company_id": path}
    asked = head(f"/v1/jobs?{query}" if query else "/v1/jobs", *fields, token=None, **more)
    return Match(asked, ROUTE, MappingProxyType(parameters))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (match(), ""),
        (match("page=2&sort=name"), ""),
        (match("companyId=ten_b"), "ten_b"),
        (match("page=2&companyId=ten_b&sort=name"), "ten_b"),
        (match("companyId=ten%5Fb"), "ten_b"),
        (match("company%49d=ten_b"), "ten_b"),
        (match("companyId="), ""),
        (match("companyId"), ""),
        (match("", ("X-Company-Id", "ten_b")), "ten_b"),
        (match("", ("x-company-id", "ten_b")), "ten_b"),
        (match("", ("X-Company", "ten_b")), ""),
        (match(path="ten_b"), "ten_b"),
        (match("companyId=ten_b", ("X-Company-Id", "ten_b"), path="ten_b"), "ten_b"),
        (match("companyId=ten_b", ("X-Company-Id", "")), "ten_b"),
    ],
)
def test_iv_14_a_tenant_is_named_by_query_field_or_path(asked: Match, named: str) -> None:
    assert EVERYWHERE.read(asked) == named


@pytest.mark.parametrize(
    "query",
    [
        "companyId=ten_a&companyId=ten_b",
        "companyId=ten_b&companyId=ten_b",
        "companyId=&companyId=ten_b",
        "companyId=ten_b&page=1&company%49d=ten_a",
        "companyId=ten_b&companyid=ten_a",  # ASP.NET does not tell them apart
        "companyid=ten_a",
        "companyId=ten_b&companyId[]=ten_a",  # PHP files both under one name
        "companyId[0]=ten_a",
        "companyId%5B%5D=ten_a",
        "companyId%255B%255D=ten_a",
        "+companyId=ten_a",
        "%20companyId=ten_a",
        "companyId%00x=ten_a",
        "companyId=ten_b;companyId=ten_a",  # older servers split at `;`, too
        "page=1;companyId=ten_a",
        "[companyId]=ten_a",  # Express and Rack file all of these under `companyId`
        "companyId]=ten_a",
        "[]companyId]=ten_a",
        "%5BcompanyId%5D=ten_a",
        "companyId=ten_b&[companyId]=ten_a",
        "!companyId=ten_a",  # Spring's default for a parameter that is missing
        "%u0063ompanyId=ten_a",  # ASP.NET
        "%U0063ompany%49d=ten_a",
        "%ef%bd%83ompanyId=ten_a",  # a fullwidth c
    ],
)
def test_iv_14_a_tenant_that_an_upstream_may_read_differently_is_no_tenant(query: str) -> None:
    assert QUERY.read(match(query)) is None
    assert EVERYWHERE.read(match(query, ("X-Company-Id", "ten_a"))) is None


def test_names_that_php_writes_alike_are_not_told_apart() -> None:
    selector = TenantSelector(query="company_id")
    assert selector.read(match("company_id=ten_b")) == "ten_b"
    assert selector.read(match("company.id=ten_b")) is None
    assert selector.read(match("company[id=ten_b")) is None


def test_iv_14_a_tenant_in_a_query_that_only_some_servers_find_is_no_tenant() -> None:
    for path, named in (
        ("/v1/jobs%3FcompanyId=ten_a", None),
        ("/v1/jobs%3Fpage=1&[companyId]=ten_a", None),
        ("/v1/jobs%3Fpage=1", ""),
        ("/v1/jobs%23companyId=ten_a", ""),
    ):
        read = read_path(path.encode())
        asked = head(token=None, path=read.path, quirks=read.quirks)
        assert QUERY.read(Match(asked, ROUTE, {})) == named


@pytest.mark.parametrize(
    "asked",
    [
        match("", ("X-Company-Id", "ten_a"), ("X-Company-Id", "ten_b")),
        match("", ("X-Company-Id", "ten_a"), ("X-Company-Id", "ten_a")),
        match("", ("X-Company-Id", "ten_a"), ("X_Company_Id", "ten_b")),
        match("", ("X_Company_Id", "ten_b")),
        match("", ("X+Company*Id", "ten_b")),  # CGI of some servers
    ],
)
def test_iv_14_a_field_that_names_the_tenant_is_sent_once_and_spelled_as_it_is(
    asked: Match,
) -> None:
    assert HEADER.read(asked) is None


def test_iv_14_a_field_that_the_client_has_removed_on_the_way_names_nobody() -> None:
    asked = match("", ("X-Company-Id", "ten_b"), connection_options=frozenset({b"x-company-id"}))
    assert HEADER.read(asked) is None


@pytest.mark.parametrize(
    "asked",
    [
        match("companyId=ten_a", ("X-Company-Id", "ten_b")),
        match("companyId=ten_a", path="ten_b"),
        match("", ("X-Company-Id", "ten_a"), path="ten_b"),
    ],
)
def test_iv_14_places_that_disagree_name_nobody(asked: Match) -> None:
    assert EVERYWHERE.read(asked) is None


def test_what_is_not_configured_is_not_read() -> None:
    asked = match("companyId=ten_a", ("X-Company-Id", "ten_b"), path="ten_c")
    assert QUERY.read(asked) == "ten_a"
    assert HEADER.read(asked) == "ten_b"
    assert TenantSelector(path="company_id").read(asked) == "ten_c"


@given(st.text(st.characters(codec="ascii"), max_size=20), st.sampled_from(["", "&page=1"]))
def test_any_value_is_read_as_a_server_reads_it(value: str, rest: str) -> None:
    assert QUERY.read(match(f"companyId={quote(value, safe='')}{rest}")) == value


@given(st.binary(max_size=60))
def test_nothing_in_a_query_makes_reading_it_fail(query: bytes) -> None:
    asked = head("/v1/jobs", token=None, query=query)
    named = QUERY.read(Match(asked, ROUTE, {}))
    assert named is None or isinstance(named, str)
