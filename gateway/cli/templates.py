"""`tollhouse templates`: the kinds of key that are configured.

Knows columns.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("name", "is_default", "scopes", "environment", "plan", "expires_after_seconds", "tags"),
)


def register(verbs: Verbs) -> None:
    """Add `templates` and its verb."""
    parser = verbs.add_parser(
        "templates",
        help="list the kinds of key that are configured",
        description="List the kinds of key that are configured.",
    )
    inner = parser.add_subparsers(dest="templates_verb", metavar="VERB", required=True)
    add_verb(inner, "list", _list, "list the templates that keys are made from")


async def _list(client: AdminClient, _: argparse.Namespace, printer: Printer) -> None:
    printer.entries((await client.call("GET", "/templates"))["data"], _COLUMNS)
