"""Incidents over the admin API: stop a key that others may know, and look at what was done with it.

Knows paths, status codes and how requests become a table. It must not decide what is done about a key, nor read the
request log's files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from gateway.admin.acts import read_act, read_tenants, require_for_secret
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes, lists, shows
from gateway.admin.idempotency import once
from gateway.admin.life_wire import IncidentOpened, IncidentView, KeyCompromise, RequestsView
from gateway.admin.problems import BadRequest
from gateway.admin.request_log import KeptLog, csv_head, csv_of
from gateway.admin.requests import (
    LIMIT_MAX,
    answer,
    answer_changed,
    answer_page,
    read_limit,
    read_query,
    read_sort,
)
from gateway.admin.rights import needs
from gateway.admin.wire import KeyView, export_name
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Order
from gateway.domain.incidents import Incident
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import RequestQuery
from gateway.keyring.door import Keyring
from gateway.store_ports import RequestPage

CSV_ROWS_MAX: Final = 10_000
"""Rows of one table: a few megabytes. More are had with the cursor."""

CSV_SECONDS_MAX: Final = 20.0
"""Time for one table; a client waits for about 30 s."""

_KEY: Final = "/admin/v1/keys/{key_id:[A-Za-z0-9._-]{1,64}}"
_ALL: Final = "/admin/v1/incidents"
_ONE: Final = f"{_ALL}/{{incident_id:[A-Za-z0-9._-]{{1,64}}}}"
_SORTS: Final = ("opened_at", "since")
_FILTERS: Final = ("route", "client_address", "status", "reason", "request_id")


class IncidentRoutes:
    """The handlers of `/admin/v1/incidents`, and of `:compromise`."""

    def __init__(self, keyring: Callable[[], Keyring], log: KeptLog | None) -> None:
        self._keyring = keyring
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{_KEY}:compromise", self.compromise),
            web.get(_ALL, self.page, allow_head=False),
            web.get(_ONE, self.show, allow_head=False),
            web.get(f"{_ONE}/requests", self.requests, allow_head=False),
        ]

    @needs(Right.OPERATE)
    @describes(
        Description(
            body=KeyCompromise,
            answer=IncidentOpened,
            status=201,
            is_act=True,
            is_change=True,
            is_repeatable=True,
        )
    )
    async def compromise(self, request: web.Request) -> web.Response:
        """Revoke a key, replace it, and say what was done with it since it may have been known to others."""
        body, order = await read_act(request, KeyCompromise)
        key = await self._keyring().get_key(request.match_info["key_id"])
        if body.with_replacement:
            await require_for_secret(request, key)
        within = await request[PRINCIPAL].reach.tenant_ids()
        make = partial(self._compromise, key, body, order, within)
        return await once(request, self._keyring().repeats, make)

    async def _compromise(
        self,
        key: KeyRecord,
        body: KeyCompromise,
        order: Order,
        within: tuple[str, ...] | None,
    ) -> tuple[str, web.Response]:
        since = key.created_at if body.since is None else body.since.timestamp()
        opened = await self._keyring().incidents.compromise(
            key.key_id, order, since=since, with_replacement=body.with_replacement
        )
        minted = opened.minted
        found = None
        if self._log is not None and self._log.is_kept:
            asked = _asked_of(opened.incident, RequestQuery(tenant_ids=within))
            found = await self._log.search(asked, limit=100)
        shown = IncidentOpened(
            incident=IncidentView.of(opened.incident),
            revoked_key=self._view(opened.revoked),
            new_key=None if minted is None else self._view(minted.record),
            secret=None if minted is None else minted.secret or None,
            export_name=export_name(await self._keyring().tenants.get(key.tenant_id), key),
            warnings=() if minted is None else minted.warnings,
            requests=None if found is None else _page_view(found),
        )
        location = f"{_ALL}/{opened.incident.incident_id}"
        response = answer_changed(shown, opened.enforced, status=201, location=location)
        return opened.incident.incident_id, response

    @needs(Right.READ, is_filtered=True)
    @lists(IncidentView, "tenant_id", "key_id", sorts=_SORTS, errors=(404,))
    async def page(self, request: web.Request) -> web.Response:
        """List incidents by tenant and key."""
        query = read_query(request, ("tenant_id", "key_id", "sort", "limit", "cursor"))
        tenant_id, within = await read_tenants(request, query)
        found = await self._keyring().incidents.page(
            tenant_id=tenant_id,
            tenant_ids=within,
            key_id=query.get("key_id", ""),
            after=query.get("cursor", ""),
            limit=read_limit(query),
            sort=read_sort(query, _SORTS),
        )
        return answer_page(map(IncidentView.of, found.records), found.cursor)

    @needs(Right.READ)
    @shows(IncidentView)
    async def show(self, request: web.Request) -> web.Response:
        """Show one incident."""
        read_query(request, ())
        return answer(IncidentView.of(await self._incident(request)))

    @needs(Right.AUDIT)
    @describes(
        Description(
            answer=RequestsView,
            query=(*_FILTERS, "limit", "cursor", "format"),
            schemas={"format": {"enum": ["json", "csv"]}},
            errors=(409,),
            media=("text/csv",),
        )
    )
    async def requests(self, request: web.Request) -> web.Response:
        """List the requests that were made with the key since the incident's `since`, the newest first.

        With `format=csv`, or where CSV is accepted and JSON is not, a table to keep.
        """
        query = read_query(request, (*_FILTERS, "limit", "cursor", "format"))
        form = query.get("format", "")
        if form not in ("", "json", "csv"):
            raise BadRequest(400, "`format` is json or csv.")
        is_table = form == "csv" or (not form and _accepts_only(request, "text/csv"))
        incident = await self._incident(request)
        asked = RequestQuery(
            route=query.get("route", ""),
            client_address=query.get("client_address", ""),
            status=query.get("status", ""),
            reason=query.get("reason", ""),
            request_id=query.get("request_id", ""),
            tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
        )
        if self._log is None or not self._log.is_kept:
            raise BadRequest(409, "No request log is kept here.")
        cursor = query.get("cursor", "")
        if is_table:
            limit = read_limit(query) if "limit" in query else CSV_ROWS_MAX
            whole = await _all(self._log, _asked_of(incident, asked), limit, cursor)
            return _table(incident, whole)
        found = await self._log.search(
            _asked_of(incident, asked), limit=read_limit(query), cursor=cursor
        )
        return answer(_page_view(found))

    async def _incident(self, request: web.Request) -> Incident:
        return await self._keyring().incidents.get(request.match_info["incident_id"])

    def _view(self, record: KeyRecord) -> KeyView:
        return KeyView.of(record, self._keyring().state_of(record))


def _asked_of(incident: Incident, asked: RequestQuery) -> RequestQuery:
    return replace(asked, key_id=incident.key_id, since=incident.since)


async def _all(log: KeptLog, query: RequestQuery, limit: int, cursor: str) -> RequestPage:
    """Return what is found, page by page, up to `limit`, or as far as the time goes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CSV_SECONDS_MAX
    rows: list[Mapping[str, Any]] = []
    while True:
        page = await log.search(query, limit=min(LIMIT_MAX, limit - len(rows)), cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if not cursor or len(rows) >= limit or loop.time() >= deadline:
            return RequestPage(rows, cursor)


def _accepts_only(request: web.Request, kind: str) -> bool:
    accepted = request.headers.get("Accept", "")
    return kind in accepted and "application/json" not in accepted


def _page_view(page: RequestPage) -> RequestsView:
    return RequestsView(
        data=[dict(row) for row in page.rows],
        next_cursor=page.cursor or None,
        has_more=bool(page.cursor),
    )


def _table(incident: Incident, page: RequestPage) -> web.Response:
    """Answer with an attachment (RFC 4180); where more rows follow, `X-Next-Cursor` says how to go on."""
    response = web.Response(
        body=csv_head() + csv_of(page.rows), content_type="text/csv", charset="utf-8"
    )
    name = f"{incident.incident_id}-requests.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if page.cursor:
        response.headers["X-Next-Cursor"] = page.cursor
    return response
