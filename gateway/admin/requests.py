"""Reading a request of the admin API: its body, its page; writing its answer.

Knows that everything is JSON, that what is not understood is refused, what a condition (`If-Match`) and a dry run are.
It must not know keys or tenants.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from gateway.admin.auth import ACTOR
from gateway.admin.body_members import first_repeated
from gateway.admin.described import ways
from gateway.admin.problems import REQUEST_ID, SERVER, BadRequest
from gateway.admin.wire import Act, EnforcementView
from gateway.domain.change import Order
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.queries import Sort

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000

BODY_SECONDS: Final = 30.0
"""Time for a body of at most 64 KiB: who sends it may not even have a credential yet."""

DRY_RUN: Final = "dry_run"
"""The query parameter of every act: go as far as possible without changing anything."""

IS_DRY_RUN: Final = web.RequestKey("is_dry_run", bool)
_TAG: Final = re.compile(r'"([0-9]{1,15})"')

_Shape = TypeVar("_Shape", bound=BaseModel)


async def read_body(request: web.Request, shape: type[_Shape]) -> _Shape:
    """Return the body as `shape`. Raises `BadRequest` or `Refused`, with no value of the body in the text."""
    if request.content_type not in ("application/json", "application/merge-patch+json"):
        raise BadRequest(415, "Send the body as application/json.")
    if "Content-Encoding" in request.headers:
        raise BadRequest(415, "Send the body as it is: nothing is unpacked here.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise BadRequest(408, f"The body did not come within {BODY_SECONDS:g} seconds.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise BadRequest(400, "The body cannot be read to its end.") from None
    try:
        found = shape.model_validate_json(body)
    except ValidationError as error:
        problems = [_problem_of(each) for each in error.errors(include_url=False)]
        if any(each["type"] == "json_invalid" for each in error.errors(include_input=False)):
            raise BadRequest(400, "The body is not JSON.") from None
        _require_unique_members(body)
        raise Refused(problems) from None
    _require_unique_members(body)
    return found


def _require_unique_members(body: bytes) -> None:
    """Refuse a body that says something twice: what it means would be anybody's guess (RFC 8259 section 4)."""
    path = first_repeated(body)
    if path is not None:
        raise BadRequest(
            400,
            "A member of the body comes twice.",
            [(_pointer(path), "comes twice: say it once")],
        )


async def read_order(request: web.Request) -> Order:
    """Return who orders the act of `request`, why, and under which condition: its body is an `Act`."""
    body = await read_body(request, Act)
    return order_of(request, body.reason)


def order_of(request: web.Request, reason: str = "", also: Collection[str] = ()) -> Order:
    """Return who orders the act of `request`, and under which condition.

    Its query may ask for a dry run, and name what `also` says; everything else is refused.
    """
    return Order(
        actor=request[ACTOR],
        reason=reason,
        expected_revision=_read_condition(request),
        is_dry_run=read_dry_run(request, also),
    )


def order_of_new(request: web.Request, reason: str = "") -> Order:
    """Return who orders a creation: there is nothing yet that `If-Match` could be about."""
    order = order_of(request, reason)
    if "If-Match" in request.headers:
        raise BadRequest(400, "Nothing exists yet that `If-Match` could be about.")
    return order


def read_dry_run(request: web.Request, also: Collection[str] = ()) -> bool:
    """Tell whether the act of `request` shall change nothing; refuse query parameters that stand not in `also`."""
    is_wanted = read_switch(read_query(request, (DRY_RUN, *also)), DRY_RUN)
    request[IS_DRY_RUN] = is_wanted
    return is_wanted


