from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.routes import Match, Route, RouteTable
from gateway.pipeline.route import route
from tests.pipeline.samples import head

TABLE = RouteTable(
    [
        Route(name="list", pattern="/v1/things", methods=frozenset({"GET"})),
        Route(name="create", pattern="/v1/things", methods=frozenset({"POST"})),
        Route(name="show", pattern="/v1/things/{id}", methods=frozenset({"GET", "PUT"})),
    ]
)
SMALLER = RouteTable([Route(name="only", pattern="/v1/things/{id}", methods=frozenset({"GET"}))])


def found(target: str, method: str = "GET", table: RouteTable = TABLE) -> str:
    return named(route(head(target, method=method), table))


def named(match: Match | Denial) -> str:
    return match.route.name if isinstance(match, Match) else match.reason.value


def test_a_path_that_no_route_lists_does_not_exist() -> None:
    assert found("/v1/secret") == Reason.NO_ROUTE
    assert found("/") == Reason.NO_ROUTE
    assert found("/v1/things/1/more") == Reason.NO_ROUTE


def test_an_empty_table_lets_nothing_through() -> None:
    assert found("/v1/things", table=RouteTable([])) == Reason.NO_ROUTE


def test_a_listed_path_with_another_method_names_the_methods_that_are_allowed() -> None:
    denial = route(head("/v1/things", method="DELETE"), TABLE)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.METHOD_NOT_ALLOWED
    assert denial.allow == ("GET", "HEAD", "POST")


def test_the_method_chooses_among_the_routes_of_one_path() -> None:
    assert found("/v1/things") == "list"
    assert found("/v1/things", "POST") == "create"
    assert found("/v1/things/7", "PUT") == "show"


def test_asking_about_the_server_as_a_whole_is_no_route() -> None:
    everything = RouteTable([Route(name="all", pattern="/", kind="prefix", needs_key=False)])
    assert named(route(head("*", method="OPTIONS", path=""), everything)) == Reason.NO_ROUTE


def test_the_same_head_under_the_same_table_is_matched_once() -> None:
    asked = head("/v1/things/7")
    assert route(asked, TABLE) is route(asked, TABLE)


@given(
    targets=st.lists(
        st.sampled_from(["/v1/things", "/v1/things/7", "/v1", "*"]), min_size=1, max_size=3
    ),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]),
    tables=st.lists(st.sampled_from([TABLE, SMALLER]), min_size=1, max_size=6),
)
def test_what_a_head_remembers_never_differs_from_a_fresh_match(
    targets: list[str], method: str, tables: list[RouteTable]
) -> None:
    heads = [head(target, method=method) for target in targets]
    for table in tables:
        for target, kept in zip(targets, heads, strict=True):
            fresh = route(head(target, method=method), table)
            again = route(kept, table)
            assert named(again) == named(fresh)
            if isinstance(again, Match) and isinstance(fresh, Match):
                assert again.parameters == fresh.parameters
