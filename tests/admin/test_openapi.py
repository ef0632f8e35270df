"""The OpenAPI document says what the routes do, all of them, and no more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from gateway.admin.described import description_of
from gateway.admin.openapi import document
from gateway.admin.rights import is_open
from tests.admin.caller import Caller, serving_app
from tests.admin.whole import whole_app
from tests.keyring.house import House

APP = whole_app(lambda: House().keyring)
DOCUMENT = document(APP.router)


def _operations() -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    ]


OPERATIONS = [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in _operations()]


def _routes(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/admin/v1")
    }


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_document_names_every_route_and_nothing_else() -> None:
    named = {(method, path) for path, each in DOCUMENT["paths"].items() for method in each}
    assert named == _routes(APP)


def test_shapes_have_names_of_their_own() -> None:
    counts = Counter(shape.__name__ for shape in set(_shapes(BaseModel)))
    shown = DOCUMENT["components"]["schemas"]
    assert [name for name, count in counts.items() if count > 1 and name in shown] == []


def _shapes(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Return the shapes of the admin API: in the document they stand side by side, whatever module they are of."""
    for shape in base.__subclasses__():
        if shape.__module__.startswith("gateway.admin."):
            yield shape
        yield from _shapes(shape)


def test_operations_have_names_of_their_own() -> None:
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_is_described(method: str, path: str, operation: Any) -> None:
    assert operation["summary"].endswith((".", "once", ".json"))
    variables = set(re.findall(r"\{(\w+)\}", path))
    parameters = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
    assert parameters == variables
    assert any(status.startswith("2") for status in operation["responses"])


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(route, id=f"{route.method} {route.resource.canonical}")
        for route in APP.router.routes()
        if route.resource is not None
    ],
)
def test_what_a_handler_reads_stands_beside_it(route: web.AbstractRoute) -> None:
    said = description_of(route.handler)
    is_document = str(route.resource).count("openapi.json")
    assert is_open(route.handler) or is_document or said.answer is not None or said.media
    assert route.method not in ("PATCH", "PUT") or said.body is not None


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with serving_app(whole_app(lambda: House().keyring), tmp_path / "admin.sock") as call:
        call_headers = {"Authorization": "Bearer tha_" + "x" * 40}
        assert await call("GET", "/openapi.json", headers=call_headers) == DOCUMENT
        await call("GET", "/openapi.json?x=1", headers=call_headers, expect=400)


async def test_the_query_parameters_of_the_document_are_the_ones_that_are_understood(
    tmp_path: Path,
) -> None:
    async with serving_app(whole_app(lambda: House().keyring), tmp_path / "admin.sock") as call:
        for method, path, operation in _operations():
            known = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
            for name in known:
                told = await _told(call, str(method), str(path), f"{name}=%00")
                assert "There is no query parameter" not in told, (path, name)
            told = await _told(call, str(method), str(path), "unheard_of=1")
            assert "There is no query parameter 'unheard_of'" in told, path


async def _told(call: Caller, method: str, path: str, query: str) -> str:
    """Return what the API says of a query; the bodies and records are such that nothing is done."""
    url = re.sub(r"\{\w+\}", "x", path)
    options: dict[str, Any] = {"headers": {"Authorization": "Bearer tha_" + "x" * 40}}
    if method != "get":
        options["json"] = BODIES.get(path, {"reason": "x"} if method == "post" else {})
    async with call.session.request(method, f"{url}?{query}", **options) as response:
        return str((await response.json(content_type=None)).get("detail"))


BODIES: dict[str, Any] = {
    "/admin/v1/keys": {"tenant_id": "x", "name": "x"},
    "/admin/v1/keys:lookup": {"secret": "x"},
    "/admin/v1/tenants": {"name": ""},
    "/admin/v1/admin-tokens": {"name": "", "role": "viewer"},
    "/admin/v1/alerts:test": {"channel": "", "rule": ""},
    "/admin/v1/audit:prune": {"before": "2026-01-01T00:00:00Z", "reason": "x"},
}
"""Bodies that are read, so that the query is looked at, and then refused."""