@web.middleware
async def mark_dry_runs(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the answer to a dry run say that it is one, and not that something was made."""
    response = await handler(request)
    if request.get(IS_DRY_RUN) and isinstance(response, web.Response):
        response.body = _written({**json.loads(response.text or "{}"), DRY_RUN: True})
        response.headers.popall("Location", None)
        response.headers.popall("ETag", None)
        response.set_status(200)
    return response


def _read_condition(request: web.Request) -> int | None:
    """Return the revision that `If-Match` demands (RFC 9110 section 13.1.1); None without one, and for any."""
    values = request.headers.getall("If-Match", [])
    if not values or values == ["*"]:
        return None
    found = _TAG.fullmatch(values[0].strip())
    if len(values) > 1 or found is None:
        raise BadRequest(400, "Send one `If-Match`: the `ETag` of the record as you have read it.")
    return int(found[1])


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


def read_choice(query: dict[str, str], name: str, choices: Iterable[str]) -> str:
    """Return the parameter `name`, empty without one. Raises `BadRequest` unless it is one of `choices`."""
    value = query.get(name, "")
    if name in query and value not in (known := list(choices)):
        raise BadRequest(400, f"`{name}` is one of {', '.join(known)}.")
    return value


def read_switch(query: dict[str, str], name: str) -> bool:
    """Return the parameter `name`, which is true or false, and false when it is missing."""
    return read_choice(query, name, ("true", "false")) == "true"


def read_sort(query: dict[str, str], sorts: Iterable[str]) -> Sort | None:
    """Return the order of a list that can be sorted by these fields; None without `sort`."""
    way = read_choice(query, "sort", ways(sorts))
    return Sort(field=way.lstrip("-"), is_descending=way.startswith("-")) if way else None


def read_limit(query: dict[str, str]) -> int:
    """Return the number of entries per page, 1 to 1000."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not (len(text) < 6 and text.isascii() and text.isdigit() and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(400, f"`limit` is a number from 1 to {LIMIT_MAX}.")
    return int(text)


def answer(shape: BaseModel, *, status: int = 200, location: str = "") -> web.Response:
    """Answer with one object; one that has a revision is tagged with it."""
    return _tagged(_json(shape.model_dump(mode="json"), status), shape, location)


def answer_changed(
    shape: BaseModel, enforced: Enforced | None, *, status: int = 200, location: str = ""
) -> web.Response:
    """Answer with what was changed and how far that has reached: 202 while somebody still serves by what was before."""
    body = shape.model_dump(mode="json")
    if enforced is not None:
        body["enforcement"] = EnforcementView.of_enforced(enforced).model_dump(mode="json")
        status = status if enforced.is_everywhere else 202
    return _tagged(_json(body, status), shape, location)


def _tagged(response: web.Response, shape: BaseModel, location: str) -> web.Response:
    revision = getattr(shape, "revision", None)
    if revision is not None:
        response.headers["ETag"] = f'"{revision}"'
    if location:
        response.headers["Location"] = location
    return response


def answer_page(entries: Iterable[BaseModel], cursor: str) -> web.Response:
    """Answer with one page of a list; `cursor` is empty on the last."""
    data = [entry.model_dump(mode="json") for entry in entries]
    return _json({"data": data, "next_cursor": cursor or None, "has_more": bool(cursor)}, 200)


async def begin_file(request: web.Request, kind: str, name: str) -> web.StreamResponse:
    """Begin an answer that is kept as a file, written as it comes: `kind` is its media type."""
    response = web.StreamResponse(
        headers={
            "Content-Type": kind,
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "Server": SERVER,
            "X-Request-Id": request[REQUEST_ID],
        }
    )
    await response.prepare(request)
    return response


def answer_json(value: dict[str, Any]) -> web.Response:
    """Answer with an object that has no shape of its own."""
    return _json(value, 200)


def _json(value: Any, status: int) -> web.Response:
    return web.Response(status=status, body=_written(value), content_type="application/json")


def _written(value: Any) -> bytes:
    """Return `value` as JSON; metadata may hold integers of any length, which faster writers refuse."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _problem_of(error: Any) -> Problem:
    """Return a pydantic error as a JSON pointer and a sentence."""
    text = "unknown field" if error["type"] == "extra_forbidden" else error["msg"]
    return _pointer(error["loc"]), text.removeprefix("Value error, ")


def _pointer(path: Iterable[str | int]) -> str:
    """Return `path` as a JSON pointer (RFC 6901 section 3)."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
    return "".join(f"/{step}" for step in steps)
