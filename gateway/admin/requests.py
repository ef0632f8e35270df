"""Reading a request of the admin API: its body, its page; writing its answer.

Knows that everything is JSON and that what is not understood is refused. It must not know keys or
tenants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.admin.auth import ACTOR
from gateway.admin.problems import BadRequest
from gateway.admin.wire import Act, EnforcementView
from gateway.domain.change import Order
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Problem, Refused

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000

_Shape = TypeVar("_Shape", bound=BaseModel)


async def read_body(request: web.Request, shape: type[_Shape]) -> _Shape:
    """Return the body as `shape`. Raises `BadRequest` or `Refused`, with nothing of the body in the
    text.
    """
    if request.content_type not in ("application/json", "application/merge-patch+json"):
        raise BadRequest(415, "Send the body as application/json.")
    body = await request.read()
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        problems = [_problem_of(each) for each in error.errors(include_url=False)]
        if any(each["type"] == "json_invalid" for each in error.errors(include_input=False)):
            raise BadRequest(400, "The body is not JSON.") from None
        raise Refused(problems) from None


async def read_order(request: web.Request) -> Order:
    """Return who orders the act of `request`, and why: its body is an `Act`."""
    body = await read_body(request, Act)
    return Order(actor=request[ACTOR], reason=body.reason)


def read_query(request: web.Request, allowed: Collection[str]) -> dict[str, str]:
    """Return the query. Raises `BadRequest` for a parameter that is not in `allowed`, or comes
    twice.
    """
    query: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in allowed:
            raise BadRequest(400, f"There is no query parameter '{name[:50]}'.")
        if name in query:
            raise BadRequest(400, f"The query parameter '{name}' comes twice.")
        query[name] = value
    return query


def read_limit(query: dict[str, str]) -> int:
    """Return the number of entries per page, 1 to 1000."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LIMIT_MAX):
        raise BadRequest(400, f"`limit` is a number from 1 to {LIMIT_MAX}.")
    return int(text)


def answer(shape: BaseModel, *, status: int = 200, location: str = "") -> web.Response:
    """Answer with one object."""
    response = _json(shape.model_dump(mode="json"), status)
    if location:
        response.headers["Location"] = location
    return response


def answer_changed(
    shape: BaseModel, enforced: Enforced | None, *, status: int = 200, location: str = ""
) -> web.Response:
    """Answer with what was changed and how far that has reached: 202 while somebody still serves by what was before."""
    body = shape.model_dump(mode="json")
    if enforced is not None:
        body["enforcement"] = EnforcementView.of_enforced(enforced).model_dump(mode="json")
        status = status if enforced.is_everywhere else 202
    response = _json(body, status)
    if location:
        response.headers["Location"] = location
    return response


def answer_page(entries: Iterable[BaseModel], cursor: str) -> web.Response:
    """Answer with one page of a list; `cursor` is empty on the last."""
    data = [entry.model_dump(mode="json") for entry in entries]
    return _json({"data": data, "next_cursor": cursor or None, "has_more": bool(cursor)}, 200)


def _json(value: Any, status: int) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def _problem_of(error: Any) -> Problem:
    """Return a pydantic error as a JSON pointer (RFC 6901 section 3) and a sentence."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in error["loc"]]
    text = "unknown field" if error["type"] == "extra_forbidden" else error["msg"]
    return "".join(f"/{step}" for step in steps), text.removeprefix("Value error, ")
