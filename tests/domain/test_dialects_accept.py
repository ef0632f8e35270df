from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.dialects.accept import choose, names_problem
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.render import Dialect


@pytest.mark.parametrize(
    "accept",
    [
        b"application/problem+json",
        b"Application/Problem+JSON",
        b"application/json, application/problem+json",
        b"text/html,application/problem+json;q=0.001 , */*",
        b"application/problem+json; charset=utf-8; Q=1.000",
        b"application/problem+json;q=1.",
        b"\tapplication/problem+json\t",
        b", ,application/problem+json,",
        b'text/plain;x="a,b;\\"c", application/problem+json',
        b"application/problem+json;q=0, application/problem+json;profile=x;q=0.5",
    ],
)
def test_a_client_that_names_problem_json_gets_it(accept: bytes) -> None:
    assert names_problem(accept)


@pytest.mark.parametrize(
    "accept",
    [
        b"",
        b"*/*",
        b"application/*",
        b"application/json",
        b"application/problem+xml",
        b"application/problem+json+x",
        b"x-application/problem+json",
        b"application/problem+json;q=0",
        b"application/problem+json;q=0.000",
        b"application/problem+json; q=0.",
        b"application/problem+json;q=",
        b"application/problem+json;q=2",
        b"application/problem+json;q=1.001",
        b"application/problem+json;q=0.0001",
        b"application/problem+json;q=-1",
        b"application/problem+json;q=0.5;q=0",
        b'text/plain;x=", application/problem+json"',
        b'text/plain;x="\\", application/problem+json',
        b";application/problem+json",
    ],
)
def test_a_client_that_does_not_name_problem_json_keeps_the_dialect(accept: bytes) -> None:
    assert not names_problem(accept)


def test_the_dialect_of_the_route_answers_unless_problem_json_is_asked_for() -> None:
    route, problem = Dialect(DIALECTS["jobhive"]), Dialect(DIALECTS["problem"])
    assert choose(route, problem, b"application/problem+json") is problem
    assert choose(route, problem, b"*/*") is route
    assert choose(route, problem, b"") is route


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_value_of_a_client_breaks_the_reading(before: bytes, after: bytes) -> None:
    assert names_problem(before + b"application/problem+json" + after) in (True, False)


@given(st.integers(0, 1000))
def test_every_weight_above_zero_counts(thousandths: int) -> None:
    weight = f"{thousandths / 1000:.3f}".encode()
    assert names_problem(b"application/problem+json;q=" + weight) == (thousandths > 0)
