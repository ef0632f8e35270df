"""Usage over the admin API: how much was asked, by whom, of what, and what came of it.

Knows paths, ranges, pages and the two forms, JSON and CSV. It must not know how usage is counted or kept.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.moments import moment_of
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    LIMIT_MAX,
    answer_json,
    begin_file,
    read_choice,
    read_limit,
    read_query,
)
from gateway.admin.rights import needs
from gateway.admin.spreadsheet import CSV, csv_lines
from gateway.admin.usage_wire import (
    FacetRowView,
    FacetsView,
    UsageRowView,
    UsageView,
    cells,
    columns,
)
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right
from gateway.domain.usage import (
    GROUPS,
    ORDERS,
    FacetKind,
    FacetQuery,
    Interval,
    UsageQuery,
    UsageRow,
)
from gateway.domain.usage_ranges import Range, choose_range
from gateway.ports import KeptUsage

_PATH: Final = "/admin/v1/usage"
_FILTERS: Final = ("key_id", "lineage_id", "tenant_id", "owner_id", "route", "environment")
_ASKED: Final = (
    *("since", "until", "interval", "group_by", *_FILTERS, "sort", "limit", "cursor", "format"),
)
_FACETS_ASKED: Final = ("kind", "since", "until", "key_id", "tenant_id", "group_by", "limit")
_FORMS: Final = ("json", "csv")
_TOTAL: Final = "total"
_SINCE_DEFAULT: Final = "24h"
_AHEAD_SECONDS: Final = 86_400.0
"""How far ahead of now a range is looked at: clocks may differ, and years beyond 9999 cannot be written."""

_ROWS_PER_PAGE: Final = 5_000
"""Rows of a table that are read together."""

_MOMENT: Final = {"type": "string", "description": "A time (RFC 3339), or how long ago: 24h, 30d."}
_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "since": _MOMENT,
    "until": _MOMENT,
    "interval": {
        "enum": [*map(str, Interval), _TOTAL],
        "description": "One row per interval; `total`, or none with groups but `time`: one for the range.",
    },
    "group_by": {
        "type": "string",
        "description": f"Names with commas between them, of {', '.join(GROUPS)}.",
    },
    "sort": {"enum": [f"-{order}" for order in ORDERS], "description": "The highest first."},
    "format": {"enum": [*_FORMS], "default": _FORMS[0]},
}


class UsageRoutes:
    """The handlers of `/admin/v1/usage`."""

    def __init__(self, usage: KeptUsage, now: Callable[[], float]) -> None:
        self._usage = usage
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_PATH, self.show, allow_head=False),
            web.get(f"{_PATH}/facets", self.facets, allow_head=False),
        ]

    @needs(Right.READ, is_filtered=True)
    @describes(Description(answer=UsageView, query=_ASKED, schemas=_SCHEMAS, media=("text/csv",)))
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Tell what was counted of requests, summed up by key, route, time and others."""
        query = read_query(request, _ASKED)
        asked = replace(self._read(query), tenant_ids=await request[PRINCIPAL].reach.tenant_ids())
        if read_choice(query, "format", _FORMS) == "csv":
            return await self._table(request, query, asked)
        limit = read_limit(query)
        found = await self._usage.store.cells(replace(asked, limit=limit + 1))
        rows, has_more = found[:limit], len(found) > limit
        cursor = _cursor(asked, rows[-1]) if has_more and not asked.order_by else None
        answer = UsageView(
            interval=asked.interval,
            since=_moment(asked.since),
            until=_moment(asked.until),
            data=[UsageRowView.of(row, asked.group_by) for row in rows],
            next_cursor=cursor,
            has_more=has_more,
        )
        return answer_json(answer.model_dump(mode="json", exclude_unset=True))

    async def _table(
        self, request: web.Request, query: Mapping[str, str], asked: UsageQuery
    ) -> web.StreamResponse:
        """Write everything that is found, page by page, at the pace of whoever reads."""
        for name in ("limit", "cursor", "sort"):
            if name in query:
                raise BadRequest(400, f"A CSV holds all that is found, in order: no `{name}`.")
        asked = replace(asked, limit=_ROWS_PER_PAGE)
        rows = await self._usage.store.cells(asked)
        response = await begin_file(request, CSV, "usage.csv")
        await response.write(csv_lines([columns(asked.group_by)]))
        while rows:
            for start in range(0, len(rows), LIMIT_MAX):
                part = rows[start : start + LIMIT_MAX]
                await response.write(csv_lines(cells(row, asked.group_by) for row in part))
            if len(rows) < _ROWS_PER_PAGE or not asked.group_by:
                break
            asked = replace(asked, after=rows[-1].place(asked.group_by))
            rows = await self._usage.store.cells(asked)
        await response.write_eof()
        return response

    @needs(Right.READ, is_filtered=True)
    @describes(
        Description(
            answer=FacetsView,
            query=_FACETS_ASKED,
            schemas={
                **_SCHEMAS,
                "kind": {"enum": [*map(str, FacetKind)], "default": FacetKind.NETWORK.value},
                "group_by": {"enum": ["key"]},
            },
        )
    )
    async def facets(self, request: web.Request) -> web.Response:
        """Tell from which networks and countries requests came, or with which user agents."""
        query = read_query(request, _FACETS_ASKED)
        kind = FacetKind(read_choice(query, "kind", FacetKind) or FacetKind.NETWORK)
        since, until = self._read_moments(query)
        hour = Interval.HOUR
        limit = read_limit(query)
        asked = FacetQuery(
            kind=kind,
            since=hour.start_of(since),
            until=until,
            key_id=query.get("key_id", ""),
            tenant_id=query.get("tenant_id", ""),
            by_key=bool(read_choice(query, "group_by", ("key",))),
            tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
            limit=limit + 1,
        )
        found = await self._usage.store.facets(asked)
        answer = FacetsView(
            kind=kind,
            since=_moment(asked.since),
            until=_moment(until),
            data=[FacetRowView.of(row) for row in found[:limit]],
            has_more=len(found) > limit,
        )
        return answer_json(answer.model_dump(mode="json", exclude_unset=True))

    def _read(self, query: Mapping[str, str]) -> UsageQuery:
        """Return what is asked for. Raises `BadRequest`."""
        groups = _read_groups(query)
        name = read_choice({**query}, "interval", (*Interval, _TOTAL))
        wanted = Interval(name) if name not in ("", _TOTAL) else None
        if wanted is not None and "time" not in groups:
            groups = ("time", *groups)
        if name == _TOTAL and "time" in groups:
            raise BadRequest(400, "`interval=total` has no `time` to group by.")
        order = query.get("sort", "")
        if order and (order[0] != "-" or order[1:] not in ORDERS):
            raise BadRequest(400, f"`sort` is one of {', '.join(f'-{each}' for each in ORDERS)}.")
        if order and query.get("cursor"):
            raise BadRequest(400, "What is sorted has no further pages: leave out `cursor`.")
        cursor = query.get("cursor", "")
        if cursor:
            told, after = _read_cursor(cursor, groups)
        else:
            since, until = self._read_moments(query)
            told = choose_range(since, until, self._now(), self._usage.retention(), wanted)
            after = ()
        filters: dict[str, Any] = {filter_: query.get(filter_, "") for filter_ in _FILTERS}
        return UsageQuery(
            since=told.since,
            until=told.until,
            interval=told.interval,
            group_by=groups,
            order_by=order.removeprefix("-"),
            after=after,
            **filters,
        )

    def _read_moments(self, query: Mapping[str, str]) -> tuple[float, float]:
        now = self._now()
        since = max(0.0, moment_of(query.get("since", _SINCE_DEFAULT), now, "since"))
        until = min(now + _AHEAD_SECONDS, _read_until(query, now))
        if since >= until:
            raise BadRequest(400, "`since` must be before `until`, and not ahead of now.")
        return since, until


