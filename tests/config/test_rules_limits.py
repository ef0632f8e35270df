"""Plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.model import redis_parts
from gateway.config.sections.limits import RedisParts
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


def test_limits_are_counted_here_by_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.limits.url.get_secret_value() == ""
    assert config.on_failure.limits == "local"


def test_a_bare_url_says_where_limits_are_counted(tmp_path: Path) -> None:
    config = loaded(tmp_path, "limits: redis://:secret@10.0.0.1/2\n")
    assert redis_parts(config.limits.url.get_secret_value()).password == "secret"
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://h", RedisParts(False, "h", 6379, "", 0, "", "")),
        ("redis://u:p%40s@h:1/3", RedisParts(False, "h", 1, "", 3, "u", "p@s")),
        ("rediss://[::1]:6380/", RedisParts(True, "::1", 6380, "", 0, "", "")),
        ("redis+unix:///run/r.sock", RedisParts(False, "", 0, "/run/r.sock", 0, "", "")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: RedisParts) -> None:
    assert redis_parts(url) == parts
    assert "p@s" not in parts.place


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("limits: http://h",
         "limits: must be a `redis://`, `rediss://` or `redis+unix://` URL"),
        ("limits: redis://h?db=1", "limits: must hold neither query nor fragment"),
        ("limits: redis://h:x",
         "limits: is not a URL: the host or port cannot be read"),
        ("limits: redis://", "limits: must name a host and, if not 6379, a port: `redis://host:port`"),
        ("limits: redis://h:0", "limits: must name a host and, if not 6379, a port: `redis://host:port`"),
        ("limits: redis://h/a",
         "limits: may end in the number of a database, such as `/1`, and in nothing else"),
        ("limits: redis+unix://r.sock",
         "limits: must name an absolute path: `redis+unix:///run/redis.sock`"),
        ("limits: {mode: fast}", "limits.mode: must be 'exact' or 'leased'"),
        ("limits: {lease: 2m}", "limits.lease: must be between 10ms and 60s"),
        ("limits: {local_share: 0}",
         "limits.local_share: must be greater than zero: `on_failure.limits: deny` lets nobody in"),
        ("limits: {concurrency_timeout: 10ms}",
         "limits.concurrency_timeout: must be 1s or more: those that go on are told of three times as often"),
        ("limits: {sentinels: [h]}", "limits.sentinels[0]: must be `host:port`"),
        ("limits: {sentinels: ['h:1']}",
         "limits.sentinels: has no effect: limits are not in a Redis "
         "(set `limits.url`, such as `redis://localhost`)"),
        ("limits: {url: redis://h, tls: {ca: ca.pem}}",
         "limits.tls: has no effect: `limits.url` does not begin with `rediss://`"),
        ("limits: {url: 'redis+unix:///r', sentinels: ['h:1']}",
         "limits.sentinels: lead to another machine than a socket of this one"),
        ("limits: {url: redis://h, cluster: true, sentinels: ['h:1']}",
         "limits.cluster: has no sentinels: its nodes know each other"),
        ("limits: {url: redis://h/1, cluster: true}",
         "limits.url: names a database, and a cluster has only one"),
        ("limits: redis://h\nplans: {p: {rate: {per_day: 1, burst: 40000}}}",
         "plans.p.rate.burst: takes more than a century to be full again"),
        ("on_failure: {limits: allow}", "on_failure.limits: must be 'local' or 'deny'"),
    ],
)  # fmt: skip
def test_limits_elsewhere_that_cannot_be_meant_are_an_error(
    tmp_path: Path, text: str, line: str
) -> None:
    assert [each for each in said(tmp_path, text) if "ca.pem" not in each] == [line]


def test_a_key_of_tls_belongs_to_a_certificate(tmp_path: Path) -> None:
    text = "limits: {url: 'rediss://h', tls: {key: k.pem}}"
    assert said(tmp_path, text) == [
        "limits.tls.key: belongs to no certificate (set `certificate` as well)"
    ]


def test_files_of_tls_are_looked_at(tmp_path: Path) -> None:
    found = said(tmp_path, "limits: {url: 'rediss://h', tls: {ca: ca.pem}}")
    assert len(found) == 1
    assert found[0].startswith("limits.tls.ca: ")


def test_a_burst_of_more_than_a_century_is_fine_where_redis_does_not_count(tmp_path: Path) -> None:
    assert said(tmp_path, "plans: {p: {rate: {per_day: 1, burst: 40000}}}") == []
