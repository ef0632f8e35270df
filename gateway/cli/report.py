"""`tollhouse report`: what the request log adds up to.

Knows options and columns. What is reported, the running gateway says.
"""

from __future__ import annotations

import argparse
from typing import Final

from gateway.cli.client import AdminClient, add_client_options, run
from gateway.cli.options import Verbs
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("rule", "reason", "key_id", "route", "client_address"),
    *("requests", "first_seen", "last_seen"),
)


def register(verbs: Verbs) -> None:
    """Add `report` and its verbs."""
    parser = verbs.add_parser(
        "report",
        help="report from the request log",
        description="Report what the request log adds up to.",
    )
    inner = parser.add_subparsers(dest="report_verb", metavar="VERB", required=True)
    report: argparse.ArgumentParser = inner.add_parser(
        "would-block",
        help="what rules in shadow mode would have refused",
        description="What rules in shadow mode would have refused, by rule, key, route and client address.",
        allow_abbrev=False,
    )
    report.add_argument(
        "--since",
        default="24h",
        metavar="TIME",
        help="since when: an RFC 3339 time, or how long ago (default: %(default)s)",
    )
    report.add_argument("--key-id", help="only requests with this key")
    report.add_argument("--tenant-id", help="only requests with keys of this tenant")
    report.add_argument("--route", metavar="NAME", help="only requests on this route")
    add_client_options(report, has_offline=False)
    report.set_defaults(run=lambda options: run(options, _would_block))


async def _would_block(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {
        "since": options.since,
        "key_id": options.key_id,
        "tenant_id": options.tenant_id,
        "route": options.route,
    }
    query = {name: value for name, value in asked.items() if value}
    report = await client.call("GET", "/reports/would-block", query=query)
    if printer.form != "table":
        printer.entry(report)
        return
    printer.entries(report["data"], _COLUMNS)
    if not report["is_complete"]:
        printer.message(
            "there is more in the request log than was read: ask for less, with --since"
        )
