"""The request log over the admin API: who asked for what, with which key, from where, and what came of it.

Knows paths, filters and the two forms, JSON and CSV, and that a token which is bound to a tenant reads the requests of
its tenants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from gateway.admin.acts import read_key_id
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.life_wire import RequestsView
from gateway.admin.moments import read_moment
from gateway.admin.problems import BadRequest
from gateway.admin.requests import LIMIT_MAX, begin_file, read_choice, read_limit, read_query
from gateway.admin.rights import needs
from gateway.admin.spreadsheet import CSV, csv_lines
from gateway.domain.admin_tokens import Right
from gateway.domain.queries import RequestQuery
from gateway.ports import RequestLog

_OF_KEY: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}/requests"
_TEXTS: Final = ("key_id", "tenant_id", "route", "client_address", "request_id", "reason", "shadow")
_ASKED: Final = (*_TEXTS, "status", "since", "until")
_ASKED_OF_KEY: Final = _ASKED[1:]
_PAGING: Final = ("limit", "cursor", "format")
_STATUS: Final = re.compile(r"[1-5]xx|[1-5][0-9][0-9]|0")
_FORMS: Final = ("json", "csv")

COLUMNS: Final = (
    *("ts", "request_id", "method", "target", "route", "status", "reason", "detail", "source"),
    *("key_id", "tenant_id", "environment", "client_address", "peer_address", "user_agent"),
    *("duration_ms", "upstream", "request_bytes", "response_bytes", "ended"),
)
"""What a CSV holds."""


class KeptLog(RequestLog, Protocol):
    """A request log that may be switched off."""

    @property
    def is_kept(self) -> bool:
        """Tell whether requests are kept."""
        ...


def _described(*asked: str) -> Description:
    return Description(
        answer=RequestsView,
        query=(*asked, *_PAGING),
        schemas={"format": {"enum": [*_FORMS]}},
        errors=(404, 409, 422),
        media=("text/csv",),
    )


class RequestLogRoutes:
    """The handlers of `/admin/v1/requests`."""

    def __init__(self, log: KeptLog) -> None:
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/v1/requests", self.page, allow_head=False),
            web.get(_OF_KEY, self.page_of_key, allow_head=False),
        ]

    @needs(Right.AUDIT, is_filtered=True)
    @describes(_described(*_ASKED))
    async def page(self, request: web.Request) -> web.StreamResponse:
        """List requests, those that ended last first."""
        query = read_query(request, (*_ASKED, *_PAGING))
        await read_key_id(request, query)
        return await self._answer(request, query)

    @needs(Right.AUDIT)
    @describes(_described(*_ASKED_OF_KEY))
    async def page_of_key(self, request: web.Request) -> web.StreamResponse:
        """List the requests that one key made."""
        query = read_query(request, (*_ASKED_OF_KEY, *_PAGING))
        return await self._answer(request, query | {"key_id": request.match_info["key_id"]})

    async def _answer(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        if not self._log.is_kept:
            raise BadRequest(409, "No requests are kept here: `request_log.path` is off.")
        asked = _read_asked(query, await request[PRINCIPAL].reach.tenant_ids())
        if read_choice(query, "format", _FORMS) == "csv":
            if "limit" in query or "cursor" in query:
                raise BadRequest(
                    400, "A CSV holds all that is found: leave out `limit` and `cursor`."
                )
            return await self._stream(request, asked)
        found = await self._log.search(
            asked, limit=read_limit(query), cursor=query.get("cursor", "")
        )
        body = {
            "data": found.rows,
            "next_cursor": found.cursor or None,
            "has_more": bool(found.cursor),
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _stream(self, request: web.Request, asked: RequestQuery) -> web.StreamResponse:
        """Write everything that is found, page by page, at the pace of whoever reads."""
        page = await self._log.search(asked, limit=LIMIT_MAX)
        response = await begin_file(request, CSV, "requests.csv")
        await response.write(csv_head())
        while True:
            await response.write(csv_of(page.rows))
            if not page.cursor:
                break
            page = await self._log.search(asked, limit=LIMIT_MAX, cursor=page.cursor)
        await response.write_eof()
        return response


def _read_asked(query: Mapping[str, str], tenant_ids: tuple[str, ...] | None) -> RequestQuery:
    status = query.get("status", "")
    if status and _STATUS.fullmatch(status) is None:
        raise BadRequest(400, "`status` is a number such as 403, or a class such as 4xx.")
    return RequestQuery(
        **{name: query.get(name, "") for name in _TEXTS},
        status=status,
        since=read_moment(query, "since"),
        until=read_moment(query, "until"),
        tenant_ids=tenant_ids,
    )


def csv_head() -> bytes:
    """Return the first line of a table of requests."""
    return csv_lines([COLUMNS])


def csv_of(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as lines of a table (RFC 4180)."""
    return csv_lines([row.get(column) for column in COLUMNS] for row in rows)
