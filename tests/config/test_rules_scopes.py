"""Scopes: atoms, bundles and wildcards."""

from __future__ import annotations

from pathlib import Path

from tests.config.sample import UPSTREAM, said

ROUTE = UPSTREAM + "routes: [{name: a, match: {path: /a}, upstream: u, scopes: [SCOPE]}]\n"


def test_three_tiers_and_wildcards_are_fine(tmp_path: Path) -> None:
    text = """
scopes:
  atoms: [jobs:read, jobs:write, jobs:delete, read:jobs]
  bundles:
    read: ["*:read", "read:*"]
    write: {includes: [read], add: [jobs:write]}
    admin: {includes: [write], add: ["*"]}
templates: {t: {scopes: [admin, "*:delete", jobs:read]}}
"""
    assert said(tmp_path, text) == []


def test_route_requires_atoms_that_are_declared(tmp_path: Path) -> None:
    scopes = "scopes: {atoms: [jobs:read], bundles: {reader: [jobs:read]}}\n"
    assert said(tmp_path, scopes + ROUTE.replace("SCOPE", "jobs:raed")) == [
        "routes[0].scopes[0]: the scope 'jobs:raed' is not declared in `scopes.atoms` "
        "(did you mean 'jobs:read'?)"
    ]
    assert said(tmp_path, scopes + ROUTE.replace("SCOPE", "reader")) == [
        "routes[0].scopes[0]: a route requires atoms, and 'reader' is a bundle "
        "(bundles are for keys)"
    ]
    (wildcard,) = said(tmp_path, scopes + ROUTE.replace("SCOPE", "'*:read'"))
    assert wildcard.startswith("routes[0].scopes[0]: must be an atom")


def test_wildcard_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    text = "scopes: {atoms: [jobs:read], bundles: {b: ['*:wirte']}}\ntemplates: {t: {scopes: ['jobs:*:*']}}"
    text += "\npolicies: {expiry: [{match: {scopes: ['*:delete']}, lifetime_max: 90d}]}"
    printed = said(tmp_path, text)
    assert [line.partition(":")[0] for line in printed] == [
        "scopes.bundles.b[0]",
        "templates.t.scopes[0]",
        "policies.expiry[0].match.scopes[0]",
    ]
    assert all("matches no declared scope" in line for line in printed)


def test_unknown_grant_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    text = "scopes: {atoms: [jobs:read], bundles: {reader: [jobs:read]}}\ntemplates: {t: {scopes: [raeder]}}"
    assert said(tmp_path, text) == [
        "templates.t.scopes[0]: unknown scope 'raeder' (did you mean 'reader'?)"
    ]


def test_every_circle_of_bundles_is_told_once(tmp_path: Path) -> None:
    text = """
scopes:
  atoms: [x]
  bundles:
    a: {includes: [b]}
    b: {includes: [a], add: [x]}
    c: {includes: [c], add: [x]}
    d: {includes: [a], add: [x]}
"""
    printed = said(tmp_path, text)
    assert [line.partition(":")[0] for line in printed] == [
        "scopes.bundles.a.includes",
        "scopes.bundles.c.includes",
    ]
    assert "a -> b -> a" in printed[0]


def test_unknown_bundle_and_double_meaning_are_errors(tmp_path: Path) -> None:
    text = "scopes: {atoms: [x, y, x], bundles: {y: {includes: [zz], add: [x]}}}"
    assert said(tmp_path, text) == [
        "scopes.atoms[2]: the atom 'x' is used twice",
        "scopes.bundles.y: 'y' is an atom as well: rename one of them",
        "scopes.bundles.y.includes[0]: the bundle 'zz' is not declared in `scopes.bundles` "
        "(known here: y)",
    ]
