from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.match import Kind
from gateway.domain.paths import Quirk
from gateway.domain.routes import Match, Route, RouteTable
from gateway.domain.samples import METHODS, samples_of
from tests.domain.test_routes import route


def told(*routes: Route) -> list[tuple[str, str, str]]:
    return [(head.method, head.host, head.path) for head in samples_of(routes)]


@pytest.mark.parametrize(
    ("pattern", "kind", "paths"),
    [
        ("/", "path", ["/"]),
        ("/v1/jobs", "path", ["/v1/jobs"]),
        ("/v1/jobs/", "path", ["/v1/jobs"]),
        ("/v1/jobs/{id}", "path", ["/v1/jobs/sample"]),
        ("/v1/{kind}/x/{id}", "path", ["/v1/sample/x/sample"]),
        ("/v1/jobs/{id?}", "path", ["/v1/jobs", "/v1/jobs/sample"]),
        ("/{id?}", "path", ["/", "/sample"]),
        ("/files/{rest...}", "path", ["/files/sample"]),
        ("/files", "prefix", ["/files", "/files/sample"]),
        ("/", "prefix", ["/", "/sample"]),
        ("/caf%C3%A9", "path", ["/café"]),
        ("/v1/reports/[0-9]+", "regex", []),
    ],
)
def test_each_form_of_a_pattern_has_a_sample(pattern: str, kind: Kind, paths: list[str]) -> None:
    assert [path for _, _, path in told(route("r", pattern, "GET", kind=kind))] == paths


def test_hosts_and_methods_are_combined_and_any_method_stands_for_all_that_are_named() -> None:
    found = told(
        route("any", "/a", hosts=("api.test", "*.shop.test")),
        route("odd", "/b", "PURGE", "GET"),
    )
    assert {host for _, host, path in found if path == "/a"} == {"api.test", "sample.shop.test"}
    assert {method for method, _, path in found if path == "/a"} == {*METHODS, "PURGE"}
    assert {method for method, _, path in found if path == "/b"} == {"GET", "PURGE"}


def test_a_sample_comes_once_however_many_routes_it_stands_for() -> None:
    assert told(route("a", "/x/{id}", "GET"), route("b", "/x/{other}", "GET")) == [
        ("GET", "", "/x/sample")
    ]


_SEGMENTS = st.sampled_from(["v1", "jobs", "Jobs", "{id}", "a.b", "x;y", "caf%C3%A9"])
_ENDS = st.sampled_from(["", "/{last?}", "/{rest...}"])


@given(st.lists(_SEGMENTS, min_size=1, max_size=4, unique=True), _ENDS, st.booleans())
def test_a_route_takes_its_own_samples(parts: list[str], end: str, is_prefix: bool) -> None:
    pattern = "/" + "/".join(parts) + ("" if is_prefix else end)
    kind: Kind = "prefix" if is_prefix else "path"
    one = route("one", pattern, "GET", kind=kind, allowed=Quirk.PARAMETER)
    table = RouteTable([one])
    found = [table.match(head) for head in samples_of([one])]
    assert found
    assert all(isinstance(match, Match) for match in found)
