"""Mistakes of type, each at its place and in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from tests.config.sample import HEAD, NOTHING, UPSTREAM, problems, said, write

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("listners: {}", "listners: unknown key (did you mean 'listeners'?)"),
        (
            "listeners: {public: {bnd: x}}",
            "listeners.public.bnd: unknown key (did you mean 'bind'?)",
        ),
        (
            "routes: [{name: a, match: {path: /a}, handler: introspect, scope: [x]}]",
            "routes[0].scope: unknown key (did you mean 'scopes'?)",
        ),
        (
            "plans: {a: {rate: {per_fortnight: 5, per_minute: 1}}}",
            "plans.a.rate.per_fortnight: unknown key "
            "(known here: burst, per_day, per_hour, per_minute, per_second)",
        ),
        (
            "plans: {a: {rate: [{per_minute: 1, brust: 5}]}}",
            "plans.a.rate[0].brust: unknown key (did you mean 'burst'?)",
        ),
        ("store: {cache_keys_max: 0}", "store.cache_keys_max: must be at least 1"),
        ("store: {cache_keys_max: many}", "store.cache_keys_max: must be a whole number"),
        (
            "client_address: {ipv6_prefix: 129}",
            "client_address.ipv6_prefix: must be at most 128",
        ),
        ("store: {path: ''}", "store.path: must not be empty"),
        ("store: {path: 5}", "store.path: must be text (put the value in quotes)"),
        ("store: {path: []}", "store.path: must be text"),
        (
            "store: {path: }",
            "store.path: has no value (write one, or remove the key to get the default)",
        ),
        ("store: {poll: soon}", "store.poll: is not a duration: write 30s, 5m, 12h, 30d, 250ms, "
         "PT30S, P30D or a number of seconds"),
        ("store: [x]", "store: must be a mapping"),
        ("plans: [x]", "plans: must be a mapping"),
        ("routes: {a: b}", "routes: must be a list"),
        ("listeners: {public: {proxy_protocol: 'yes'}}",
         "listeners.public.proxy_protocol: must be true or false"),
        (
            "dialect: {errors: jobhiv}",
            "dialect.errors: must be 'problem', 'hirepanda', 'jobhive', 'instaview' or "
            "'instaview_nest' (did you mean 'jobhive'?)",
        ),
        ("dialect: {rate_headers: []}", "dialect.rate_headers: must not be empty"),
        (
            "upstreams: {'a b': {targets: ['http://x']}}",
            "upstreams.'a b': must be a name: letters, digits, `.`, `_` and `-`, at most 64 "
            "characters",
        ),
        ("upstreams: {a: {}}", "upstreams.a.targets: required key is missing"),
        (
            "upstreams: {a: {targets: ['ftp://x']}}",
            "upstreams.a.targets[0]: must be an `http://` or `https://` URL or `http+unix:/path`",
        ),
        ("routes: [{match: {path: /a}, handler: introspect}]",
         "routes[0].name: required key is missing"),
        ("plans: {a: }", "plans.a: has no value (write one, or remove the key to get the default)"),
        ("scopes: {atoms: [a], bundles: {b: ['a b']}}",
         "scopes.bundles.b[0]: must be an atom, a bundle or a wildcard in which `*` stands for a "
         "whole segment"),
        ("templates: {a: {tags: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u]}}",
         "templates.a.tags: must have at most 20 entries"),
        ("bootstrap: {tenants: [{id: a, name: '" + "x" * 101 + "'}]}",
         "bootstrap.tenants[0].name: must have at most 100 characters"),
    ],
)  # fmt: skip
def test_mistake_is_explained(tmp_path: Path, text: str, line: str) -> None:
    assert said(tmp_path, text) == [line]


def test_unknown_and_missing_keys_stand_where_their_key_stands(tmp_path: Path) -> None:
    found = problems(tmp_path, "upstreams:\n  a:\n    tragets: [x]\n")
    assert [(p.line, p.column, p.path) for p in found] == [
        (4, 3, "upstreams.a.targets"),
        (5, 5, "upstreams.a.tragets"),
    ]


def test_section_whose_keys_are_all_commented_out_is_the_default(tmp_path: Path) -> None:
    assert said(tmp_path, "store:\n  # path: x\nlisteners:\n  public:\n") == []


def test_empty_limits_and_empty_allowlist_are_not_taken_for_none(tmp_path: Path) -> None:
    text = (
        UPSTREAM
        + "plans: {p: }\nroutes: [{name: a, match: {path: /a}, upstream: u, ip_allowlist: }]"
    )
    assert [line.partition(":")[0] for line in said(tmp_path, text)] == [
        "plans.p",
        "routes[0].ip_allowlist",
    ]


def test_version_and_peppers_are_required(tmp_path: Path) -> None:
    _, found = check(write(tmp_path, "dialect: {errors: x}\n"), NOTHING)
    assert [problem.path for problem in found] == ["version", "peppers", "dialect.errors"]
    _, found = check(write(tmp_path, HEAD.replace("version: 1", "version: 2")), NOTHING)
    assert [str(p).partition(": ")[2] for p in found] == ["version: must be 1"]


@pytest.mark.parametrize("text", ["- a\n", "text\n", "5\n"])
def test_file_must_be_a_mapping(tmp_path: Path, text: str) -> None:
    _, (found,) = check(write(tmp_path, text), NOTHING)
    assert found.message == "the configuration must be a mapping"


def test_rules_still_see_what_is_not_broken(tmp_path: Path) -> None:
    text = """
