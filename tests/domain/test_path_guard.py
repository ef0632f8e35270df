"""The proof that no spelling of a path reaches an upstream under another route's scope."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.paths import NEVER, OPTIONAL, QUIRK_NAMES, read_path
from gateway.domain.request import RequestHead
from gateway.domain.routes import RouteTable, find_overlaps
from tests.domain.backends import Backend, Pattern, lookup

BACKENDS = [
    Backend(),
    Backend(decodings=0),
    Backend(decodings=2),
    Backend(decodings=2, splits_decoded=True),
    Backend(splits_decoded=True),
    Backend(splits_decoded=True, cuts_query=True),
    Backend(ignores_case=True),
    Backend(merges_slashes=True),
    Backend(resolves_dots=True),
    Backend(splits_decoded=True, resolves_dots=True),
    Backend(cuts_parameters="before"),
    Backend(cuts_parameters="after"),
    Backend(cuts_parameters="before", resolves_dots=True),
    Backend(cuts_parameters="before", splits_decoded=True),
    Backend(cuts_parameters="before", splits_decoded=True, decodings=2),
    Backend(strips_ends=True),
    Backend(
        splits_decoded=True, turns_backslashes=True, strips_ends=True, merges_slashes=True,
        resolves_dots=True, ignores_case=True,
    ),
]  # fmt: skip

any_backend = st.builds(
    Backend,
    decodings=st.integers(0, 2),
    splits_decoded=st.booleans(),
    cuts_query=st.booleans(),
    cuts_parameters=st.sampled_from(["", "before", "after"]),
    strips_ends=st.booleans(),
    merges_slashes=st.booleans(),
    resolves_dots=st.booleans(),
    turns_backslashes=st.booleans(),
    ignores_case=st.booleans(),
)

WORDS = ["a", "b", "ab", "A", "admin"]
ENDS = ["exact", "exact", "rest", "prefix", "[a-z]+", "[A-Z]+", "(a|B).*", "[^/]+/[^/]+"]


@st.composite
def route_tables(draw: st.DrawFn) -> list[Pattern]:
    patterns: list[Pattern] = []
    for at in range(draw(st.integers(2, 6))):
        end = draw(st.sampled_from(ENDS))
        is_expression = end not in {"exact", "rest", "prefix"}
        part = st.sampled_from(WORDS if is_expression else [*WORDS, None, None, None])
        segments = tuple(draw(st.lists(part, min_size=int(is_expression), max_size=3)))
        allowed = draw(st.sampled_from([0, OPTIONAL, OPTIONAL, *map(int, QUIRK_NAMES.values())]))
        methods = draw(
            st.sampled_from([frozenset(), frozenset(), frozenset({"GET"}), frozenset({"POST"})])
        )
        pattern = Pattern(f"r{at}", segments, end, allowed, methods)
        if not find_overlaps([each.route for each in [*patterns, pattern]]):
            patterns.append(pattern)
    return patterns


TRICKS = [
    "/", "//", "/./", "/../", "/%2e/", "/%2e%2e/", "/.%2e/", "/..;/", "%2f", "%2F", "%252f", "%5c",
    "\\", ";", ";x", "%3b", "%253b", ".", "..", "%2e", "%252e", "%20", "%00", "%3f", "%23", "%61",
    "%41", "%2561", "%2541", "%", "%25", "%2525", "a", "A", "b", "B", "ab", "admin", "Admin",
    "%61dmin", "%ef%bc%8f", "%c4%b1",
]  # fmt: skip

wild_paths = st.lists(st.sampled_from(TRICKS), max_size=7).map(lambda parts: "/" + "".join(parts))


@st.composite
def disguised_paths(draw: st.DrawFn, patterns: list[Pattern]) -> str:
    """Take a path that some route means and disguise it a little: what an attacker does."""
    victim = draw(st.sampled_from(patterns))
    word = st.sampled_from([*WORDS, "x"])
    pieces = [part or draw(word) for part in victim.segments]
    if victim.end != "exact":
        pieces += draw(st.lists(word, max_size=3))
    pieces = pieces or [draw(word)]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pieces) - 1))
        pieces[at] = draw(st.sampled_from(DISGUISES))(pieces[at])
    path = "/" + pieces[0]
    for piece in pieces[1:]:
        path += draw(st.sampled_from(["/"] * 6 + ["//", "%2f", "%2F", "%252f", "/;x/"])) + piece
    return path + draw(st.sampled_from(["", "", "", "/", "//"]))


def escape_first(piece: str) -> str:
    return f"%{ord(piece[0]):02x}{piece[1:]}" if piece else piece


DISGUISES: list[Callable[[str], str]] = [
    str.upper,
    str.swapcase,
    escape_first,
    lambda piece: escape_first(piece).replace("%", "%25"),
    lambda piece: piece + ";x",
    lambda piece: piece + "%3bx",
    lambda piece: piece + ";x%2fb",
    lambda piece: ";x/" + piece,
    lambda piece: piece + ".",
    lambda piece: piece + "%20",
    lambda piece: piece + "%252e",
    lambda piece: piece + "%3fx",
    lambda piece: piece + "%23/b",
    lambda piece: piece + "%2fb",
    lambda piece: piece + "%252fb",
    lambda piece: piece + "/../b",
    lambda piece: "..;/" + piece,
]


@st.composite
def hostile_requests(draw: st.DrawFn) -> tuple[list[Pattern], str]:
    patterns = draw(route_tables())
    return patterns, draw(st.one_of(*[disguised_paths(patterns)] * 4, wild_paths))


def check(patterns: list[Pattern], raw: str, method: str, backends: list[Backend]) -> bool:
    """Assert the guarantee for one request; return whether it was admitted."""
    raw = raw.partition("?")[0]
    path, quirks = read_path(raw.encode())
    head = RequestHead(method=method, target=raw.encode(), path=path, quirks=quirks)
    answer = RouteTable([pattern.route for pattern in patterns]).match(head)
    exact = lookup(patterns, Backend().segments(raw), method, ignores_case=False)
    if isinstance(answer, Denial):
        if answer.reason is Reason.NO_ROUTE:
            assert exact is None
        if answer.reason is Reason.METHOD_NOT_ALLOWED:
            assert exact == "405"
        if not head.quirks and not any(map(has_case_or_expression, patterns)):
            assert answer.reason is not Reason.AMBIGUOUS_PATH
        return False
    admitted = answer.route.name
    assert exact == admitted
    assert not head.quirks & NEVER
    for backend in backends:
        meaning = backend.segments(raw)
        found = lookup(patterns, meaning, method, ignores_case=backend.ignores_case)
        # No route: an operator vouched for it, or only an expression knows this very spelling.
        is_unlisted = found is None and (
            head.quirks & OPTIONAL or (backend.ignores_case and answer.route.kind == "regex")
        )
        assert found == admitted or is_unlisted, (backend, meaning, found)
    return True


def has_case_or_expression(pattern: Pattern) -> bool:
    return pattern.end not in {"exact", "rest", "prefix"} or "A" in pattern.segments


SPLIT = [
    Pattern("read", ("a", None), "exact", OPTIONAL, frozenset()),
    Pattern("admin", ("a", "admin"), "exact", 0, frozenset()),
    Pattern("deep", ("a", "b", "ab"), "prefix", 0, frozenset()),
]


STRICT = [
    Pattern("strict", ("a", "a"), "exact", 0, frozenset()),
    Pattern("odd", ("b;y", "b"), "exact", OPTIONAL, frozenset()),
    Pattern("loose", (), "rest", OPTIONAL, frozenset()),
]


@settings(max_examples=1500, deadline=None)
@given(
    hostile_requests(),
    st.sampled_from(["GET", "GET", "HEAD", "POST"]),
    st.lists(any_backend, max_size=4),
)
@example((SPLIT, "/a/%61dmin"), "GET", [])
@example((SPLIT, "/a/b%2fab"), "GET", [])
@example((SPLIT, "/a/b%252fAB;x"), "GET", [])
@example((SPLIT, "/a//admin."), "GET", [])
@example((SPLIT, "/a/admin%3fx"), "GET", [])
@example((STRICT, "/a%2fa;x%2fb"), "GET", [])
@example((STRICT, "/a%252fa;x%252fb"), "GET", [])
@example((STRICT, "/b%3by/b;z%2fc"), "GET", [])
@example((STRICT, "/b%253by/b;z%252fc"), "GET", [])
@example((STRICT, "/%61%2f%61;x%2fb"), "GET", [])
def test_admitted_path_means_the_matched_route_to_every_backend(
    request_: tuple[list[Pattern], str], method: str, backends: list[Backend]
) -> None:
    patterns, raw = request_
    check(patterns, raw, method, [*BACKENDS, *backends])


@pytest.mark.parametrize(
    "raw", ["/a/x", "/a/X", "/a/x%40y", "/a/x;y", "/a/x%2fy", "/a/x.", "/a/b/ab/c", "/a/x%3fy"]
)
def test_guard_admits_what_means_one_route_however_it_is_read(raw: str) -> None:
    assert check(SPLIT, raw, "GET", BACKENDS)


def test_model_would_notice_a_missing_guard() -> None:
    """The backends of the proof do reach other routes by the refused spellings."""
    for raw, backend in [
        ("/a/Admin", Backend(ignores_case=True)),
        ("/a/%2561dmin", Backend(decodings=2)),
        ("/a/admin;x", Backend(cuts_parameters="before")),
        ("/a/admin.", Backend(strips_ends=True)),
        ("/a/admin%3fx", Backend(cuts_query=True)),
    ]:
        meaning = backend.segments(raw)
        assert lookup(SPLIT, meaning, "GET", ignores_case=backend.ignores_case) == "admin"
        assert not check(SPLIT, raw, "GET", [])
