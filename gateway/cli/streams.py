"""`tollhouse streams`: shows who is connected to the running gateway right now.

Knows options and columns. What is open, the gateway says.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.options import Verbs, add_verb, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("since", "kind", "key_id", "tenant_id", "route", "client_address"),
    *("request_bytes", "response_bytes", "stream_id"),
)


def register(verbs: Verbs) -> None:
    """Add `streams` and its verb."""
    parser = verbs.add_parser(
        "streams",
        help="show the streams that are open",
        description="Show the tunnels, event streams, transfers and long polls that are open.",
    )
    inner = parser.add_subparsers(dest="streams_verb", metavar="VERB", required=True)
    listing = add_verb(inner, "list", _list, "list what is open, the oldest first")
    listing.add_argument("--key", metavar="KEY_ID", help="only streams of this key")
    listing.add_argument(
        "--lineage", metavar="LINEAGE_ID", help="only streams of a key and of those it replaced"
    )
    listing.add_argument("--tenant", metavar="TENANT_ID", help="only streams of this tenant")
    listing.add_argument("--route", metavar="NAME", help="only streams on this route")
    listing.add_argument(
        "--kind", help="websocket, tunnel, sse, download, upload or long_poll; default: all"
    )
    listing.add_argument(
        "--limit", type=positive, default=1000, help="most streams (default: %(default)s)"
    )


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {
        "key_id": options.key,
        "lineage_id": options.lineage,
        "tenant_id": options.tenant,
        "route": options.route,
        "kind": options.kind,
    }
    query = {name: value for name, value in asked.items() if value}
    streams, has_more = await client.entries("/streams", query, options.limit)
    printer.entries(streams, _COLUMNS)
    if has_more:
        printer.message(f"more streams follow: --limit {options.limit} was reached")
