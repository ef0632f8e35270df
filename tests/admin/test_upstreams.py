"""The state of upstreams over the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.upstreams.overview import ServiceOverview
from tests.cli.test_upstreams import JOBS
from tests.keyring.house import House


async def overview() -> Sequence[ServiceOverview]:
    return [JOBS]


async def test_state_of_upstreams_is_read_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    house = House()
    app = create_admin_app(lambda: house.keyring, upstreams=overview)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    url = "http://tollhouse/admin/v1/upstreams"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        async with session.get(url) as answer:
            assert answer.status == 200
            page = await answer.json()
        async with session.get(url, params={"limit": "1"}) as answer:
            assert answer.status == 400
        async with session.post(url) as answer:
            assert answer.status == 405
    await runner.cleanup()
    assert (page["has_more"], page["next_cursor"]) == (False, None)
    (jobs,) = page["data"]
    assert jobs.keys() == {
        *("name", "is_up", "is_panicking", "breaker", "balance"),
        *("requests", "retries", "ejections", "targets"),
    }
    assert [target["weight"] for target in jobs["targets"]] == [1, 2]
