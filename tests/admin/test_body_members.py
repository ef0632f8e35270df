"""Which member of a JSON body comes twice."""

from __future__ import annotations

import pytest

from gateway.admin.body_members import first_repeated


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}', None),
        ("[1, null, true]", None),
        ('{"a": 1, "a": 1}', ("a",)),
        ('{"a": 1, "\\u0061": 2}', ("a",)),
        ('{"": 1, "": 2}', ("",)),
        ('{"a": {"b": [{}, {"c": 1, "c": 2}]}}', ("a", "b", 1, "c")),
        ('{"a": {"b": 1, "b": 2}, "a": 1}', ("a",)),
    ],
)
def test_the_first_member_that_comes_twice_is_found(
    body: str, path: tuple[str | int, ...] | None
) -> None:
    assert first_repeated(body.encode()) == path


@pytest.mark.parametrize("number", ["1" * 5_000, "1e999", "-0.1", "NaN"])
def test_no_number_is_too_much(number: str) -> None:
    assert first_repeated(f'{{"a": {number}}}'.encode()) is None
