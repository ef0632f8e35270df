"""Every kind of problem has one name, which a client can rely on."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from aiohttp import web

from gateway.admin.problem_kinds import CODES, KINDS, render_problems_reference, type_of
from gateway.admin.problems import problem


def test_each_status_has_a_kind_of_that_status() -> None:
    assert {status: KINDS[code].status for status, code in CODES.items()} == {
        status: status for status in CODES
    }


def test_kinds_are_told_apart_by_type_and_title() -> None:
    assert len({type_of(code) for code in KINDS}) == len(KINDS)
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("code", KINDS)
def test_the_type_of_a_problem_is_the_same_whatever_its_detail_says(code: str) -> None:
    bodies = [
        _body(problem(KINDS[code].status or 418, detail, "req_1", code=code)) for detail in "ab"
    ]
    assert [body["type"] for body in bodies] == [f"urn:tollhouse:problem:{code}"] * 2
    assert [body["title"] for body in bodies] == [KINDS[code].title] * 2


@pytest.mark.parametrize("status", HTTPStatus)
def test_every_status_is_answered_with_a_kind_that_is_documented(status: HTTPStatus) -> None:
    body = _body(problem(status, "no", "req_1"))
    assert body["type"] == type_of(str(body["code"]))
    assert f"| `{body['type']}` |" in render_problems_reference()


def _body(response: web.Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    content: dict[str, object] = json.loads(response.body)
    return content
