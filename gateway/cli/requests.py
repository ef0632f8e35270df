"""`tollhouse requests`: searches the request log.

Knows options and columns. What is found, the gateway says.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final

from gateway.cli.client import AdminClient
from gateway.cli.moments import moment
from gateway.cli.options import Verbs, add_verb, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("ts", "status", "reason", "method", "target", "route", "key_id", "client_address"),
    *("duration_ms", "request_id"),
)
_LOOK_SECONDS: Final = 1.0
_SEEN_MAX: Final = 10_000


def register(verbs: Verbs) -> None:
    """Add `requests` and its verbs."""
    parser = verbs.add_parser(
        "requests",
        help="search the request log",
        description="Search the request log: every request, also the refused ones.",
    )
    inner = parser.add_subparsers(dest="requests_verb", metavar="VERB", required=True)
    query = add_verb(inner, "query", _query, "search for requests, the newest first")
    _add_filters(query)
    query.add_argument("--until", type=moment, metavar="TIME", help="only requests begun before")
    query.add_argument(
        "--limit", type=positive, default=100, help="most requests (default: %(default)s)"
    )
    tail = add_verb(inner, "tail", _tail, "show the latest requests, and those that come")
    _add_filters(tail)
    tail.add_argument(
        "--limit", type=positive, default=20, help="requests to begin with (default: %(default)s)"
    )
    tail.add_argument("--follow", action="store_true", help="go on until interrupted")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="KEY_ID", help="only requests with this key")
    parser.add_argument("--tenant", metavar="TENANT_ID", help="only requests of this tenant")
    parser.add_argument("--route", metavar="NAME", help="only requests on this route")
    parser.add_argument("--ip", metavar="ADDRESS", help="only requests from this address")
    parser.add_argument("--status", help="only this status, such as 403 or 4xx")
    parser.add_argument("--reason", help="only requests refused for this reason")
    parser.add_argument(
        "--shadow", metavar="REASON", help="only those that shadow rules would refuse"
    )
    parser.add_argument("--request-id", metavar="ID", help="only the request with this id")
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="only requests that ended later: a time, or 2h"
    )


def _asked(options: argparse.Namespace) -> dict[str, str]:
    given = {
        "key_id": options.key,
        "tenant_id": options.tenant,
        "route": options.route,
        "client_address": options.ip,
        "status": options.status,
        "reason": options.reason,
        "shadow": options.shadow,
        "request_id": options.request_id,
        "since": options.since,
        "until": getattr(options, "until", None),
    }
    return {name: value for name, value in given.items() if value}


async def _query(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    found, has_more = await client.entries("/requests", _asked(options), options.limit)
    printer.entries(found, _COLUMNS)
    if has_more:
        printer.message(f"more requests follow: --limit {options.limit} was reached")


async def _tail(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = _asked(options)
    found, _ = await client.entries("/requests", asked, options.limit)
    found.reverse()
    printer.entries(found, _COLUMNS)
    seen = dict.fromkeys(_identity(row) for row in found)
    while options.follow:
        await asyncio.sleep(_LOOK_SECONDS)
        found, _ = await client.entries("/requests", asked, 1000)
        new = [row for row in reversed(found) if _identity(row) not in seen]
        if new:
            printer.entries(new, _COLUMNS)
        seen |= dict.fromkeys(_identity(row) for row in new)
        while len(seen) > _SEEN_MAX:
            seen.pop(next(iter(seen)))


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Ids that clients chose may come twice."""
    return row["request_id"], row["ts"], row["duration_ms"]
