from __future__ import annotations

from pathlib import Path

from gateway.config.differences import (
    RouteChange,
    UpstreamChange,
    route_changes,
    upstream_changes,
)
from gateway.config.model import Config
from tests.config.sample import UPSTREAM, loaded

SCOPES = "scopes: {atoms: [a, b]}\n"
BEFORE = (
    SCOPES
    + UPSTREAM
    + (
        "routes:\n"
        "  - {name: kept, match: {path: /kept}, upstream: u}\n"
        "  - {name: gone, match: {prefix: /gone, hosts: [api.test]}, scopes: [a], upstream: u}\n"
        "  - {name: turned, match: {methods: [GET], path: /t}, scopes: [a], upstream: u}\n"
    )
)


def both(folder: Path, after: str, before: str = BEFORE) -> tuple[Config, Config]:
    return loaded(folder, before), loaded(folder, after)


def test_equal_configurations_differ_in_nothing(tmp_path: Path) -> None:
    before, after = both(tmp_path, BEFORE)
    assert [*route_changes(before, after), *upstream_changes(before, after)] == []


def test_routes_that_come_and_go_are_told_with_what_they_take(tmp_path: Path) -> None:
    after = BEFORE.replace(
        "  - {name: gone, match: {prefix: /gone, hosts: [api.test]}, scopes: [a], upstream: u}\n",
        "  - {name: new, match: {methods: [POST], regex: '/new/[0-9]+'}, auth: none, upstream: u}\n",
    )
    assert list(route_changes(*both(tmp_path, after))) == [
        RouteChange(name="gone", change="removed", requests="* /gone and below on api.test"),
        RouteChange(name="new", change="added", requests="POST ~ /new/[0-9]+", opens=True),
    ]


def test_what_a_route_asks_for_now_and_no_more_is_told(tmp_path: Path) -> None:
    changed = (
        "  - {name: turned, match: {methods: [GET], path: /t}, scopes: [b], upstream: u,"
        " ip_allowlist: [192.0.2.0/24]}\n"
    )
    after = BEFORE[: BEFORE.index("  - {name: turned")] + changed
    [change] = route_changes(*both(tmp_path, after))
    assert change == RouteChange(
        name="turned",
        change="changed",
        requests="GET /t",
        keys=("scopes", "ip_allowlist.allow"),
        scopes_added=("b",),
        scopes_removed=("a",),
        networks_added=("192.0.2.0/24",),
        networks_removed=("*",),
    )
    [back] = route_changes(*both(tmp_path, BEFORE, after))
    assert (back.networks_added, back.networks_removed) == (("*",), ("192.0.2.0/24",))


def test_a_rule_in_shadow_mode_asks_for_nothing(tmp_path: Path) -> None:
    after = BEFORE.replace("path: /t}, scopes: [a]", "path: /t}, scopes: [a], scopes_mode: shadow")
    [change] = route_changes(*both(tmp_path, after))
    assert (change.scopes_added, change.scopes_removed) == ((), ("a",))


def test_a_route_that_opens_or_closes_is_told_as_such(tmp_path: Path) -> None:
    opened = BEFORE.replace("path: /t}, scopes: [a]", "path: /t}, auth: none")
    [change] = route_changes(*both(tmp_path, opened))
    assert (change.opens, change.closes) == (True, False)
    [change] = route_changes(*both(tmp_path, BEFORE, opened))
    assert (change.opens, change.closes) == (False, True)


def test_upstreams_are_told_with_their_targets(tmp_path: Path) -> None:
    def upstreams(text: str) -> str:
        return f"upstreams: {{{text}}}\n"

    before = upstreams(
        "a: {targets: ['http://h:1', 'http+unix:/run/s']}, b: {targets: ['http://h']}"
    )
    after = upstreams(
        "a: {targets: ['http://h:1', 'http://h:2'], connections_max: 7}, c: {targets: ['http://h']}"
    )
    assert list(upstream_changes(*both(tmp_path, after, before))) == [
        UpstreamChange(
            name="a",
            change="changed",
            keys=("targets", "connections_max"),
            targets_added=("http://h:2",),
            targets_removed=("http+unix:/run/s",),
        ),
        UpstreamChange(name="b", change="removed", targets_removed=("http://h",)),
        UpstreamChange(name="c", change="added", targets_added=("http://h",)),
    ]
