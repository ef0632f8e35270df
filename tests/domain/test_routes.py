"""Routes, and the proof that no spelling of a path reaches an upstream under another route's scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.match import Kind
from gateway.domain.paths import NEVER, OPTIONAL, QUIRK_NAMES, Quirk, read_path
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match, Route, RouteTable, compile_route, find_overlaps


def route(
    name: str, pattern: str, *methods: str, kind: Kind = "path", hosts: tuple[str, ...] = (),
    allowed: Quirk = Quirk(0), rewrite: str = "",
) -> Route:  # fmt: skip
    return Route(
        name=name,
        pattern=pattern,
        kind=kind,
        methods=frozenset(methods),
        hosts=hosts,
        allowed_quirks=allowed,
        rewrite=rewrite,
    )


def head_of(raw: str, method: str = "GET", host: str = "api.example.com") -> RequestHead:
    target = raw.encode()
    path, quirks = read_path(target.partition(b"?")[0])
    return RequestHead(method=method, target=target, path=path, quirks=quirks, host=host)


def ask(table: RouteTable, raw: str, method: str = "GET", host: str = "api.example.com") -> str:
    """Return the route's name, or the reason of the refusal."""
    answer = table.match(head_of(raw, method, host))
    return answer.reason if isinstance(answer, Denial) else answer.route.name


# --- what leads where ---


JOBS = (
    route("jobs.list", "/v1/jobs", "GET"),
    route("jobs.create", "/v1/jobs", "POST"),
    route("jobs.read", "/v1/jobs/{id}", "GET"),
    route("jobs.export", "/v1/jobs/export", "POST"),
    route("files", "/v1/files", "GET", kind="prefix"),
    route("rest", "/", kind="prefix", hosts=("*.internal",)),
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/jobs", "jobs.list"),
        ("GET", "/v1/jobs/", "jobs.list"),
        ("GET", "/v1/jobs?x=../..", "jobs.list"),
        ("POST", "/v1/jobs", "jobs.create"),
        ("HEAD", "/v1/jobs", "jobs.list"),
        ("DELETE", "/v1/jobs", Reason.METHOD_NOT_ALLOWED),
        ("GET", "/v1/jobs/1", "jobs.read"),
        ("POST", "/v1/jobs/export", "jobs.export"),
        ("GET", "/v1/jobs/export", Reason.METHOD_NOT_ALLOWED),
        ("GET", "/v1/jobs/Export", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/jobs/EX", "jobs.read"),
        ("GET", "/v1/jobs/%65xport", Reason.METHOD_NOT_ALLOWED),
        ("POST", "/v1/jobs/%65xport", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/jobs/a%40b", "jobs.read"),
        ("GET", "/v1/%6aobs", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/jobs/export%3f", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/Jobs", Reason.NO_ROUTE),
        ("GET", "/v1/nothing", Reason.NO_ROUTE),
        ("GET", "/v1/files/a/b", "files"),
        ("GET", "/v1/files/a%3fb", "files"),
        ("GET", "/v1/filesystem", Reason.NO_ROUTE),
        ("GET", "/v1/files/../jobs", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files/%2e%2e/jobs", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files//x", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files/a%2fb", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files/a;b", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files/a.", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1/files/a%2541", Reason.AMBIGUOUS_PATH),
        ("GET", "/v1//files", Reason.NO_ROUTE),
        ("GET", "*", Reason.AMBIGUOUS_PATH),
    ],
)
def test_request_leads_to_its_route_or_to_a_reason(method: str, path: str, expected: str) -> None:
    assert ask(RouteTable(JOBS), path, method) == expected
    assert ask(RouteTable(JOBS[::-1]), path, method) == expected


def test_405_names_the_methods_of_the_most_specific_path_only() -> None:
    answer = RouteTable(JOBS).match(head_of("/v1/jobs", "PATCH"))
    assert isinstance(answer, Denial)
    assert answer.allow == ("GET", "HEAD", "POST")


def test_method_never_falls_through_to_a_less_specific_path() -> None:
    table = RouteTable([route("narrow", "/a/b", "GET"), route("wide", "/a", kind="prefix")])
    assert ask(table, "/a/b", "DELETE") == Reason.METHOD_NOT_ALLOWED
    assert ask(table, "/a/c", "DELETE") == "wide"


def test_listed_method_comes_before_any_method() -> None:
    for routes in ([route("any", "/a"), route("get", "/a", "GET")],) * 2:
        table = RouteTable(routes)
        assert ask(table, "/a") == "get"
        assert ask(table, "/a", "HEAD") == "get"
        assert ask(table, "/a", "BREW") == "any"
        routes.reverse()


def test_head_route_of_its_own_comes_before_get() -> None:
    routes = [route("get", "/a", "GET"), route("head", "/a", "HEAD")]
    assert ask(RouteTable(routes), "/a", "HEAD") == "head"
    assert ask(RouteTable(routes[::-1]), "/a", "HEAD") == "head"


HOSTS = (
    route("exact", "/a", hosts=("api.example.com",)),
    route("near", "/a", hosts=("*.api.example.com",)),
    route("near.b", "/b", hosts=("*.api.example.com",)),
    route("far", "/a", hosts=("*.example.com",)),
    route("far.c", "/c", hosts=("*.example.com",)),
    route("v6", "/a", hosts=("[::1]",)),
    route("any", "/a"),
    route("any.d", "/d", "POST"),
)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("api.example.com", "/a", "exact"),
        ("x.api.example.com", "/a", "near"),
        ("y.x.api.example.com", "/a", "near"),
        ("www.example.com", "/a", "far"),
        ("example.com", "/a", "any"),
        (".example.com", "/a", "any"),
        ("example.org", "/a", "any"),
        ("[::1]", "/a", "v6"),
        ("", "/a", "any"),
        ("api.example.com", "/b", Reason.NO_ROUTE),
        ("api.example.com", "/c", "far.c"),
        ("x.api.example.com", "/c", "far.c"),
        ("x.api.example.com", "/b", "near.b"),
        ("api.example.com", "/d", Reason.METHOD_NOT_ALLOWED),
    ],
)
def test_most_specific_host_with_a_matching_path_decides(
    host: str, path: str, expected: str
) -> None:
    assert ask(RouteTable(HOSTS), path, host=host) == expected
    assert ask(RouteTable(HOSTS[::-1]), path, host=host) == expected


