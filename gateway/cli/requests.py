"""`tollhouse requests`: searches the request log.

Knows options and columns, and which requests are new to somebody who follows the log: they are told by the time at
which they ended, since processes write one after the other. What is found, the gateway says.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.cli.client import AdminClient
from gateway.cli.lists import Filter, Listing, add_list, add_tail, asked, follow
from gateway.cli.moments import moment
from gateway.cli.options import Verbs
from gateway.cli.output import Printer

_TAIL: Final = Listing(
    path="/requests",
    things="requests",
    columns=(
        *("ts", "status", "reason", "method", "target", "route", "key_id", "client_address"),
        *("duration_ms", "request_id"),
    ),
    filters=(
        Filter("--key", "key_id", "only requests with this key", "KEY_ID"),
        Filter("--tenant", "tenant_id", "only requests of this tenant", "TENANT_ID"),
        Filter("--route", "route", "only requests on this route", "NAME"),
        Filter("--ip", "client_address", "only requests from this address", "ADDRESS"),
        Filter("--status", "status", "only this status, such as 403 or 4xx"),
        Filter("--reason", "reason", "only requests refused for this reason"),
        Filter(
            "--shadow", "shadow", "only those that shadow rules would refuse; * for any", "REASON"
        ),
        Filter("--request-id", "request_id", "only the request with this id", "ID"),
        Filter(
            "--since",
            "since",
            "only requests that ended later: a time, or 2h",
            "TIME",
            type=moment,
        ),
    ),
)
_UNTIL: Final = Filter("--until", "until", "only requests begun before", "TIME", type=moment)
_QUERY: Final = replace(_TAIL, filters=(*_TAIL.filters, _UNTIL))

_LATE: Final = timedelta(seconds=5)
"""How much later than others a process may write what ended before."""

_LOOK_MAX: Final = 10_000
"""Requests that one look takes; a gateway that answers more in a second is not for eyes."""


def register(verbs: Verbs) -> None:
    """Add `requests` and its verbs."""
    parser = verbs.add_parser(
        "requests",
        help="search the request log",
        description="Search the request log: every request, also the refused ones.",
    )
    inner = parser.add_subparsers(dest="requests_verb", metavar="VERB", required=True)
    add_list(inner, _QUERY, "search for requests, the newest first", name="query", limit=100)
    add_tail(inner, _TAIL, _tail)


async def _tail(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    query = asked(options, _TAIL.filters)
    begin, _ = await client.entries(_TAIL.path, query, options.limit)
    begin.reverse()
    if options.follow:
        await follow(_TAIL, begin, Newcomers(client, query, begin, printer).look, printer)
    printer.entries(begin, _TAIL.columns)


class Newcomers:
    """The requests that were not there before: those that ended since `begin` and were not seen."""

    def __init__(
        self,
        client: AdminClient,
        query: dict[str, str],
        begin: list[dict[str, Any]],
        printer: Printer,
    ) -> None:
        self._client = client
        self._query = query
        self._printer = printer
        self._first = max(map(_end_of, begin), default=datetime.min.replace(tzinfo=UTC))
        self._latest = self._first
        self._seen = {_identity(row): _end_of(row) for row in begin}

    async def look(self) -> list[dict[str, Any]]:
        """Return what is new, the oldest first."""
        query = dict(self._query)
        if self._seen:
            query["since"] = _told(max(self._first, self._latest - _LATE))
        found, has_more = await self._client.entries(_TAIL.path, query, _LOOK_MAX)
        if has_more:
            self._printer.message(f"more than {_LOOK_MAX} requests at once: some are not shown")
        new = [row for row in reversed(found) if self._is_new(row)]
        self._seen |= {_identity(row): _end_of(row) for row in new}
        self._latest = max([self._latest, *map(_end_of, new)])
        border = self._latest - 2 * _LATE if self._seen else self._latest
        self._seen = {each: end for each, end in self._seen.items() if end >= border}
        return new

    def _is_new(self, row: dict[str, Any]) -> bool:
        return _end_of(row) >= self._first and _identity(row) not in self._seen


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Ids that clients chose may come twice."""
    return row["request_id"], row["ts"], row["duration_ms"]


def _end_of(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["ts"]) + timedelta(milliseconds=row["duration_ms"])


def _told(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")
