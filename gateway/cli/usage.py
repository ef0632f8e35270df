"""`tollhouse usage`: what was counted of requests, by key, route, tenant and time.

Knows options and columns. What was counted, the gateway says.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.moments import moment
from gateway.cli.options import Verbs, add_verb, positive
from gateway.cli.output import Printer

_FIELDS: Final = {
    "time": "start",
    "key": "key_id",
    "lineage": "lineage_id",
    "tenant": "tenant_id",
    "owner": "owner_id",
    "environment": "environment",
    "billable": "is_billable",
    "route": "route",
    "reason": "reason",
}
_FACETS: Final = ("network", "country", "user_agent")
_COLUMNS: Final = (
    *("requests", "errors", "error_ratio", "denied", "failed", "upstream_4xx", "upstream_5xx"),
    *("p50_ms", "p95_ms", "response_bytes"),
)
_ORDERS: Final = (
    *("requests", "errors", "error_ratio", "denied", "failed", "upstream_4xx", "upstream_5xx"),
    *("request_bytes", "response_bytes", "duration_total", "duration_mean", "from_browser"),
    *("limit_used_max", "quota_used_max"),
)


def register(verbs: Verbs) -> None:
    """Add `usage` and its verbs."""
    parser = verbs.add_parser(
        "usage",
        help="see what keys are used for",
        description="See what was counted of requests, by key, route, tenant and time.",
    )
    inner = parser.add_subparsers(dest="usage_verb", metavar="VERB", required=True)
    show = add_verb(inner, "show", _show, "show usage over time, or summed up")
    _add_filters(show)
    show.add_argument(
        "--interval",
        choices=("minute", "hour", "day", "total"),
        help="one row for each (default: what suits the range)",
    )
    show.add_argument("--by", metavar="GROUP,...", help=f"also tell apart by {', '.join(_FIELDS)}")
    show.add_argument(
        "--limit", type=positive, default=1000, help="most rows (default: %(default)s)"
    )
    top = add_verb(inner, "top", _top, "show who or what was asked most")
    _add_filters(top)
    top.add_argument(
        "--by",
        choices=(*(name for name in _FIELDS if name != "time"), *_FACETS),
        default="key",
        help="what to rank (default: %(default)s)",
    )
    top.add_argument(
        "--sort", choices=_ORDERS, default="requests", help="rank by (default: %(default)s)"
    )
    top.add_argument("--limit", type=positive, default=10, help="rows (default: %(default)s)")
    export = add_verb(inner, "export", _export, "write usage as CSV")
    _add_filters(export)
    export.add_argument(
        "--interval", choices=("minute", "hour", "day", "total"), help="one row for each"
    )
    export.add_argument(
        "--by",
        metavar="GROUP,...",
        default="time,key,route",
        help="tell apart by (default: %(default)s)",
    )
    export.add_argument("--file", type=Path, metavar="PATH", help="a new file (default: stdout)")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="KEY_ID", help="only requests with this key")
    parser.add_argument("--lineage", metavar="LINEAGE_ID", help="only requests of this lineage")
    parser.add_argument("--tenant", metavar="TENANT_ID", help="only requests for this tenant")
    parser.add_argument("--route", metavar="NAME", help="only requests on this route")
    parser.add_argument("--environment", metavar="NAME", help="only keys of this environment")
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="from when on: a time, or 24h (the default)"
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help="until when")


def _asked(options: argparse.Namespace) -> dict[str, str]:
    given = {
        "key_id": options.key,
        "lineage_id": options.lineage,
        "tenant_id": options.tenant,
        "route": options.route,
        "environment": options.environment,
        "since": options.since,
        "until": options.until,
        "interval": getattr(options, "interval", None),
    }
    return {name: value for name, value in given.items() if value}


def _groups(text: str | None) -> list[str]:
    groups = [each.strip() for each in text.split(",")] if text else []
    for group in groups:
        if group not in _FIELDS:
            raise WrongUsage(f"--by {group}: choose from {', '.join(_FIELDS)}")
    return groups


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    groups = _groups(options.by)
    if options.interval != "total" and "time" not in groups:
        groups = ["time", *groups]
    asked = {**_asked(options), "group_by": ",".join(groups)}
    found, has_more = await client.entries("/usage", asked, options.limit)
    _print(found, groups, printer)
    if has_more:
        printer.message(f"more rows follow: --limit {options.limit} was reached")


async def _top(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {**_asked(options), "limit": str(min(1000, options.limit))}
    if options.by in _FACETS:
        for name in ("lineage", "route", "environment"):
            if getattr(options, name):
                raise WrongUsage(f"--by {options.by}: is not counted by --{name}")
        page = await client.call("GET", "/usage/facets", query={**asked, "kind": options.by})
        printer.entries(page["data"], ("value", "requests", "first_at", "last_at"))
        return
    asked |= {"group_by": options.by, "sort": f"-{options.sort}", "interval": "total"}
    page = await client.call("GET", "/usage", query=asked)
    _print(page["data"], [options.by], printer)


def _print(rows: list[dict[str, Any]], groups: list[str], printer: Printer) -> None:
    if printer.form == "table":
        for row in rows:
            row["p50_ms"], row["p95_ms"] = row["duration_ms"]["p50"], row["duration_ms"]["p95"]
    printer.entries(rows, [*(_FIELDS[group] for group in groups), *_COLUMNS])


async def _export(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    groups = _groups(options.by)
    asked = {**_asked(options), "group_by": ",".join(groups), "format": "csv"}
    if options.file is None:
        async for chunk in client.stream("/usage", asked):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    try:
        number = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WrongUsage(f"--file {options.file}: {error.strerror}") from error
    with os.fdopen(number, "wb") as file:
        async for chunk in client.stream("/usage", asked):
            file.write(chunk)
    printer.message(f"written to {options.file}")
