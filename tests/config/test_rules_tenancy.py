"""Tenancy: selectors, limits per acting tenant, declared partners."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from gateway.config.problems import Problem
from tests.config.sample import HEAD, NOTHING, UPSTREAM, loaded, problems, said, write

ROUTES = (
    UPSTREAM + "routes:\n"
    "  - {name: c, match: {path: '/v1/companies/{company_id}/jobs'}, upstream: u}\n"
    "  - {name: r, match: {regex: '/v1/r/(?P<report>[0-9]+)'}, upstream: u}\n"
)


def test_nothing_is_read_unless_it_is_configured(tmp_path: Path) -> None:
    tenancy = loaded(tmp_path, "").tenancy
    assert (tenancy.selector.query, tenancy.selector.header, tenancy.selector.path) == ("", "", "")
    assert (tenancy.regular_keys, tenancy.hide) == ("check", False)


@pytest.mark.parametrize(
    "selector",
    ["{query: companyId}", "{header: X-Company-Id}", "{path: company_id}", "{path: report}",
     "{query: company-id.x, header: X-Company-Id, path: company_id}"],
)  # fmt: skip
def test_iv_14_a_selector_may_stand_in_query_field_and_path(tmp_path: Path, selector: str) -> None:
    assert said(tmp_path, ROUTES + f"tenancy: {{selector: {selector}}}\n") == []


@pytest.mark.parametrize(
    ("tenancy", "line"),
    [
        ("{selector: {query: 'a b'}}",
         "tenancy.selector.query: must be up to 64 letters, digits, `_`, `.`, `~` and `-`"),
        ("{selector: {query: api_key}}",
         "tenancy.selector.query: 'api_key' is the name of a credential"),
        ("{selector: {header: 'X Company'}}",
         "tenancy.selector.header: is not a header name (RFC 9110 section 5.1)"),
        ("{selector: {header: Authorization}}",
         "tenancy.selector.header: is never forwarded: the upstream would not learn what the client named"),
        ("{selector: {header: X-Forwarded-Tenant}}",
         "tenancy.selector.header: is never forwarded: the upstream would not learn what the client named"),
        ("{selector: {header: X-Gateway-Tenant}}",
         "tenancy.selector.header: is never forwarded: the upstream would not learn what the client named"),
        ("{selector: {path: companyid}}",
         "tenancy.selector.path: no route has a parameter 'companyid' (did you mean 'company_id'?)"),
        ("{hide: 403}", "tenancy.hide: must be false or 404"),
        ("{regular_keys: refuse}", "tenancy.regular_keys: must be 'check' or 'ignore'"),
    ],
)  # fmt: skip
def test_a_selector_that_cannot_work_is_an_error(tmp_path: Path, tenancy: str, line: str) -> None:
    assert said(tmp_path, ROUTES + f"tenancy: {tenancy}\n") == [line]


def test_a_field_that_the_gateway_sets_names_no_tenant(tmp_path: Path) -> None:
    text = "identity_headers: {prefix: '', tenant: X-Company-Id}\n"
    assert said(tmp_path, text + "tenancy: {selector: {header: x-company-id}}\n") == [
        "tenancy.selector.header: is set by the gateway itself"
    ]


def test_nobody_sets_another_tenant_than_the_one_that_was_checked(tmp_path: Path) -> None:
    text = (
        UPSTREAM + "environments: {live: {forward: {x-company-id: all}}, test: {}}\n"
        "tenancy: {selector: {header: X-Company-Id}}\n"
        "routes:\n  - {name: a, match: {path: /a}, upstream: u,\n"
        "     headers: {request: {set: {X-Company-ID: one, X-Other: two}}}}\n"
    )
    told = "names the tenant (`tenancy.selector`): another one is checked"
    assert sorted(said(tmp_path, text)) == [
        f"environments.live.forward.x-company-id: {told}",
        f"routes[0].headers.request.set.X-Company-ID: {told}",
    ]


def test_a_broken_pattern_is_told_once(tmp_path: Path) -> None:
    text = (
        UPSTREAM + "tenancy: {selector: {path: id}}\n"
        "routes:\n  - {name: a, match: {path: 'a{id}'}, upstream: u}\n"
        "  - {name: b, match: {}, upstream: u}\n"
    )
    printed = said(tmp_path, text)
    assert [line.partition(":")[0] for line in printed if "tenancy" in line] == [
        "tenancy.selector.path"
    ]


def _warnings(folder: Path, text: str) -> list[Problem]:
    config, found = check(write(folder, HEAD + text), NOTHING)
    assert config is not None
    assert all(each.is_warning for each in found)
    return found


def test_limits_per_acting_tenant_without_any_are_worth_a_warning(tmp_path: Path) -> None:
    plans = "plans: {p: {owners: [lineage, lineage_tenant]}}\n"
    (found,) = _warnings(tmp_path, plans)
    assert found.path == "plans.p.owners[1]"
    assert "counts like `lineage`" in found.message
    assert problems(tmp_path, plans + "tenancy: {selector: {query: t}}\n") == []


@pytest.mark.parametrize(
    ("tenants", "keys", "line"),
    [
        ("{id: c, name: C, parent: gone}", "",
         "bootstrap.tenants[1].parent: the tenant 'gone' is not declared in `bootstrap.tenants` "),
        ("{id: c, name: C, parent: p}, {id: d, name: D, parent: c}", "",
         "bootstrap.tenants[2].parent: the tenant 'c' has a parent itself"),
        ("{id: c, name: C, parent: p}", "tenants: [c]",
         "bootstrap.keys[0].tenants: a regular key acts for its own tenant only "
         "(write `kind: multi_tenant`)"),
    ],
)  # fmt: skip
def test_declared_partners_and_customers_fit_together(
    tmp_path: Path, tenants: str, keys: str, line: str
) -> None:
    key = (
        "{id: k, tenant: p, name: K, format: tollhouse, environment: live, "
        f"hash: '{'0' * 64}', pepper: p1, {keys}}}"
    )
    text = f"bootstrap: {{tenants: [{{id: p, name: P}}, {tenants}], keys: [{key}]}}\n"
    (printed,) = said(tmp_path, text)
    assert printed.startswith(line)
