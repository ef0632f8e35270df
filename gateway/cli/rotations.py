"""`tollhouse rotations`: who has not moved to the new key yet, and the end of a rotation.

Knows options and columns. When a rotation may end, the gateway says.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from gateway.cli.client import AdminClient
from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import Verbs, add_act, add_verb, path_part
from gateway.cli.output import Printer

_LIST: Final = Listing(
    path="/rotations",
    things="rotations",
    columns=(
        *("rotation_id", "tenant_id", "old_key_id", "new_key_id", "state", "started_at"),
        *("deadline", "ended_at", "ended_by"),
    ),
    filters=(
        Filter("--tenant", "tenant_id", "only those of this tenant", "TENANT_ID"),
        Filter("--state", "state", "pending, overlapping, completed or aborted"),
        Filter("--lineage", "lineage_id", "only those of this lineage", "LINEAGE_ID"),
    ),
    sorts=("started_at", "deadline", "ended_at"),
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
    add_list(inner, _LIST, "list rotations")
    show = add_verb(inner, "show", _show, "show one rotation, and whether the new key has worked")
    show.add_argument("rotation_id", metavar="ROTATION_ID")
    text = "list who used the old key since a day before the rotation began, and who has moved"
    clients = add_verb(inner, "clients", _clients, text)
    clients.add_argument("rotation_id", metavar="ROTATION_ID")
    clients.add_argument("--waiting", action="store_true", help="only those who have not moved")
    text = "another time, or how long before the rotation began: 30d (default: 1d)"
    clients.add_argument("--since", metavar="TIME", help=text)
    for name, text in (
        ("complete", "stop the old key now"),
        ("abort", "go back to the old key; the new one is revoked"),
    ):
        act = partial(_end, name)
        add_act(inner, name, act, text, what="ROTATION_ID", needs_reason=False)


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/rotations/{path_part(options.rotation_id)}"))


async def _clients(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/rotations/{path_part(options.rotation_id)}/clients"
    query = {"has_moved": "false"} if options.waiting else {}
    if options.since is not None:
        query["since"] = options.since
    printer.entries((await client.call("GET", path, query=query))["data"], _CLIENTS)


async def _end(
    verb: str, client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    path = f"/rotations/{path_part(options.rotation_id)}:{verb}"
    printer.entry(await client.call("POST", path, {"reason": options.reason}))
