"""Reports over the request log: what rules in shadow mode would have refused.

Knows paths, pages of the log and JSON. It must not know how requests are logged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from gateway.admin.acts import read_key_id
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.moments import moment_of
from gateway.admin.problems import BadRequest
from gateway.admin.requests import answer, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right
from gateway.domain.queries import ANY_SHADOW, RequestQuery
from gateway.domain.would_block import WouldBlock
from gateway.ports import RequestLog

ROWS_MAX: Final = 100_000
"""Requests that one report reads: a minute of the busiest gateway, a month of most. More are said to be left out."""

_PAGE: Final = 1000
SINCE_DEFAULT: Final = "24h"
_ASKED: Final = ("key_id", "tenant_id", "route", "since")


class GroupView(View):
    """Requests that one rule would have refused: of one key, on one route, from one address."""

    rule: str
    reason: str
    key_id: str | None
    tenant_id: str | None
    route: str
    client_address: str
    requests: int
    first_seen: str
    last_seen: str


class WouldBlockView(View):
    """The report. `is_complete` is false where the log held more than is read for one."""

    since: str | None
    findings: int
    is_complete: bool
    data: list[GroupView]


class ReportRoutes:
    """The handlers of `/admin/v1/reports`; `requests` returns None where requests are not logged."""

    def __init__(self, requests: Callable[[], RequestLog | None], now: Callable[[], float]) -> None:
        self._requests = requests
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/v1/reports/would-block", self.would_block, allow_head=False)]

    @needs(Right.AUDIT, is_filtered=True)
    @describes(Description(answer=WouldBlockView, query=_ASKED, errors=(404, 409)))
    async def would_block(self, request: web.Request) -> web.Response:
        """Tell what rules in shadow mode would have refused, by rule, key, route and client address."""
        query = read_query(request, _ASKED)
        since = moment_of(query.get("since", SINCE_DEFAULT), self._now(), "since")
        log, report = logged(self._requests), WouldBlock()
        wanted = RequestQuery(
            since=since,
            shadow=ANY_SHADOW,
            key_id=await read_key_id(request, query),
            tenant_id=query.get("tenant_id", ""),
            route=query.get("route", ""),
            tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
        )
        left = ROWS_MAX
        async for row in rows(log, wanted, left + 1):
            left -= 1
            if left >= 0:
                report.add(row)
        return answer(
            WouldBlockView(
                since=instant(round(since)),
                findings=report.findings,
                is_complete=report.is_complete and left >= 0,
                data=[GroupView(**asdict(group)) for group in report.groups()],
            )
        )


def logged(requests: Callable[[], RequestLog | None]) -> RequestLog:
    """Return the request log. Raises `BadRequest` where there is none."""
    log = requests()
    if log is None:
        raise BadRequest(409, "Requests are not logged here: there is nothing to report from.")
    return log


async def rows(
    log: RequestLog, query: RequestQuery, rows_max: int
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the rows that `query` asks for, the newest first, at most `rows_max`."""
    cursor = ""
    while rows_max > 0:
        page = await log.search(query, limit=min(_PAGE, rows_max), cursor=cursor)
        for row in page.rows:
            yield row
        rows_max -= len(page.rows)
        cursor = page.cursor
        if not cursor:
            return
