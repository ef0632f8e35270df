"""The admin API as an OpenAPI 3.1 document, made of the routes themselves, the shapes that validate what they read and
write, and what stands next to their handlers.

Knows the form of such a document. It must not know any route: one that is not declared well is described poorly, and
never left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from gateway import __version__
from gateway.admin.described import Description, describes, description_of
from gateway.admin.parameters import HEADERS, PARAMETERS
from gateway.admin.problem_kinds import KINDS, type_of
from gateway.admin.requests import DRY_RUN, answer_json, read_query
from gateway.admin.rights import is_open, needs, right_of
from gateway.admin.wire import EnforcementView
from gateway.domain.admin_tokens import Right, roles_with

_BASE: Final = "/admin/v1/"
_PATH: Final = f"{_BASE}openapi.json"
_VARIABLE: Final = re.compile(r"\(\?P<(\w+)>([^)]*)\)")
_JSON: Final = "application/json"

_ERRORS: Final[Mapping[int, str]] = {
    400: "The request cannot be understood.",
    401: "No valid admin token came with it.",
    403: "The role of the token does not include this, or it is bound to a tenant that this is not about.",
    404: "There is no such record, or not for this token.",
    409: "The state of the record does not allow it; or the `Idempotency-Key` is known.",
    412: "The record has another revision than `If-Match` says.",
    413: "The body is longer than 64 KiB.",
    415: "The body is not declared as JSON.",
    422: "Values break a rule: `errors` says where and why.",
    429: "Too many logins from this address failed.",
    500: "The gateway failed; its log has the cause.",
    503: "The key store does not answer.",
}
_PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `type` and `code` are stable; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "enum": [type_of(code) for code in KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": [*KINDS]},
        "request_id": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


class OpenApiRoutes:
    """The handler of `/admin/v1/openapi.json`, over all routes of the application."""

    def __init__(self, router: web.UrlDispatcher) -> None:
        self._router = router
        self._document: dict[str, Any] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(_PATH, self.show, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @describes(Description())
    async def show(self, request: web.Request) -> web.Response:
        """Describe this API in OpenAPI 3.1."""
        read_query(request, ())
        self._document = self._document or document(self._router)
        return answer_json(self._document)


def document(router: web.UrlDispatcher) -> dict[str, Any]:
    """Return the OpenAPI document of all routes in `router`."""
    shapes = _Shapes()
    paths: dict[str, dict[str, Any]] = {}
    for route in router.routes():
        if route.resource is not None and route.resource.canonical.startswith(_BASE):
            operations = paths.setdefault(route.resource.canonical, {})
            operations[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollhouse admin API",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"admin_token": []}],
        "paths": paths,
        "components": {
            "schemas": {**shapes.schemas, "Problem": _PROBLEM},
            "securitySchemes": {"admin_token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Shapes:
    """The shapes of bodies and answers, each once."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def of_body(self, shape: type[BaseModel]) -> dict[str, Any]:
        return self._add(shape, "validation")

    def of_answer(self, shape: type[BaseModel]) -> dict[str, Any]:
        return self._add(shape, "serialization")

    def _add(self, shape: type[BaseModel], mode: Any) -> dict[str, Any]:
        schema = shape.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
        self.schemas |= schema.pop("$defs", {})
        self.schemas[shape.__name__] = schema
        return {"$ref": f"#/components/schemas/{shape.__name__}"}


def _operation(route: web.AbstractRoute, shapes: _Shapes) -> dict[str, Any]:
    said = description_of(route.handler)
    assert route.resource is not None
    path = route.resource.canonical
    tag = re.split(r"[/:.]", path.removeprefix("/admin/v1/").lstrip("/"))[0]
    text = inspect.getdoc(route.handler) or ""
    operation: dict[str, Any] = {
        "operationId": f"{tag}_{getattr(route.handler, '__name__', '')}".replace("-", "_").strip(
            "_"
        ),
        "tags": [tag],
        "summary": text.partition("\n")[0],
        "description": _for_whom(route.handler),
        "parameters": [*_path_parameters(route), *_parameters(said)],
        "responses": _responses(said, shapes, has_variables="{" in path, route=route),
    }
    if is_open(route.handler):
        operation["security"] = []
    if said.body is not None:
        schema = shapes.of_body(said.body)
        kinds = (_JSON, "application/merge-patch+json") if route.method == "PATCH" else (_JSON,)
        content = {kind: {"schema": schema} for kind in kinds}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _for_whom(handler: object) -> str:
    if is_open(handler):
        return "For everybody."
    return f"For the roles {', '.join(roles_with(right_of(handler) or Right.ADMINISTER))}."