def test_hosts_without_wildcards_fall_back_to_any_host() -> None:
    table = RouteTable([route("one", "/a", hosts=("one",)), route("any", "/a")])
    assert ask(table, "/a", host="one") == "one"
    assert ask(table, "/a", host="two.one") == "any"


def test_reading_that_leads_to_another_host_table_is_refused() -> None:
    table = RouteTable([route("narrow", "/v1/admin", hosts=("h",)), route("any", "/v1/{x}")])
    assert ask(table, "/v1/Admin", host="h") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/v1/Admin", host="other") == "any"


@pytest.mark.parametrize(
    ("pattern", "kind", "path", "parameters"),
    [
        ("/v1/jobs", "path", "/v1/jobs", {}),
        ("/v1/{a}/x/{b}", "path", "/v1/1/x/2/", {"a": "1", "b": "2"}),
        ("/v1/{id?}", "path", "/v1", {}),
        ("/v1/{id?}", "path", "/v1/7", {"id": "7"}),
        ("/{a}/{more...}", "path", "/1/2/3", {"a": "1", "more": "2/3"}),
        ("/{t}/files", "prefix", "/acme/files/x", {"t": "acme"}),
        ("^/r/(?P<y>[0-9]+)(?P<z>x)?", "regex", "/r/2024/", {"y": "2024"}),
        ("^/r/([0-9]+)", "regex", "/r/2024", {}),
    ],
)
def test_parameters_are_what_the_names_took(
    pattern: str, kind: Kind, path: str, parameters: dict[str, str]
) -> None:
    match = RouteTable([route("r", pattern, kind=kind)]).match(head_of(path))
    assert isinstance(match, Match)
    assert match.parameters == parameters


def test_group_that_would_become_a_dot_segment_is_refused() -> None:
    table = RouteTable(
        [route("r", r"^/r/a(?P<x>[.b]*)(?:c|/c)", kind="regex", rewrite="/in/{x}")]
    )
    assert ask(table, "/r/abbc") == "r"
    assert ask(table, "/r/a..c") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/r/ac") == Reason.AMBIGUOUS_PATH


