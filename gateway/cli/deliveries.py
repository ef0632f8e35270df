"""`tollhouse deliveries`: the links with which secrets are taken, and whether they were used.

Knows options and columns. The links themselves are nowhere.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.options import Verbs, add_verb, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("delivery_id", "tenant_id", "key_id", "state", "created_at", "expires_at"),
    *("redeemed_at", "redeemed_from"),
)


def register(verbs: Verbs) -> None:
    """Add `deliveries` and its verb."""
    parser = verbs.add_parser(
        "deliveries",
        help="list the one-time links of keys",
        description="List the one-time links with which the secrets of keys are taken.",
    )
    inner = parser.add_subparsers(dest="deliveries_verb", metavar="VERB", required=True)
    listing = add_verb(inner, "list", _list, "list links, and who has used them")
    listing.add_argument("--tenant", metavar="TENANT_ID", help="only those of this tenant")
    listing.add_argument("--key", metavar="KEY_ID", help="only those of this key")
    listing.add_argument(
        "--limit", type=positive, default=1000, help="most links (default: %(default)s)"
    )


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {"tenant_id": options.tenant, "key_id": options.key}
    query = {name: value for name, value in asked.items() if value}
    found, has_more = await client.entries("/deliveries", query, options.limit)
    printer.entries(found, _COLUMNS)
    if has_more:
        printer.message(f"more links follow: --limit {options.limit} was reached")
