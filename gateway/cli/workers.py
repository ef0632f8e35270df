"""`tollhouse workers`: shows the processes that serve, and replaces them without failing a request.

Knows options and columns. Who serves, the running gateway says.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer

_COLUMNS: Final = (
    "worker", "pid", "state", "since", "generation", "connections", "in_flight", "restarts",
)  # fmt: skip


def register(verbs: Verbs) -> None:
    """Add `workers` and its verbs."""
    parser = verbs.add_parser(
        "workers",
        help="show and replace the processes that serve",
        description="Show and replace the processes that serve the requests of the running gateway.",
    )
    inner = parser.add_subparsers(dest="workers_verb", metavar="VERB", required=True)
    add_verb(inner, "list", _list, "list the workers: since when each runs, and what it has to do")
    add_verb(
        inner,
        "restart",
        _restart,
        "replace all workers, one after the other; each ends its requests when its successor serves",
    )


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    _require_gateway(options)
    printer.entries((await client.call("GET", "/workers"))["data"], _COLUMNS)


async def _restart(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    _require_gateway(options)
    answer = await client.call("POST", "/workers:restart")
    count = answer["workers"]
    if printer.form != "table":
        printer.entry(answer)
    printer.message(f"{count} worker{'' if count == 1 else 's'} replaced")


def _require_gateway(options: argparse.Namespace) -> None:
    if options.offline:
        raise WrongUsage("workers belong to a running gateway: leave --offline out")
