"""The admin API on a unix socket, over a memory store and a request log that is a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.admin.deliveries import link_under
from gateway.domain.key_rules import Refused
from gateway.domain.queries import RequestQuery
from gateway.store_ports import RequestPage
from tests.admin.caller import Caller
from tests.keyring.house import House

CREATE: Mapping[str, Any] = {
    "tenant_id": "ten_a",
    "name": "CI",
    "environment": "live",
    "scopes": ["read"],
}


class ListedLog:
    """A request log over rows in memory, the newest first; cursors are numbers."""

    is_kept = True

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[RequestQuery] = []

    def add(self, key_id: str, at: float, address: str, agent: str = "curl/8", **more: Any) -> None:
        row = {"key_id": key_id, "at": at, "client_address": address, "user_agent": agent}
        self.rows.insert(0, {"status": 200, "reason": None, **row, **more})

    async def search(
        self, query: RequestQuery, *, limit: int = 100, cursor: str = ""
    ) -> RequestPage:
        self.asked.append(query)
        if cursor and not (cursor.isascii() and cursor.isdigit()):
            raise Refused([("/cursor", "is not one that was given out")])
        start = int(cursor or 0)
        found = [
            row
            for row in self.rows
            if row["key_id"] == query.key_id
            and row["at"] >= (query.since or 0)
            and query.status in ("", str(row["status"]))
        ]
        rows: Sequence[Mapping[str, Any]] = found[start : start + limit]
        more = start + limit < len(found)
        return RequestPage(list(rows), str(start + limit) if more else "")

    async def clients(
        self, key_id: str, since: float, tenant_ids: tuple[str, ...] | None = None
    ) -> list[Mapping[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for row in reversed(self.rows):
            if row["key_id"] == key_id and row["at"] >= since:
                who = (row["client_address"], row["user_agent"])
                client = found.setdefault(
                    who,
                    {
                        "client_address": who[0],
                        "user_agent": who[1],
                        "requests": 0,
                        "first_at": row["at"],
                    },
                )
                client["requests"] += 1
                client["last_at"] = row["at"]
        return sorted(found.values(), key=lambda each: -each["last_at"])


class Api(Caller):
    """Calls the API; `raw` returns an answer as it is, for what is no JSON."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(session)
        self.session = session

    async def raw(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, Mapping[str, str], str]:
        async with self.session.request(method, path, **options) as response:
            return response.status, response.headers, await response.text()

    async def create(self, **values: Any) -> Any:
        return await self("POST", "/keys", {**CREATE, **values}, expect=201)


@asynccontextmanager
async def serving(
    house: House, folder: Path, log: ListedLog | None, base_url: str = "https://keys.test"
) -> AsyncIterator[Api]:
    app = create_admin_app(
        lambda: house.keyring, request_log=log, link=partial(link_under, base_url=base_url)
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = folder / "admin.sock"
    try:
        await web.UnixSite(runner, str(path)).start()
        connector = aiohttp.UnixConnector(str(path))
        async with aiohttp.ClientSession("http://admin", connector=connector) as session:
            yield Api(session)
    finally:
        await runner.cleanup()
