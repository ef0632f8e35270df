"""`tollhouse incidents`: what was done about compromised keys, and what was done with them before.

Knows options and columns. `tollhouse keys compromise` opens an incident.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.lists import Filter, Listing, add_filters, add_limit, add_list, asked, show
from gateway.cli.options import Verbs, add_verb, path_part
from gateway.cli.output import Printer

_LIST: Final = Listing(
    path="/incidents",
    things="incidents",
    columns=(
        *("incident_id", "tenant_id", "key_id", "replacement_key_id", "since", "opened_at"),
        *("opened_by", "reason"),
    ),
    filters=(
        Filter("--tenant", "tenant_id", "only those of this tenant", "TENANT_ID"),
        Filter("--key", "key_id", "only those of this key", "KEY_ID"),
    ),
    sorts=("opened_at", "since"),
)
_REQUESTS: Final = Listing(
    path="/requests",
    things="requests",
    columns=(
        *("ts", "client_address", "method", "target", "status", "reason"),
        *("user_agent", "request_id"),
    ),
    filters=(
        Filter("--route", "route", "only those of this route"),
        Filter("--status", "status", "only those with this status, or a class such as 4xx"),
        Filter("--ip", "client_address", "only those from this address", "ADDRESS"),
        Filter("--reason", "reason", "only those refused for this reason"),
    ),
)
"""Of one incident."""


def register(verbs: Verbs) -> None:
    """Add `incidents` and its verbs."""
    parser = verbs.add_parser(
        "incidents",
        help="look at compromised keys and the requests made with them",
        description="Look at compromised keys and the requests made with them. `tollhouse keys compromise` opens"
        " an incident.",
    )
    inner = parser.add_subparsers(dest="incidents_verb", metavar="VERB", required=True)
    add_list(inner, _LIST, "list incidents")
    one = add_verb(inner, "show", _show, "show one incident")
    one.add_argument("incident_id", metavar="INCIDENT_ID")
    text = "list the requests made with the key since others may have known it, the newest first"
    requests = add_verb(inner, "requests", _requests, text)
    requests.add_argument("incident_id", metavar="INCIDENT_ID")
    add_filters(requests, _REQUESTS.filters)
    add_limit(requests, _REQUESTS.things, 1000)


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/incidents/{path_part(options.incident_id)}"))


async def _requests(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/incidents/{path_part(options.incident_id)}/requests"
    query = asked(options, _REQUESTS.filters)
    await show(replace(_REQUESTS, path=path), query, client, options, printer)