def test_refusal_tells_the_log_which_quirks_it_was() -> None:
    answer = RouteTable([route("r", "/", kind="prefix")]).match(head_of("/a%2fb//c"))
    assert isinstance(answer, Denial)
    assert answer.internal == "path quirks: ENCODED_SLASH|EMPTY_SEGMENT"


@pytest.mark.parametrize("name", sorted(QUIRK_NAMES))
def test_quirk_is_admitted_only_where_the_route_allows_it(name: str) -> None:
    raw = {
        "encoded_slash": "/v1/a%2fb",
        "empty_segments": "/v1//b",
        "parameters": "/v1/a;b",
        "double_encoding": "/v1/a%2562",
        "trailing_dot": "/v1/a.",
    }[name]
    for allowed_name, quirk in QUIRK_NAMES.items():
        table = RouteTable([route("r", "/v1", kind="prefix", allowed=quirk)])
        assert (ask(table, raw) == "r") is (allowed_name == name)


def test_allowed_quirk_reaches_unlisted_paths_but_no_other_route() -> None:
    reader = route("read", "/v1/{id}", allowed=Quirk.ENCODED_SLASH)
    assert ask(RouteTable([reader]), "/v1/a%2fb") == "read"
    table = RouteTable([reader, route("admin", "/v1/a/b")])
    assert ask(table, "/v1/a%2fb") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/v1/A%2fb") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/v1/a%2fc") == "read"


def test_pattern_with_upper_case_cannot_be_avoided_in_lower_case() -> None:
    table = RouteTable([route("admin", "/v1/Admin"), route("wide", "/v1", kind="prefix")])
    assert ask(table, "/v1/Admin") == "admin"
    assert ask(table, "/v1/admin") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/v1/ADMIN") == Reason.AMBIGUOUS_PATH
    assert ask(table, "/v1/other") == "wide"


def test_expression_that_knows_one_case_is_still_reachable() -> None:
    table = RouteTable([route("r", "^/r/[^a-z]+", kind="regex")])
    assert ask(table, "/r/AB") == "r"
    assert ask(table, "/r/ab") == Reason.NO_ROUTE


# --- what a table refuses to be made of ---


def test_overlapping_routes_are_refused_by_name() -> None:
    routes = [
        route("one", "/a/{x?}", "GET", "POST"),
        route("two", "/a", "GET"),
        route("three", "/a/{y}", "POST"),
        route("four", "/b", hosts=("h",)),
        route("five", "/b"),
        route("six", "/B", hosts=("h", "i")),
        route("seven", "/b", kind="prefix"),
        route("eight", "/b", "GET"),
    ]
    assert list(map(str, find_overlaps(routes))) == [
        "routes 'one' and 'two' both claim GET any host /a",
        "routes 'one' and 'three' both claim POST any host /a/{y}",
        "routes 'four' and 'six' both claim (but for the case of letters) any method h /B",
    ]
    with pytest.raises(ValueError, match="routes 'one' and 'two' both claim GET"):
        RouteTable(routes)


def test_one_route_does_not_overlap_itself() -> None:
    assert find_overlaps([route("r", "/a/{x?}", "GET", hosts=("h", "*.h"))]) == []


@pytest.mark.parametrize(
    "host", ["*", "a.*.b", "*.", "Api.example.com", "api.example.com.", "h:80", "h/x", "[x]", ""]
)
def test_wrong_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no lower-case host name"):
        compile_route(route("r", "/", hosts=(host,)))


# --- the proof: whatever an admitted path means to a backend is the route that was matched ---


