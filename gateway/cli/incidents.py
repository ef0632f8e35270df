"""`tollhouse incidents`: what was done about compromised keys, and what was done with them before.

Knows options and columns. `tollhouse keys compromise` opens an incident.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.options import Verbs, add_verb, path_part, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("incident_id", "tenant_id", "key_id", "replacement_key_id", "since", "opened_at"),
    *("opened_by", "reason"),
)
_REQUESTS: Final = (
    *("ts", "client_address", "method", "target", "status", "reason", "user_agent", "request_id"),
)
_FILTERS: Final = ("route", "status", "client_address", "reason")


def register(verbs: Verbs) -> None:
    """Add `incidents` and its verbs."""
    parser = verbs.add_parser(
        "incidents",
        help="look at compromised keys and the requests made with them",
        description="Look at compromised keys and the requests made with them. `tollhouse keys compromise` opens"
        " an incident.",
    )
    inner = parser.add_subparsers(dest="incidents_verb", metavar="VERB", required=True)
    listing = add_verb(inner, "list", _list, "list incidents")
    listing.add_argument("--tenant", metavar="TENANT_ID", help="only those of this tenant")
    listing.add_argument("--key", metavar="KEY_ID", help="only those of this key")
    listing.add_argument(
        "--limit", type=positive, default=1000, help="most incidents (default: %(default)s)"
    )
    show = add_verb(inner, "show", _show, "show one incident")
    show.add_argument("incident_id", metavar="INCIDENT_ID")
    text = "list the requests made with the key since others may have known it, the newest first"
    requests = add_verb(inner, "requests", _requests, text)
    requests.add_argument("incident_id", metavar="INCIDENT_ID")
    requests.add_argument("--route", help="only those of this route")
    requests.add_argument("--status", help="only those with this status, or a class such as 4xx")
    requests.add_argument(
        "--ip", dest="client_address", metavar="ADDRESS", help="only those from this address"
    )
    requests.add_argument("--reason", help="only those refused for this reason")
    requests.add_argument(
        "--limit", type=positive, default=1000, help="most requests (default: %(default)s)"
    )


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {"tenant_id": options.tenant, "key_id": options.key}
    query = {name: value for name, value in asked.items() if value}
    found, has_more = await client.entries("/incidents", query, options.limit)
    printer.entries(found, _COLUMNS)
    if has_more:
        printer.message(f"more incidents follow: --limit {options.limit} was reached")


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/incidents/{path_part(options.incident_id)}"))


async def _requests(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/incidents/{path_part(options.incident_id)}/requests"
    query = {name: value for name in _FILTERS if (value := getattr(options, name))}
    found, has_more = await client.entries(path, query, options.limit)
    printer.entries(found, _REQUESTS)
    if has_more:
        printer.message(f"more requests follow: --limit {options.limit} was reached")
