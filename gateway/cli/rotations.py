"""`tollhouse rotations`: who has not moved to the new key yet, and the end of a rotation.

Knows options and columns. When a rotation may end, the gateway says.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.options import Verbs, add_act, add_verb, path_part, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("rotation_id", "tenant_id", "old_key_id", "new_key_id", "state", "started_at", "deadline"),
    *("ended_at", "ended_by"),
)
_CLIENTS: Final = (
    *("client_address", "user_agent", "requests", "last_at", "new_key_last_at", "has_moved"),
)


def register(verbs: Verbs) -> None:
    """Add `rotations` and its verbs."""
    parser = verbs.add_parser(
        "rotations",
        help="follow and end the replacement of keys",
        description="Follow the replacement of keys and end it. `tollhouse keys rotate` begins one.",
    )
    inner = parser.add_subparsers(dest="rotations_verb", metavar="VERB", required=True)
    listing = add_verb(inner, "list", _list, "list rotations")
    listing.add_argument("--tenant", metavar="TENANT_ID", help="only those of this tenant")
    listing.add_argument("--state", help="pending, overlapping, completed or aborted")
    listing.add_argument("--lineage", metavar="LINEAGE_ID", help="only those of this lineage")
    listing.add_argument(
        "--limit", type=positive, default=1000, help="most rotations (default: %(default)s)"
    )
    show = add_verb(inner, "show", _show, "show one rotation, and whether the new key has worked")
    show.add_argument("rotation_id", metavar="ROTATION_ID")
    text = "list who used the old key since the rotation began, and who has moved"
    clients = add_verb(inner, "clients", _clients, text)
    clients.add_argument("rotation_id", metavar="ROTATION_ID")
    clients.add_argument("--waiting", action="store_true", help="only those who have not moved")
    for name, text in (
        ("complete", "stop the old key now"),
        ("abort", "go back to the old key; the new one is revoked"),
    ):
        act = partial(_end, name)
        add_act(inner, name, act, text, what="ROTATION_ID", needs_reason=False)


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {
        "tenant_id": options.tenant,
        "state": options.state,
        "lineage_id": options.lineage,
    }
    query = {name: value for name, value in asked.items() if value}
    found, has_more = await client.entries("/rotations", query, options.limit)
    printer.entries(found, _COLUMNS)
    if has_more:
        printer.message(f"more rotations follow: --limit {options.limit} was reached")


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/rotations/{path_part(options.rotation_id)}"))


async def _clients(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/rotations/{path_part(options.rotation_id)}/clients"
    query = {"has_moved": "false"} if options.waiting else {}
    printer.entries((await client.call("GET", path, query=query))["data"], _CLIENTS)


async def _end(
    verb: str, client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    path = f"/rotations/{path_part(options.rotation_id)}:{verb}"
    printer.entry(await client.call("POST", path, {"reason": options.reason}))
