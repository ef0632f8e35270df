from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.match import Kind, PathTable, Shape, parse_pattern, trim
from gateway.domain.paths import Quirk


class Names:
    def __init__(self) -> None:
        self.name = ""


def table_of(*patterns: tuple[Kind, str], is_folded: bool = False) -> PathTable[Names]:
    table = PathTable(Names, is_folded=is_folded)
    for kind, pattern in patterns:
        for shape in parse_pattern(pattern, kind):
            table.leaf(shape).name = pattern
    return table


def find(table: PathTable[Names], path: str) -> str | None:
    leaf = table.find(path)
    return None if leaf is None else leaf.name


@pytest.mark.parametrize(
    ("kind", "pattern", "matching", "others"),
    [
        ("path", "/", ["/"], ["/a", "//"]),
        ("path", "/v1/jobs", ["/v1/jobs", "/v1/jobs/"], ["/v1", "/v1/jobs/1", "/v1/jobs//", "/"]),
        ("path", "/v1/jobs/", ["/v1/jobs", "/v1/jobs/"], ["/v1/jobs/1"]),
        ("path", "/v1/{id}", ["/v1/1", "/v1/1/"], ["/v1", "/v1/", "/v1//", "/v1/1/2"]),
        ("path", "/v1/{id?}", ["/v1", "/v1/", "/v1/1", "/v1/1/"], ["/v1//", "/v1/1/2", "/"]),
        ("path", "/v1/{a}/x/{b}", ["/v1/1/x/2"], ["/v1/1/y/2", "/v1/1/x"]),
        ("path", "/v1/{rest...}", ["/v1/1", "/v1/1/2/3", "/v1/1/"], ["/v1", "/v1/", "/v2/1"]),
        ("prefix", "/v1/files", ["/v1/files", "/v1/files/", "/v1/files/x/y"], ["/v1/filesystem"]),
        ("prefix", "/", ["/", "/a", "/a/b"], []),
        ("prefix", "/{tenant}/files", ["/a/files", "/b/files/x"], ["/files", "/a/b/files"]),
        ("regex", "^/v1/r/[0-9]+$", ["/v1/r/12", "/v1/r/12/"], ["/v1/r/", "/v1/r/1/2", "/v1/r/a"]),
        ("regex", "/v1/r/(a|b)", ["/v1/r/a"], ["/v1/r/ab", "/v1/r"]),
        ("regex", r"^/v1\.0/x\-y/.+", ["/v1.0/x-y/1"], ["/v1x0/x-y/1"]),
        ("regex", "^/.*", ["/", "/a/b"], []),
        ("regex", "^/v1/ab?", ["/v1/a", "/v1/ab"], ["/v1/b"]),
        ("regex", "^/v1/?", ["/v1", "/v1/"], ["/v1/x"]),
        ("path", "/v1/my file", ["/v1/my file"], ["/v1/my%20file"]),
        ("path", "/v1/my%20file", ["/v1/my file"], ["/v1/my%20file"]),
        ("path", "/v1/100%25", ["/v1/100%25"], ["/v1/100"]),
    ],
)
def test_pattern_matches_exactly_its_paths(
    kind: Kind, pattern: str, matching: list[str], others: list[str]
) -> None:
    table = table_of((kind, pattern))
    assert [path for path in matching if find(table, path) is None] == []
    assert [path for path in others if find(table, path) is not None] == []


PRECEDENCE: list[tuple[Kind, str]] = [
    ("path", "/v1/jobs"),
    ("path", "/v1/jobs/export"),
    ("path", "/v1/jobs/{id}"),
    ("path", "/v1/jobs/{id}/log"),
    ("path", "/v1/{kind}/all/x"),
    ("regex", "^/v1/jobs/[a-z]+/[a-z]+"),
    ("regex", "^/v1/jobs/x+/[a-z]+/y"),
    ("regex", "^/v1/jobs/[x]+/[a-z]+/y"),
    ("path", "/v1/jobs/{rest...}"),
    ("prefix", "/v1/jobs"),
    ("prefix", "/v1"),
    ("prefix", "/"),
]


