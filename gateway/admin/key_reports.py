"""Reports over keys and what they are used for: hygiene, and least privilege (D13).

Knows paths, pages and how records, usage and configuration are brought together. What is a flaw, and what a tighter key
would be, stands in `domain.hygiene` and `domain.least_privilege`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.key_report_wire import HygieneView, LeastPrivilegeView
from gateway.admin.moments import moment_of
from gateway.admin.problems import BadRequest
from gateway.admin.requests import answer_page, read_choice, read_limit, read_query
from gateway.admin.rights import needs
from gateway.domain.admin_tokens import Right
from gateway.domain.hygiene import (
    IN_USE,
    OF_RECORDS,
    Around,
    Finding,
    Flaw,
    KeyUse,
    Thresholds,
    findings,
)
from gateway.domain.keys import KeyRecord
from gateway.domain.least_privilege import RouteUse
from gateway.domain.queries import KeyQuery
from gateway.domain.tenants import Tenant
from gateway.domain.usage import FacetKind, FacetQuery, FacetRow, Interval, UsageQuery, UsageRow
from gateway.domain.usage_ranges import Range, choose_range
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import Page, missing
from gateway.ports import KeptUsage

_DEFAULT: Final = "30d"
_NETWORKS_COUNTED: Final = 1_000
_NETWORKS_LISTED: Final = 100
_ROWS_MAX: Final = 20_000
"""Rows of usage of one key: more hours than two years have, and more routes than anybody declares."""

_LOOKED_AT_MAX: Final = 20_000
"""Keys that are looked at for one page of a finding that their records tell: half a second."""

_ASKED: Final = ("tenant_id", "environment", "since")
_HYGIENE: Final = (*_ASKED, "idle", "networks", "finding", "limit", "cursor")
_PRIVILEGE: Final = (*_ASKED, "key_id", "limit", "cursor")
_MOMENT: Final = {"type": "string", "description": "A time (RFC 3339), or how long ago: 24h, 30d."}
_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "since": _MOMENT,
    "idle": _MOMENT,
    "finding": {"enum": [str(each) for each in Flaw]},
    "networks": {"type": "integer", "minimum": 1, "maximum": _NETWORKS_COUNTED, "default": 10},
}


class KeyFacts(Protocol):
    """What the configuration in force says about keys."""

    def is_limited(self, key: KeyRecord, tenant: Tenant) -> bool:
        """Tell whether any plan limits a key of that tenant."""
        ...

    def scopes_of_routes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the scopes that each route asks for, by its name."""
        ...


