"""`tollhouse upstreams`: shows which targets get requests, and why others do not.

Knows options and columns. The state is that of a running gateway: there is none in a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer

_COLUMNS: Final = (
    "upstream", "breaker", "target", "state", "since", "weight", "outstanding", "idle", "why",
)  # fmt: skip


def register(verbs: Verbs) -> None:
    """Add `upstreams` and its verb."""
    parser = verbs.add_parser(
        "upstreams",
        help="show the targets of the running gateway",
        description="Show the targets of the running gateway.",
    )
    inner = parser.add_subparsers(dest="upstreams_verb", metavar="VERB", required=True)
    add_verb(inner, "list", _list, "list upstreams and the state of each target")


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    if options.offline:
        raise WrongUsage("the state of targets is in a running gateway: leave --offline out")
    upstreams = (await client.call("GET", "/upstreams"))["data"]
    if printer.form == "table":
        printer.entries([row for each in upstreams for row in _rows(each)], _COLUMNS)
    else:
        printer.entries(upstreams, ())


def _rows(upstream: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for target in upstream["targets"]:
        yield {"upstream": upstream["name"], "breaker": upstream["breaker"], **target}
