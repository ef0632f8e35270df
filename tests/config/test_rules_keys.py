"""Peppers, formats, environments, and keys that the file declares."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import check
from tests.config.sample import NOTHING, PEPPER, said, write


def peppers_said(tmp_path: Path, peppers: str) -> list[str]:
    _, found = check(write(tmp_path, f"version: 1\npeppers: {peppers}\n"), NOTHING)
    return [str(problem).partition(": ")[2] for problem in found]


def test_short_pepper_is_refused(tmp_path: Path) -> None:
    assert peppers_said(tmp_path, f"{{current: p1, p1: {PEPPER[:31]}}}") == [
        "peppers.p1: has 31 bytes and needs at least 32 (make one with `openssl rand -hex 32`)"
    ]
    assert peppers_said(tmp_path, f"{{current: p1, p1: '{'ä' * 16}'}}") == []


def test_current_pepper_is_among_the_peppers(tmp_path: Path) -> None:
    assert peppers_said(tmp_path, f"{{current: p2, p1: {PEPPER}}}") == [
        "peppers.current: does not name one of the peppers (known here: p1)"
    ]
    assert peppers_said(tmp_path, "{current: p1}") == [
        "peppers.current: does not name one of the peppers"
    ]
    assert peppers_said(tmp_path, f"{{p1: {PEPPER}}}") == [
        "peppers.current: required key is missing"
    ]


def test_id_of_a_pepper_is_a_name(tmp_path: Path) -> None:
    (line,) = peppers_said(tmp_path, f"{{current: p1, p1: {PEPPER}, 'p 2': {PEPPER}}}")
    assert "the id of a pepper is letters" in line


def test_two_formats_never_claim_the_same_tokens(tmp_path: Path) -> None:
    text = """
key_formats:
  a: {prefix: sk, environments: [live]}
  b: {prefix: sk, environments: [test, live]}
  c: {prefix: "", environments: [live], checksum: none}
  d: {prefix: "", environments: [test], checksum: none}
"""
    assert said(tmp_path, text) == [
        "key_formats.b.prefix: the key format 'a' already claims tokens of `sk_live_`",
        "key_formats.d.prefix: the key format 'c' already claims tokens of any shape",
    ]


def test_one_prefix_may_serve_different_environments_in_two_formats(tmp_path: Path) -> None:
    text = "key_formats: {a: {prefix: sk, environments: [live]}, b: {prefix: sk, environments: [test]}}"
    assert said(tmp_path, text) == []


def test_format_that_makes_weak_or_impossible_keys_is_refused(tmp_path: Path) -> None:
    text = """
key_formats:
  a: {prefix: "", environments: [live]}
  b: {prefix: bb, environments: [test, test], random: 21}
  c: {prefix: cc, environments: []}
"""
    assert said(tmp_path, text) == [
        "key_formats.a.checksum: foreign tokens have no checksum of ours: write `checksum: none`",
        "key_formats.b.environments[1]: the environment 'test' is used twice",
        "key_formats.b.random: must be at least 22",
        "key_formats.c.environments: must not be empty",
    ]


def test_alias_means_one_environment(tmp_path: Path) -> None:
    text = "environments: {live: {aliases: [prod, test]}, test: {aliases: [prod]}}"
    assert said(tmp_path, text) == [
        "environments.live.aliases[1]: 'test' is the name of an environment",
        "environments.test.aliases[0]: 'prod' already means the environment 'live'",
    ]


def test_environment_that_no_format_offers_makes_a_route_unreachable(tmp_path: Path) -> None:
    text = """
environments: {live: {}, test: {}, dev: {}}
routes: [{name: a, match: {path: /a}, handler: introspect, environments: [live, dev]}]
templates: {t: {environment: dev, key_format: tollhouse}, v: {environment: dev}}
"""
    assert said(tmp_path, text) == [
        "routes[0].environments[1]: no key format offers the environment 'dev' "
        "(no key could call this route)",
        "templates.t.environment: the key format 'tollhouse' does not offer 'dev' "
        "(known here: live, test)",
    ]


def test_declared_keys_fit_what_is_declared(tmp_path: Path) -> None:
    key = (
        "    - {{id: {}, tenant: {}, name: K, format: tollhouse, environment: {}, hash: {}, pepper: {}, "
        "scopes: [{}]}}\n"
    )
    text = (
        "scopes: {atoms: [x]}\nbootstrap:\n"
        "  tenants: [{id: t, name: T}, {id: t, name: U}]\n  keys:\n"
        + key.format("a", "t", "live", "'" + "0" * 64 + "'", "p1", "x")
        + key.format("a", "tt", "dev", "'" + "0" * 64 + "'", "p9", "y")
        + key.format("b", "t", "live", "'" + "0" * 63 + "'", "p1", "x")
    )
    printed = said(tmp_path, text)
    assert [line.partition(":")[0] for line in printed] == [
        "bootstrap.tenants[1].id",
        "bootstrap.keys[1].id",
        "bootstrap.keys[1].tenant",
        "bootstrap.keys[1].environment",
        "bootstrap.keys[1].hash",
        "bootstrap.keys[1].pepper",
        "bootstrap.keys[1].scopes[0]",
        "bootstrap.keys[2].hash",
    ]
    assert "64 lower-case hexadecimal digits" in printed[-1]
    assert "0" * 8 not in "".join(printed)