@dataclass(frozen=True)
class Pattern:
    """A pattern as the model knows it: literal segments or None, and the end."""

    name: str
    segments: tuple[str | None, ...]
    end: str
    allowed: int
    methods: frozenset[str]

    @property
    def route(self) -> Route:
        parts = [f"{{p{at}}}" if part is None else part for at, part in enumerate(self.segments)]
        kind: Kind = "path"
        if self.end == "prefix":
            kind = "prefix"
        elif self.end == "rest":
            parts.append("{rest...}")
        elif self.end != "exact":
            kind = "regex"
            parts = ["^", *parts, self.end] if not parts else [*parts, self.end]
        text = "/" + "/".join(parts)
        return Route(
            name=self.name,
            pattern=text.replace("/^", "^"),
            kind=kind,
            methods=self.methods,
            allowed_quirks=Quirk(self.allowed),
        )

    def rank(self, segments: list[str], *, ignores_case: bool) -> tuple[object, ...] | None:
        """Return how specifically this pattern matches, smaller is more specific, or None."""
        if len(segments) < len(self.segments):
            return None
        ranks: list[object] = []
        for part, segment in zip(self.segments, segments, strict=False):
            if part is None and segment:
                ranks.append(1)
            elif part is not None and (
                part == segment or (ignores_case and part.lower() == segment.lower())
            ):
                ranks.append(0)
            else:
                return None
        more = len(segments) - len(self.segments)
        if self.end == "exact":
            return None if more else (*ranks, -1)
        if self.end == "prefix":
            return (*ranks, 4)
        if self.end == "rest":
            return (*ranks, 3) if more else None
        text = "/".join(s.replace("%", "%25").replace("/", "%2F") for s in segments)
        expression = "/".join([*map(str, self.segments), self.end])
        matches = re.fullmatch(expression, text) or (
            ignores_case and re.fullmatch(expression, text, re.IGNORECASE)
        )
        return (*ranks, 2, -len(expression), expression) if matches else None


def lookup(
    patterns: list[Pattern], segments: list[str], method: str, *, ignores_case: bool
) -> str | None:
    """Return the route of a meaning by comparing every pattern; `405` if the method is not its."""
    if segments and not segments[-1]:
        segments = segments[:-1]
    ranked = [(pattern.rank(segments, ignores_case=ignores_case), pattern) for pattern in patterns]
    best = min((rank for rank, _ in ranked if rank is not None), default=None)
    if best is None:
        return None
    leaf = [pattern for rank, pattern in ranked if rank == best]
    for wanted in (method, "GET" if method == "HEAD" else method, ""):
        for pattern in leaf:
            if wanted in pattern.methods or (not wanted and not pattern.methods):
                return pattern.name
    return "405"


@dataclass(frozen=True)
class Backend:
    """A server that reads paths in its own way."""

    decodings: int = 1
    splits_decoded: bool = False
    cuts_query: bool = False
    cuts_parameters: str = ""
    strips_ends: bool = False
    merges_slashes: bool = False
    resolves_dots: bool = False
    turns_backslashes: bool = False
    ignores_case: bool = False

    def segments(self, raw: str) -> list[str]:
        """Return what the path means to this server."""
        if self.cuts_parameters == "before":
            raw = re.sub(";[^/]*", "", raw)
        pieces = [raw] if self.splits_decoded else raw.split("/")[1:]
        for _ in range(self.decodings):
            pieces = [unquote_to_bytes(piece).decode(errors="replace") for piece in pieces]
        if self.turns_backslashes:
            pieces = [piece.replace("\\", "/") for piece in pieces]
        if self.splits_decoded:
            path = re.split("[?#]", pieces[0])[0] if self.cuts_query else pieces[0]
            pieces = path.split("/")[1:]
        elif self.cuts_query:
            for at, piece in enumerate(pieces):
                if "?" in piece or "#" in piece:
                    pieces = [*pieces[:at], re.split("[?#]", piece)[0]]
                    break
        if self.cuts_parameters == "after":
            pieces = [re.sub(";[^/]*", "", piece) for piece in pieces]
        if self.resolves_dots:
            pieces = resolve(pieces)
        if self.strips_ends:
            pieces = [piece.rstrip(". ") for piece in pieces]
        if self.merges_slashes:
            pieces = [piece for piece in pieces if piece]
        return pieces


def resolve(pieces: list[str]) -> list[str]:
    """Remove dot segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for piece in pieces:
        if piece == "..":
            kept[-1:] = []
        elif piece != ".":
            kept.append(piece)
    return kept


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
        methods = draw(st.sampled_from([frozenset(), frozenset(), frozenset({"GET"}), frozenset({"POST"})]))
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
    return path + draw(st.sampled_from(["", "", "", "/", "//", "?x=/a"]))


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
    head = head_of(raw, method)
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
        assert ask(RouteTable([each.route for each in SPLIT]), raw) == Reason.AMBIGUOUS_PATH
