"""`tollhouse nodes`: shows the gateways that share a store.

Knows options and columns. Who shares it, a running gateway says.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("name", "node_id", "state", "is_self", "is_leader", "address", "version"),
    *("started_at", "seen_at", "acknowledged_revision"),
)


def register(verbs: Verbs) -> None:
    """Add `nodes` and its verb."""
    parser = verbs.add_parser(
        "nodes",
        help="show the gateways that share a store",
        description="Show the gateways that share a store: who lives, who leads, and who goes by which change.",
    )
    inner = parser.add_subparsers(dest="nodes_verb", metavar="VERB", required=True)
    add_verb(inner, "list", _list, "list the gateways that share the store of the running one")


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    if options.offline:
        raise WrongUsage("a running gateway knows the others: leave --offline out")
    printer.entries((await client.call("GET", "/nodes"))["data"], _COLUMNS)
