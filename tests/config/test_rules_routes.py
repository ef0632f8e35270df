"""Routes: reachable, distinct, complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.sample import UPSTREAM, loaded, problems, said


def routes_said(tmp_path: Path, *routes: str, more: str = "") -> list[str]:
    listed = "".join(f"  - {{name: r{n}, {route}}}\n" for n, route in enumerate(routes))
    return said(tmp_path, f"{UPSTREAM}{more}routes:\n{listed}")


@pytest.mark.parametrize(
    "pattern",
    ["path: /v1/jobs", "path: '/v1/jobs/{id}'", "path: '/v1/jobs/{id?}'", "path: '/v1/{rest...}'",
     "prefix: /v1", "regex: '/v1/[a-z]+'", "path: /"],
)  # fmt: skip
def test_pattern_that_requests_can_match_is_fine(tmp_path: Path, pattern: str) -> None:
    assert routes_said(tmp_path, f"match: {{{pattern}}}, upstream: u") == []


@pytest.mark.parametrize(
    "path",
    ["/v1//jobs", "/v1/./jobs", "/v1/../jobs", "/v1/%2e%2e/jobs", "/v1/%2fjobs", "/v1/a;b", "v1/jobs",
     "/v1/jobs.", "/v1/{id", "/v1/x{id}", "/v1/{a}/{a}", "/v1/{id?}/x", "/v1/%zz", "/v1\\\\x"],
)  # fmt: skip
def test_pattern_that_no_request_can_match_is_an_error(tmp_path: Path, path: str) -> None:
    (line,) = routes_said(tmp_path, f'match: {{path: "{path}"}}, upstream: u')
    assert line.startswith("routes[0].match.path: ")


def test_spelling_that_the_route_allows_is_reachable(tmp_path: Path) -> None:
    assert (
        routes_said(tmp_path, "match: {path: '/v1/a;b'}, upstream: u, path: {allow: [parameters]}")
        == []
    )


def test_exactly_one_pattern_is_given(tmp_path: Path) -> None:
    assert routes_said(
        tmp_path, "match: {}, upstream: u", "match: {path: /a, prefix: /b}, upstream: u"
    ) == [
        "routes[0].match: needs exactly one of `path`, `prefix` and `regex`",
        "routes[1].match: needs exactly one of `path`, `prefix` and `regex`",
    ]


def test_methods_that_match_nothing_are_errors(tmp_path: Path) -> None:
    assert routes_said(
        tmp_path,
        "match: {path: /a, methods: []}, upstream: u",
        "match: {path: /b, methods: [CONNECT, TRACE]}, upstream: u",
        "match: {path: /c, methods: [GET, '*']}, upstream: u",
    ) == [
        "routes[0].match.methods: is empty: no request can match (remove it)",
        "routes[1].match.methods[0]: is never routed",
        "routes[1].match.methods[1]: is never routed",
        "routes[2].match.methods: `*` means every method: write it alone",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("path: '/v1/{a}'", "path: '/v1/{b}'"),
        ("path: /v1/a, methods: [GET]", "path: /v1/a, methods: [POST, GET]"),
        ("path: '/v1/{a?}'", "path: /v1"),
        ("prefix: /v1", "prefix: /v1/"),
        ("path: /V1", "path: /v1"),
        ("path: /a, hosts: [x.example]", "path: /a, hosts: [y.example, x.example]"),
    ],
)
def test_two_routes_that_claim_the_same_requests_are_an_error(
    tmp_path: Path, first: str, second: str
) -> None:
    (line,) = routes_said(
        tmp_path, f"match: {{{first}}}, upstream: u", f"match: {{{second}}}, upstream: u"
    )
    assert line.startswith("routes[1].match: routes 'r0' and 'r1' both claim")
    assert line.endswith("(the order of routes never decides)")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("path: '/v1/{a}'", "path: /v1/a"),
        ("path: /v1/a, methods: [GET]", "path: /v1/a"),
        ("path: /v1", "prefix: /v1"),
        ("path: /a, hosts: [x.example]", "path: /a"),
    ],
)
def test_more_specific_route_shadows_nothing(tmp_path: Path, first: str, second: str) -> None:
    assert (
        routes_said(
            tmp_path, f"match: {{{first}}}, upstream: u", f"match: {{{second}}}, upstream: u"
        )
        == []
    )


def test_overlap_is_not_blamed_on_a_route_whose_match_is_broken(tmp_path: Path) -> None:
    printed = routes_said(
        tmp_path,
        "match: {path: /a, methods: [get]}, upstream: u",
        "match: {path: /a}, upstream: u",
    )
    assert len(printed) == 1
    assert "did you mean 'GET'?" in printed[0]


def test_route_that_forwards_has_an_upstream_and_one_that_answers_has_none(tmp_path: Path) -> None:
    assert routes_said(
        tmp_path,
        "match: {path: /a}",
        "match: {path: /b}, handler: introspect, upstream: u, auth: none",
    ) == [
        "routes[0].upstream: required key is missing (who answers this route?)",
        "routes[1].upstream: has no effect: the gateway answers this route itself",
        "routes[1].auth: a public route has no key to tell about",
    ]


def test_public_route_demands_nothing_of_a_key(tmp_path: Path) -> None:
    printed = routes_said(
        tmp_path,
        "match: {path: /a}, upstream: u, auth: none, scopes: [x], environments: [live]",
        more="scopes: {atoms: [x]}\n",
    )
    assert printed == [
        "routes[0].scopes: has no effect: the route is public (`auth: none`)",
        "routes[0].environments: has no effect: the route is public (`auth: none`)",
    ]


def test_names_of_routes_are_unique(tmp_path: Path) -> None:
    text = UPSTREAM + (
        "routes:\n  - {name: a, match: {path: /a}, upstream: u}\n"
        "  - {name: a, match: {path: /b}, upstream: u}\n"
    )
    (found,) = problems(tmp_path, text)
    assert (found.line, found.column, found.path) == (6, 12, "routes[1].name")


@pytest.mark.parametrize(
    ("match", "path", "where"),
    [
        ("path: '/v1/{id}'", "{rewrite: '/x/{other}'}", "rewrite"),
        ("path: '/v1/{id}'", "{rewrite: 'x'}", "rewrite"),
        ("path: '/v1/{id}'", "{strip_prefix: /v2}", "strip_prefix"),
        ("path: '/v1/{id}'", "{strip_prefix: /v1, rewrite: '/{id}'}", "rewrite"),
    ],
)
def test_rewriting_fits_the_pattern(tmp_path: Path, match: str, path: str, where: str) -> None:
    (line,) = routes_said(tmp_path, f"match: {{{match}}}, path: {path}, upstream: u")
    assert line.startswith(f"routes[0].path.{where}: ")


def test_rewriting_by_template_and_prefix_is_fine(tmp_path: Path) -> None:
    assert (
        routes_said(
            tmp_path,
            "match: {path: '/v1/{id}'}, path: {rewrite: '/internal/{id}'}, upstream: u",
            "match: {prefix: /api}, path: {strip_prefix: /api}, upstream: u",
        )
        == []
    )


def deny_said(tmp_path: Path, entry: str, *routes: str) -> list[str]:
    return routes_said(
        tmp_path, *routes, more=f"environments: {{live: {{}}, test: {{deny: ['{entry}']}}}}\n"
    )


def test_denial_of_a_whole_route_is_fine(tmp_path: Path) -> None:
    post = "match: {path: '/v1/{id}', methods: [POST]}, upstream: u"
    get = "match: {path: '/v1/{id}', methods: [GET, HEAD]}, upstream: u"
    assert deny_said(tmp_path, "POST /v1/{id}", post, get) == []
    assert deny_said(tmp_path, "GET /v1/{id}", post, get) == []
    assert deny_said(tmp_path, "* /v1", "match: {prefix: /v1}, upstream: u") == []


def test_denial_that_protects_nothing_is_an_error(tmp_path: Path) -> None:
    route = "match: {path: /v1/jobs, methods: [POST]}, upstream: u"
    assert deny_said(tmp_path, "POST /v1/job", route) == [
        "environments.test.deny[0]: denies nothing: no route answers 'POST /v1/job' "
        "(did you mean '/v1/jobs'?)"
    ]
    assert "denies nothing" in deny_said(tmp_path, "GET /v1/jobs", route)[0]
    assert deny_said(tmp_path, "/v1/jobs", route) == [
        "environments.test.deny[0]: must be a method and a path: `POST /v1/interviews`"
    ]


def test_denial_of_half_a_route_is_an_error(tmp_path: Path) -> None:
    both = "match: {path: /v1/jobs, methods: [GET, POST]}, upstream: u"
    assert deny_said(tmp_path, "POST /v1/jobs", both) == [
        "environments.test.deny[0]: the route 'r0' also answers GET (give POST a route of its own)"
    ]


@pytest.mark.parametrize("host", ["[2001:DB8:0::1]", "[2001:0db8::0001]", "[2001:db8::1]"])
def test_one_address_in_two_spellings_is_one_host(tmp_path: Path, host: str) -> None:
    config = loaded(
        tmp_path,
        f"routes: [{{name: a, match: {{path: /a, hosts: ['{host}']}}, handler: introspect}}]\n",
    )
    assert config.routes[0].match.hosts == ("[2001:db8::1]",)


def test_two_routes_of_one_address_overlap_however_it_is_spelled(tmp_path: Path) -> None:
    routes = [
        f"{{name: {name}, match: {{path: /a, hosts: ['{host}']}}, handler: introspect}}"
        for name, host in (("a", "[2001:db8::1]"), ("b", "[2001:DB8:0::1]"))
    ]
    [text] = said(tmp_path, f"routes: [{', '.join(routes)}]\n")
    assert "both claim" in text


def test_what_is_no_address_between_brackets_is_refused(tmp_path: Path) -> None:
    text = "routes: [{name: a, match: {path: /a, hosts: ['[1:2]']}, handler: introspect}]\n"
    assert "must be an IPv6 address" in said(tmp_path, text)[0]