@given(st.permutations(PRECEDENCE))
def test_precedence_does_not_depend_on_the_order_of_patterns(
    patterns: list[tuple[Kind, str]],
) -> None:
    table = table_of(*patterns)
    expected = {
        "/v1/jobs": "/v1/jobs",
        "/v1/jobs/export": "/v1/jobs/export",
        "/v1/jobs/1": "/v1/jobs/{id}",
        "/v1/jobs/export/log": "/v1/jobs/{id}/log",
        "/v1/jobs/all": "/v1/jobs/{id}",
        "/v1/jobs/all/x": "^/v1/jobs/[a-z]+/[a-z]+",
        "/v1/users/all/x": "/v1/{kind}/all/x",
        "/v1/jobs/x/a/y": "^/v1/jobs/[x]+/[a-z]+/y",  # the longer of two expressions
        "/v1/jobs/1/2": "/v1/jobs/{rest...}",
        "/v1/users": "/v1",
        "/v2": "/",
    }
    assert {path: find(table, path) for path in expected} == expected


def test_choice_that_leads_nowhere_is_taken_back() -> None:
    table = table_of(
        ("path", "/a/b/c"), ("path", "/a/{x}/d"), ("path", "/{y}/b/e"), ("prefix", "/")
    )
    assert find(table, "/a/b/d") == "/a/{x}/d"
    assert find(table, "/a/b/e") == "/{y}/b/e"
    assert find(table, "/a/b/f") == "/"


def test_same_pattern_with_other_names_is_one_leaf() -> None:
    table = PathTable(Names)
    for kind, one, two in [
        ("path", "/a/{x}", "/a/{y}"),
        ("path", "/b/{x...}", "/b/{y...}"),
        ("prefix", "/c/{x}", "/c/{y}"),
        ("regex", "^/d/(.*)", "/d/(.*)"),
    ]:
        (first,) = parse_pattern(one, kind)  # type: ignore[arg-type]
        (second,) = parse_pattern(two, kind)  # type: ignore[arg-type]
        assert table.leaf(first) is table.leaf(second)
        assert first.key == second.key


def test_folded_table_ignores_case() -> None:
    table = table_of(("path", "/V1/Jobs"), ("regex", "^/V1/[A-Z]+x"), is_folded=True)
    assert find(table, "/v1/jobs") == "/V1/Jobs"
    assert find(table, "/v1/abcx") == "^/V1/[A-Z]+x"
    (pattern,) = parse_pattern("/V1/{Id}", "path")
    assert pattern.folded_key == (("v1", None), "exact", "")
    assert not pattern.is_folded


def test_folded_table_keeps_what_an_expression_matches_with_case() -> None:
    table = table_of(("regex", "^/slugs/[^A-Z]+"), is_folded=True)
    assert find(table, "/slugs/abc") == "^/slugs/[^A-Z]+"


def test_folding_is_certain_only_without_expressions() -> None:
    assert parse_pattern("/v1/{Id}", "path")[0].is_folded
    assert not parse_pattern("/v1/[a-z]", "regex")[0].is_folded


