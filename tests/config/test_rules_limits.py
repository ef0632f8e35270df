"""Plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.sample import UPSTREAM, loaded, said


def test_rate_may_be_one_or_several(tmp_path: Path) -> None:
    plans = loaded(
        tmp_path,
        "plans:\n  one: {rate: {per_minute: 60}}\n"
        "  two: {rate: [{per_minute: 60, burst: 5}, {per_hour: 2000}]}\n  none: {}\n",
    ).plans
    assert [rate.limits for rate in plans["one"].rate] == [{"minute": 60}]
    assert [rate.limits for rate in plans["two"].rate] == [{"minute": 60}, {"hour": 2000}]
    assert plans["none"].rate == ()
    assert plans["none"].owners == ("lineage",)


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        ("{rate: {burst: 5}}", "plans.p.rate: says no rate (write `per_minute: 60`, or per_second, "
         "_hour, _day)"),
        ("{rate: {per_minute: 1, per_day: 5}}",
         "plans.p.rate: has per_minute and per_day: write a list with one rate per entry"),
        ("{rate: [{per_day: 1}, {per_day: 5}]}", "plans.p.rate[1]: the plan has another rate per day"),
        ("{rate: {per_minute: 0}}", "plans.p.rate.per_minute: must be at least 1"),
        ("{rate: {per_minute: 1, burst: 0}}", "plans.p.rate.burst: must be at least 1"),
        ("{quota: {per_month: 0}}", "plans.p.quota.per_month: must be at least 1"),
        ("{concurrency: -1}", "plans.p.concurrency: must be at least 1"),
        ("{owners: []}", "plans.p.owners: must not be empty"),
        ("{owners: [tenant, tenant]}", "plans.p.owners[1]: the owner 'tenant' is used twice"),
    ],
)  # fmt: skip
def test_limit_that_cannot_be_meant_is_an_error(tmp_path: Path, plan: str, line: str) -> None:
    assert said(tmp_path, f"plans: {{p: {plan}}}") == [line]


def test_plan_of_a_route_counts_for_the_route(tmp_path: Path) -> None:
    text = UPSTREAM + "plans: {p: {}, r: {owners: [route]}}\nroutes:\n"
    route = "  - {name: a, match: {path: /a}, upstream: u, plan: PLAN}\n"
    assert said(tmp_path, text + route.replace("PLAN", "r")) == []
    assert said(tmp_path, text + route.replace("PLAN", "p")) == [
        "routes[0].plan: the plan 'p' is not for routes (add `route` to its `owners`)"
    ]


def test_plan_for_routes_only_would_limit_no_key(tmp_path: Path) -> None:
    text = """
plans: {r: {owners: [route]}}
environments: {live: {plan: r}, test: {}}
templates: {t: {plan: r}}
bootstrap:
  tenants: [{id: t, name: T, plan: r}]
"""
    printed = said(tmp_path, text)
    assert [line.partition(":")[0] for line in printed] == [
        "environments.live.plan",
        "templates.t.plan",
        "bootstrap.tenants[0].plan",
    ]
    assert all("would limit nobody" in line for line in printed)