def _path_parameters(route: web.AbstractRoute) -> Iterator[dict[str, Any]]:
    assert route.resource is not None
    pattern = route.resource.get_info().get("pattern")
    for name, allowed in _VARIABLE.findall(pattern.pattern if pattern else ""):
        schema = {"type": "string", "pattern": f"^{allowed}$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameters(said: Description) -> Iterator[dict[str, Any]]:
    for name in (*said.query, *((DRY_RUN,) if said.is_act else ())):
        schema = said.schemas.get(name) or PARAMETERS.get(name, {"type": "string"})
        yield {"name": name, "in": "query", "required": False, "schema": schema}
    for name, is_read in (("If-Match", said.is_change), ("Idempotency-Key", said.is_repeatable)):
        if is_read:
            yield {"name": name, "in": "header", "required": False, "schema": HEADERS[name]}


def _responses(
    said: Description, shapes: _Shapes, *, has_variables: bool, route: web.AbstractRoute
) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in said.media}
    if said.answer is not None or not said.media:
        content[_JSON] = {"schema": _answer_schema(said, shapes)}
    good = {"description": "Done.", "headers": _headers(said), "content": content}
    responses = {str(status): good for status in _good_statuses(said)}
    for status in _bad_statuses(said, has_variables, is_open(route.handler)):
        responses[str(status)] = {
            "description": _ERRORS[status],
            "headers": _with_request_id({}),
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    return responses


def _good_statuses(said: Description) -> Iterator[int]:
    """Yield the statuses of success: 200 for a dry run and for a repetition, 202 while a change has not reached all."""
    yield said.status
    if said.is_change:
        yield 202
    if said.is_act and said.status != 200:
        yield 200


def _bad_statuses(said: Description, has_variables: bool, is_for_all: bool) -> Iterable[int]:
    statuses = {400, 500, 503, *said.errors}
    if not is_for_all:
        statuses |= {401, 403, 429}
    if has_variables:
        statuses |= {404}
    if said.is_act:
        statuses |= {404, 409, 422}
    if said.is_change:
        statuses |= {412}
    if said.body is not None:
        statuses |= {413, 415, 422}
    return sorted(statuses)


def _answer_schema(said: Description, shapes: _Shapes) -> dict[str, Any]:
    if said.answer is None:
        return {"type": "object"}
    shape = shapes.of_answer(said.answer)
    if said.is_page:
        properties = {
            "data": {"type": "array", "items": shape},
            "next_cursor": {"type": ["string", "null"]},
            "has_more": {"type": "boolean"},
        }
        return {"type": "object", "required": [*properties], "properties": properties}
    further: dict[str, Any] = {}
    if said.is_act:
        further[DRY_RUN] = {"const": True, "description": "Nothing was changed."}
    if said.is_change:
        further["enforcement"] = shapes.of_answer(EnforcementView)
    return {"allOf": [shape, {"type": "object", "properties": further}]} if further else shape


def _headers(said: Description) -> dict[str, Any]:
    names = ("Location",) if said.status == 201 else ()
    if said.answer is not None and "revision" in said.answer.model_fields and not said.is_page:
        names = (*names, "ETag")
    return _with_request_id({name: {"schema": HEADERS[name]} for name in names})


def _with_request_id(headers: dict[str, Any]) -> dict[str, Any]:
    return {**headers, "X-Request-Id": {"schema": {"type": "string"}, "required": True}}
