"""No route is without a right, whoever adds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from gateway.admin.auth import Doorkeeper
from gateway.admin.described import description_of
from gateway.admin.problems import answer_problems
from gateway.admin.rights import is_open, open_to_all, right_of
from gateway.domain.admin_tokens import Right, Role
from tests.admin.caller import Caller, serving_app
from tests.admin.whole import whole_app
from tests.key_samples import ORDER
from tests.keyring.house import House

ROUTES = [
    pytest.param(route, id=f"{route.method} {route.resource.canonical}")
    for route in whole_app(lambda: House().keyring).router.routes()
    if route.resource is not None
]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_declares_its_right(route: web.AbstractRoute) -> None:
    assert is_open(route.handler) or right_of(route.handler) in set(Right)


@pytest.mark.parametrize("route", ROUTES)
def test_what_changes_something_needs_more_than_reading(route: web.AbstractRoute) -> None:
    if description_of(route.handler).is_act and not is_open(route.handler):
        assert right_of(route.handler) in (Right.OPERATE, Right.ADMINISTER)


class _Routes:
    async def silent(self, _: web.Request) -> web.Response:
        return web.json_response({})

    @open_to_all
    async def open(self, _: web.Request) -> web.Response:
        return web.json_response({})


async def test_a_route_that_declares_nothing_needs_the_most(tmp_path: Path) -> None:
    house = House()
    app = web.Application(
        middlewares=(answer_problems, Doorkeeper(lambda: house.keyring, lambda: None).admit)
    )
    app.router.add_get("/admin/v1/silent", _Routes().silent)
    app.router.add_get("/admin/v1/open", _Routes().open)
    create = house.keyring.admin_tokens.create
    async with serving_app(app, None) as call:

        async def get(path: str, role: Role, expect: int) -> None:
            secret = (await create("x", role, ORDER)).secret
            headers = {"Authorization": f"Bearer {secret}"}
            await call("GET", path, expect=expect, headers=headers)

        await get("/silent", Role.OPERATOR, 403)
        await get("/silent", Role.ADMIN, 200)
        await _answers_everybody(call)


async def _answers_everybody(call: Caller) -> None:
    await call("GET", "/open")
    await call("GET", "/silent", expect=401)
    await call("GET", "/nowhere", expect=401)