upstreams:
  u: {targets: ["http://127.0.0.1:1"], timeout: {connect: never}}
scopes: {atoms: [a, 5, a]}
routes:
  - {name: one, match: {path: /one, methods: [5]}, upstream: u, scopes: [b]}
  - {name: two, match: {path: 5}, upstream: x}
  - {name: three, match: {path: /three}, upstream: v}
  - 7
  - {name: three, match: {path: /four}, upstream: u}
"""
    assert [problem.path for problem in problems(tmp_path, text)] == [
        "upstreams.u.timeout.connect",
        "scopes.atoms[1]",
        "scopes.atoms[2]",
        "routes[0].match.methods[0]",
        "routes[0].scopes[0]",
        "routes[1].match.path",
        "routes[1].upstream",
        "routes[2].upstream",
        "routes[3]",
        "routes[4].name",
    ]


def test_name_of_a_broken_entry_counts_as_declared(tmp_path: Path) -> None:
    text = "upstreams: {u: {}}\nplans: {p: 5}\nroutes: [{name: a, match: {path: /a}, upstream: u, plan: p}]"
    assert [problem.path for problem in problems(tmp_path, text)] == [
        "upstreams.u.targets",
        "plans.p",
    ]


def test_names_are_not_undeclared_when_their_section_cannot_be_read(tmp_path: Path) -> None:
    text = "upstreams: [u]\nroutes: [{name: a, match: {path: /a}, upstream: u}]"
    assert said(tmp_path, text) == ["upstreams: must be a mapping"]


def test_list_is_not_called_empty_because_its_entries_are_wrong(tmp_path: Path) -> None:
    assert len(said(tmp_path, "upstreams: {u: {targets: [x, y]}}")) == 2


def test_unresolved_value_is_told_once_and_nothing_follows_from_it(tmp_path: Path) -> None:
    text = (
        "upstreams: {u: {targets: '${T}'}}\nroutes: [{name: a, match: {path: '${P}'}, upstream: u}]"
    )
    assert [line.partition(":")[0] for line in said(tmp_path, text)] == [
        "upstreams.u.targets",
        "routes[0].match.path",
    ]


def test_interpolated_values_are_typed_by_their_target(tmp_path: Path) -> None:
    environ = {"N": "7", "F": "true", "D": "5m", "S": "1MiB", "P": "8443", "E": "jobhive"}
    text = (
        "listeners: {public: {backlog: '${N}', idle_timeout: '${D}', head_bytes_max: '${S}', "
        "bind: '127.0.0.1:${P}'}}\nforwarding: {forwarded: '${F}'}\ndialect: {errors: '${E}'}\n"
        "store: {path: '${N}'}\n"
    )
    config, found = check(write(tmp_path, HEAD + text), environ)
    assert found == []
    assert config is not None
    public = config.listeners.public
    assert (public.backlog, public.idle_timeout, public.head_bytes_max) == (7, 300.0, 2**20)
    assert public.bind == "127.0.0.1:8443"
    assert config.forwarding.forwarded is True
    assert config.dialect.errors == "jobhive"
    assert config.store.path == "7"


@pytest.mark.parametrize(
    "text",
    [
        "dialect: {errors: '${S}'}",
        "store: {poll: '${S}'}",
        "store: {cache_keys_max: '${S}'}",
        "listeners: {public: {bind: '${S}'}}",
        "routes: [{name: '${S} ', match: {path: '${S}'}, upstream: '${S}', plan: '${S}'}]",
        "routes: [{name: a, match: {path: /a}, upstream: '${S}', scopes: ['${S}', 'x ${S}']}]",
        "scopes: {atoms: ['${S}', '${S}'], bundles: {b: {includes: ['${S}'], add: ['${S}x']}}}",
        "environments: {live: {aliases: ['${S}'], deny: ['${S}', 'GET ${S}']}}",
        "upstreams: {u: {targets: ['${S}', 'http://u:${S}@x', 'http://x/${S}', 'http://x']}}",
        "client_address: {trusted_proxies: ['${S}']}",
        "listeners: {admin: {bind: '10.0.0.1:1', token: '${T}'}}",
        "bootstrap: {keys: [{id: a, tenant: '${S}', name: a, format: '${S}', environment: '${S}', "
        "hash: '${S}', pepper: '${S}'}]}",
        "routes: [{name: a, match: {path: /a}, upstream: u, "
        "headers: {request: {set: {Host: '${S}', A: '${S}\\n'}}}}]",
    ],
)
def test_no_message_holds_what_came_from_outside(tmp_path: Path, text: str) -> None:
    printed = "\n".join(said(tmp_path, text, {"S": SECRET, "T": SECRET[:20]}))
    assert printed
    assert SECRET[:20] not in printed


def test_no_message_holds_a_pepper(tmp_path: Path) -> None:
    text = f"version: 1\npeppers: {{current: {SECRET}, p1: [{SECRET}], p2: {SECRET[:31]}, p3: 5}}\n"
    _, found = check(write(tmp_path, text), NOTHING)
    assert len(found) == 4
    assert not any(SECRET[:20] in str(problem) for problem in found)