@pytest.mark.parametrize(
    ("kind", "pattern", "message"),
    [
        ("path", "v1", "must start with '/'"),
        ("path", "", "must start with '/'"),
        ("path", "/v1//jobs", "no request may contain the segment ''"),
        ("path", "/v1/../jobs", "no request may contain"),
        ("path", "/v1/%2e%2e/jobs", "no request may contain"),
        ("path", "/v1/a\\b", "no request may contain"),
        ("path", "/v1/100%", "no request may contain"),
        ("path", "/v1/a;b", "needs parameters to be allowed"),
        ("path", "/v1/a%2Fb", "needs encoded_slash to be allowed"),
        ("path", "/v1/a.", "needs trailing_dot to be allowed"),
        ("path", "/v1/{id}.pdf", "must be a whole segment"),
        ("path", "/v1/{}", "must be a whole segment"),
        ("path", "/v1/{id?}/x", "only the last segment"),
        ("path", "/v1/{rest...}/x", "only the last segment"),
        ("path", "/v1/{id}/{id}", "one parameter name twice"),
        ("prefix", "/v1/{rest...}", "a prefix already matches"),
        ("prefix", "/v1/{id?}", "a prefix already matches"),
        ("regex", "^/v1/(", "is not a regular expression"),
        ("regex", "^/v1/a|/v2/b", "put the alternatives into parentheses"),
        ("regex", "^[a-z]+/x", "must start with a literal directory"),
        ("regex", "^v1/x", "must start with a literal directory"),
        ("regex", "^/?v1", "must start with a literal directory"),
        ("regex", "^//v1/x", "must start with a literal directory"),
    ],
)
def test_wrong_pattern_is_refused_with_a_reason(kind: Kind, pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_pattern(pattern, kind)


@pytest.mark.parametrize(
    "expression", ["/v1/(a|b)", r"/v1/a\|b", "/v1/[a|b]", "/v1/[]|]", r"/v1/[^]\]|]"]
)
def test_choice_inside_of_something_is_allowed(expression: str) -> None:
    assert parse_pattern(expression, "regex")[0].end == "regex"


def test_allowed_quirks_make_literals_possible() -> None:
    allowed = int(Quirk.PARAMETER | Quirk.ENCODED_SLASH)
    shapes = parse_pattern("/v1/a;b/c%2fd", "path", allowed)
    assert shapes == (Shape(segments=("v1", "a;b", "c%2Fd")),)


def test_shape_knows_its_parameters() -> None:
    (rest,) = parse_pattern("/{a}/x/{b...}", "path")
    assert (rest.segments, rest.end, rest.names, rest.rest_name) == (
        (None, "x"),
        "rest",
        (("a", 0),),
        "b",
    )
    without, whole = parse_pattern("/{a}/{b?}", "path")
    assert (without.segments, without.names) == ((None,), (("a", 0),))
    assert (whole.segments, whole.names) == ((None, None), (("a", 0), ("b", 1)))


def test_only_one_slash_at_the_end_is_dropped() -> None:
    assert [trim(path) for path in ["/", "//", "/a/", "/a//"]] == ["/", "//", "/a", "/a/"]


@given(st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), max_size=5), st.data())
def test_template_finds_every_path_made_from_it(parts: list[str], data: Any) -> None:
    pattern = "/" + "/".join(
        f"{part[:-1]}{at}}}" if part[0] == "{" else part for at, part in enumerate(parts)
    )
    table = table_of(("path", pattern))
    value = st.text("abc%2F", min_size=1, max_size=3)
    path = "/" + "/".join(data.draw(value) if part[0] == "{" else part for part in parts)
    assert find(table, path) == pattern
    assert find(table, path + "/x" if parts else "/x") is None


@pytest.mark.parametrize(
    ("pattern", "kind", "names"),
    [
        ("/v1/jobs", "path", {()}),
        ("/v1/{a}/x/{b}", "path", {("a", "b")}),
        ("/v1/{a}/{b?}", "path", {("a",), ("a", "b")}),
        ("/v1/{a}/{rest...}", "path", {("a", "rest")}),
        ("/v1/{a}", "prefix", {("a",)}),
        ("/v1/(?P<a>[0-9]+)", "regex", {("a",)}),
    ],
)
def test_a_pattern_tells_the_names_of_its_parameters(
    pattern: str, kind: Kind, names: set[tuple[str, ...]]
) -> None:
    assert {shape.parameter_names for shape in parse_pattern(pattern, kind)} == names