class KeyReportRoutes:
    """The handlers of `/admin/v1/reports` that are about keys; without `usage` nobody counts requests here."""

    def __init__(
        self, keyring: Callable[[], Keyring], facts: KeyFacts, usage: KeptUsage | None
    ) -> None:
        self._keyring = keyring
        self._facts = facts
        self._usage = usage

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/v1/reports/hygiene", self.hygiene, allow_head=False),
            web.get("/admin/v1/reports/least-privilege", self.least_privilege, allow_head=False),
        ]

    @needs(Right.READ, is_filtered=True)
    @describes(Description(answer=HygieneView, query=_HYGIENE, schemas=_SCHEMAS, is_page=True))
    async def hygiene(self, request: web.Request) -> web.Response:
        """List keys with flaws: idle, eternal, unlimited, overdue, shared, used in browsers, under an old pepper.

        A page may hold fewer than `limit`, even none, though more follow.
        """
        query = read_query(request, _HYGIENE)
        now = self._keyring().now()
        wanted = read_choice(query, "finding", Flaw)
        thresholds = Thresholds(
            idle_seconds=now - moment_of(query.get("idle", _DEFAULT), now, "idle"),
            networks_max=_number(query, "networks", Thresholds().networks_max),
        )
        counts = await self._counts(request, query)

        def has_flaw(found: Iterable[Finding]) -> bool:
            return any(each.flaw == wanted or not wanted for each in found)

        views: list[HygieneView] = []
        cursor, limit, looked_at = query.get("cursor", ""), read_limit({**query}), 0
        while True:
            keys = await self._keys(request, query, cursor, limit - len(views))
            around = await self._surroundings(keys.records)
            for key in keys.records:
                of_record = findings(key, around(key, None), thresholds)
                if wanted in OF_RECORDS and not has_flaw(of_record):
                    continue  # nobody needs to be asked what it was used for
                use = await counts.use(key) if counts is not None else None
                found = findings(key, around(key, use), thresholds)
                if has_flaw(found):
                    views.append(HygieneView.of(key, self._keyring().state_of(key), found))
            cursor, looked_at = keys.cursor, looked_at + len(keys.records)
            is_enough = len(views) >= limit or looked_at >= _LOOKED_AT_MAX
            if not cursor or is_enough or wanted not in OF_RECORDS:
                return answer_page(views, cursor)

    @needs(Right.AUDIT, is_filtered=True)
    @describes(
        Description(
            answer=LeastPrivilegeView,
            query=_PRIVILEGE,
            schemas=_SCHEMAS,
            errors=(404, 409),
            is_page=True,
        )
    )
    async def least_privilege(self, request: web.Request) -> web.Response:
        """Tell what keys may do beside what they do, and propose what `:rotate` would take to make them tighter."""
        query = read_query(request, _PRIVILEGE)
        counts = await self._counts(request, query)
        if counts is None:
            raise BadRequest(409, "Usage is not counted here: nobody knows what keys are used for.")
        keys = await self._asked(request, query)
        scopes = self._facts.scopes_of_routes()
        views = [
            LeastPrivilegeView.of(
                key,
                since=counts.range.since,
                routes=[_route_use(row, scopes) for row in await counts.rows(key, "route")],
                hours=await counts.hours(key),
                networks=await counts.networks(key, _NETWORKS_LISTED + 1),
                networks_max=_NETWORKS_LISTED,
                granted=self._keyring().granted,
            )
            for key in keys.records
            if self._keyring().state_of(key) in IN_USE
        ]
        return answer_page(views, keys.cursor)

    # ---- what is read

    async def _asked(self, request: web.Request, query: Mapping[str, str]) -> Page[KeyRecord]:
        key_id = query.get("key_id", "")
        if not key_id:
            return await self._keys(request, query, query.get("cursor", ""), read_limit({**query}))
        key = await self._keyring().get_key(key_id)
        if not await request[PRINCIPAL].reach.includes(key.tenant_id):
            raise missing(KeyRecord, key_id)
        return Page([key], "")

    async def _keys(
        self, request: web.Request, query: Mapping[str, str], cursor: str, limit: int
    ) -> Page[KeyRecord]:
        return await self._keyring().list_keys(
            KeyQuery(
                tenant_id=query.get("tenant_id", ""),
                environment=query.get("environment", ""),
                tenant_ids=await request[PRINCIPAL].reach.tenant_ids(),
            ),
            after=cursor,
            limit=limit,
        )

    async def _counts(self, request: web.Request, query: Mapping[str, str]) -> _Counts | None:
        if self._usage is None:
            return None
        now = self._keyring().now()
        since = max(0.0, moment_of(query.get("since", _DEFAULT), now, "since"))
        if since >= now:
            raise BadRequest(400, "`since` is not ahead of now.")
        hours = choose_range(since, now + 1, now, self._usage.retention(), Interval.HOUR)
        return _Counts(self._usage, hours, await request[PRINCIPAL].reach.tenant_ids())

    async def _surroundings(
        self, keys: Iterable[KeyRecord]
    ) -> Callable[[KeyRecord, KeyUse | None], Around]:
        """Return what keys are judged by, of those in `keys`."""
        keyring = self._keyring()
        now, pepper = keyring.now(), keyring.current_pepper
        ids = dict.fromkeys(key.tenant_id for key in keys)
        tenants = {tenant_id: await keyring.tenants.get(tenant_id) for tenant_id in ids}

        def around(key: KeyRecord, use: KeyUse | None) -> Around:
            return Around(
                moment=now,
                is_limited=self._facts.is_limited(key, tenants[key.tenant_id]),
                rotation_due_at=keyring.rotation_due(key),
                current_pepper=pepper,
                use=use,
            )

        return around


class _Counts:
    """What was counted of single keys, in one range and as far as whoever asks may see."""

    def __init__(self, usage: KeptUsage, range_: Range, tenant_ids: tuple[str, ...] | None) -> None:
        self._store = usage.store
        self._tenant_ids = tenant_ids
        self.range = range_

    async def use(self, key: KeyRecord) -> KeyUse:
        """Return how `key` was used."""
        rows = await self.rows(key)
        return KeyUse(
            networks=len(await self.networks(key, _NETWORKS_COUNTED)),
            from_browser=sum(row.measures.from_browser for row in rows),
        )

    async def rows(self, key: KeyRecord, *group_by: str) -> list[UsageRow]:
        """Return what was counted of `key`."""
        return await self._store.cells(
            UsageQuery(
                since=self.range.since,
                until=self.range.until,
                interval=self.range.interval,
                group_by=group_by,
                key_id=key.key_id,
                tenant_ids=self._tenant_ids,
                limit=_ROWS_MAX,
            )
        )

    async def hours(self, key: KeyRecord) -> Mapping[int, int] | None:
        """Return the requests by the beginning of their hour; None where only days are kept."""
        if self.range.interval is not Interval.HOUR:
            return None
        rows = await self.rows(key, "time")
        return {row.start: row.measures.requests for row in rows if row.start is not None}

    async def networks(self, key: KeyRecord, limit: int) -> list[FacetRow]:
        """Return the networks from which `key` was used, the most used first."""
        return await self._store.facets(
            FacetQuery(
                kind=FacetKind.NETWORK,
                since=self.range.since,
                until=self.range.until,
                key_id=key.key_id,
                tenant_ids=self._tenant_ids,
                limit=limit,
            )
        )


def _route_use(row: UsageRow, scopes: Mapping[str, tuple[str, ...]]) -> RouteUse:
    route = row.route or ""
    return RouteUse(
        route=route,
        requests=row.measures.requests,
        denied=row.measures.denied,
        scopes=scopes.get(route),
    )


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        text = "0"
    if not 1 <= int(text) <= _NETWORKS_COUNTED:
        raise BadRequest(400, f"`{name}` is a number from 1 to {_NETWORKS_COUNTED}.")
    return int(text)