def _read_until(query: Mapping[str, str], now: float) -> float:
    text = query.get("until")
    return now if text is None else moment_of(text, now, "until")


def _read_groups(query: Mapping[str, str]) -> tuple[str, ...]:
    text = query.get("group_by", "")
    groups = tuple(text.split(",")) if text else ()
    if not {*groups} <= {*GROUPS} or len({*groups}) < len(groups):
        raise BadRequest(400, f"`group_by` names each once, with commas: {', '.join(GROUPS)}.")
    return groups


def _moment(moment: float) -> str:
    return instant(int(moment)) or ""


def _cursor(asked: UsageQuery, last: UsageRow) -> str:
    """Return where the next page begins: the same range, behind the last row."""
    place = [asked.interval, int(asked.since), int(asked.until), *last.place(asked.group_by)]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, groups: Sequence[str]) -> tuple[Range, tuple[str | int, ...]]:
    """Return range and place of a cursor. Raises `BadRequest` for one that was not given out for such groups."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        interval, since, until, *after = json.loads(text)
        told = Range(interval=Interval(interval), since=_whole(since), until=_whole(until))
    except (ValueError, TypeError, binascii.Error):
        raise BadRequest(400, "`cursor` is the `next_cursor` of the page before.") from None
    whole = ("time", "billable")
    kinds = [int if group in whole else str for group in groups]
    if [*map(type, after)] != kinds or not all(
        isinstance(each, str) or _fits(each) for each in after
    ):
        raise BadRequest(400, "`cursor` is the `next_cursor` of the page before.")
    return told, tuple(after)


def _whole(value: object) -> int:
    if not isinstance(value, int) or not _fits(value):
        raise ValueError("no moment")
    return value


def _fits(number: int) -> bool:
    return 0 <= number < 1 << 40
