from __future__ import annotations

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.match import Kind
from gateway.domain.paths import QUIRK_NAMES, Quirk, read_path
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match, Route, RouteTable, compile_route, find_overlaps

NO_QUIRKS = Quirk(0)


def route(
    name: str, pattern: str, *methods: str, kind: Kind = "path", hosts: tuple[str, ...] = (),
    allowed: Quirk = NO_QUIRKS, rewrite: str = "",
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
        ("GET", "/v1/jobs/%ef%bd%85xport", Reason.AMBIGUOUS_PATH),  # a fullwidth e
        ("GET", "/v1/jobs/%ef%bd%85x", "jobs.read"),
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


def test_a_listed_method_cannot_be_avoided_in_other_letters() -> None:
    """Django and others call `delete` what they call `DELETE`: its scopes are those of the route that lists it."""
    table = RouteTable([route("any", "/a"), route("delete", "/a", "DELETE"), route("all", "/b")])
    assert ask(table, "/a", "DELETE") == "delete"
    assert ask(table, "/a", "delete") == ask(table, "/a", "dELETE") == Reason.METHOD_NOT_ALLOWED
    assert ask(table, "/a", "purge") == ask(table, "/a", "get") == "any"
    assert ask(table, "/b", "delete") == "all"  # the same route, whatever they take it for


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
    table = RouteTable([route("r", r"^/r/a(?P<x>[.b]*)(?:c|/c)", kind="regex", rewrite="/in/{x}")])
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
